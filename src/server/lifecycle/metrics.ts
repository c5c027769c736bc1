import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Answer } from "../../authorize/call.ts";
import type { Step } from "../../authorize/progress.ts";
import { DECISION_OF } from "../../core/decision.ts";
import { type FaultCode, STATUS_OF } from "../../core/fault.ts";
import type { Observer } from "../handlers.ts";
import { ExecutionMetrics } from "./execution-metrics.ts";

const STEPS = ["authenticate", "parse", "replay", "evaluate", "record", "remember"] as const satisfies readonly Step[];
const SECONDS = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/**
 * The service's metrics, for Prometheus.
 *
 * INVARIANT: every label is one of a closed set of ours. A caller who could name one could fill the memory with series.
 *
 * Children are bound to their labels beforehand: a histogram then costs 0.3 µs an observation, a decision 2.5 µs in all. They
 * start at 0, so that a rate over them also sees the first event.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly contentType = this.registry.contentType;
  readonly #steps = boundSteps(this.registry);
  readonly #decisions = boundDecisions(this.registry);
  readonly #refusals = boundCodes(
    this.registry,
    "datacrawl_refused_total",
    "Requests answered with a fault, by its code.",
  );
  readonly #authenticationFailures = boundCodes(
    this.registry,
    "datacrawl_authentication_failures_total",
    "Requests without a valid credential.",
  );
  readonly #replays = counter(this.registry, "datacrawl_replays_total", "Answers that repeat an earlier decision.");
  readonly #storeErrors = counter(this.registry, "datacrawl_store_errors_total", "Failures of the database.");
  readonly #batchRows = histogram(
    this.registry,
    "datacrawl_batch_rows",
    "Decisions that were committed together.",
    ROWS,
  );
  readonly #batchSeconds = histogram(this.registry, "datacrawl_batch_seconds", "How long a commit took.", SECONDS);
  readonly executions = new ExecutionMetrics(this.registry, () => this.storeError());
  #inFlight = 0;

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    this.watch("datacrawl_in_flight", "Requests that are being worked on.", () => this.#inFlight);
  }

  /** The page, in Prometheus' text format. */
  metrics(): Promise<string> {
    return this.registry.metrics();
  }

  /** Counts requests and answers of every transport. */
  readonly observer: Observer = {
    onStart: () => void this.#inFlight++,
    onEnd: () => void this.#inFlight--,
    onFault: ({ code }) => this.#refusals.get(code)?.inc(),
    onLateFault: () => {},
  };

  step(step: Step, milliseconds: number): void {
    this.#steps.get(step)?.observe(milliseconds / 1000);
  }

  answered({ reason, replayed }: Answer): void {
    this.#decisions.get(reason)?.inc();
    if (replayed) this.#replays.inc();
  }

  authenticationFailed(code: FaultCode): void {
    this.#authenticationFailures.get(code)?.inc();
  }

  batch(rows: number, milliseconds: number): void {
    this.#batchRows.observe(rows);
    this.#batchSeconds.observe(milliseconds / 1000);
  }

  storeError(): void {
    this.#storeErrors.inc();
  }

  /** @param depth how many decisions wait to be recorded; read when the page is made */
  watchQueue(depth: () => number): void {
    this.watch("datacrawl_queue_depth", "Decisions that wait to be recorded.", depth);
  }

  /** A gauge that is read when the page is made. */
  watch(name: string, help: string, read: () => number): void {
    const collect = function (this: Gauge): void {
      this.set(read());
    };
    this.registry.registerMetric(new Gauge({ name, help, registers: [], collect }));
  }
}

type Bound<Name, Child> = ReadonlyMap<Name, Child>;

function boundSteps(registry: Registry): Bound<Step, Histogram.Internal<"step">> {
  const steps = new Histogram({
    name: "datacrawl_step_seconds",
    help: "How long each step of a decision took.",
    labelNames: ["step"],
    buckets: SECONDS,
    registers: [registry],
  });
  return new Map(
    STEPS.map((step) => {
      steps.zero({ step });
      return [step, steps.labels(step)];
    }),
  );
}

function boundDecisions(registry: Registry): Bound<string, Counter.Internal> {
  const decisions = new Counter({
    name: "datacrawl_decisions_total",
    help: "Answered decisions, replays included.",
    labelNames: ["decision", "reason"],
    registers: [registry],
  });
  return new Map(
    Object.entries(DECISION_OF).map(([reason, decision]) => [reason, fromZero(decisions.labels(decision, reason))]),
  );
}

function boundCodes(registry: Registry, name: string, help: string): Bound<string, Counter.Internal> {
  const codes = new Counter({ name, help, labelNames: ["code"], registers: [registry] });
  return new Map(Object.keys(STATUS_OF).map((code) => [code, fromZero(codes.labels(code))]));
}

function fromZero(series: Counter.Internal): Counter.Internal {
  series.inc(0);
  return series;
}

function counter(registry: Registry, name: string, help: string): Counter {
  return new Counter({ name, help, registers: [registry] });
}

function histogram(registry: Registry, name: string, help: string, buckets: number[]): Histogram {
  return new Histogram({ name, help, buckets, registers: [registry] });
}
