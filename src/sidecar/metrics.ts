import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Answer } from "../authorize/call.ts";
import { DECISION_OF, type Reason, type Source } from "../core/decision.ts";
import type { OpenGuard } from "@datacrawl/client/internal/call/open";

export interface SidecarMetrics {
  readonly registry: Registry;
  answered(answer: Answer, tookMs: number): void;
  refused(code: string): void;
}

const STATES = ["closed", "open", "half_open", "recovering"] as const;

/** The metrics of a sidecar. */
export function sidecarMetrics(guard: OpenGuard): SidecarMetrics {
  const registry = new Registry();
  const registers = [registry];
  const answers = new Counter({
    name: "datacrawl_sidecar_answers_total",
    help: "Answers by decision, reason and who decided",
    labelNames: ["decision", "reason", "source"],
    registers,
  });
  const refused = new Counter({
    name: "datacrawl_sidecar_refused_total",
    help: "Requests that were refused, by fault",
    labelNames: ["code"],
    registers,
  });
  const seconds = new Histogram({
    name: "datacrawl_sidecar_answer_seconds",
    help: "How long answers took",
    labelNames: ["source"],
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  });
  // Bound to their labels beforehand: looking them up costs more than counting.
  const answersOf = bound((source, reason) => answers.labels(DECISION_OF[reason], reason, source));
  const secondsOf = bound((source) => seconds.labels(source));
  for (const gauge of [circuitGauge(guard), ...journalGauges(guard)]) registry.registerMetric(gauge);
  return {
    registry,
    answered({ reason, source = "guard" }, tookMs) {
      answersOf[source].get(reason)?.inc();
      secondsOf[source].get(reason)?.observe(tookMs / 1000);
    },
    refused: (code) => refused.inc({ code }),
  };
}

type Bound<Child> = Readonly<Record<Source, ReadonlyMap<Reason, Child>>>;

function bound<Child>(bind: (source: Source, reason: Reason) => Child): Bound<Child> {
  const reasons = Object.keys(DECISION_OF) as Reason[];
  const of = (source: Source) => new Map(reasons.map((reason) => [reason, bind(source, reason)]));
  return { service: of("service"), guard: of("guard") };
}

function circuitGauge({ breaker }: OpenGuard): Gauge {
  return new Gauge({
    name: "datacrawl_sidecar_circuit_state",
    help: "1 for the state that the circuit is in",
    labelNames: ["state"],
    registers: [],
    collect() {
      const { state } = breaker.snapshot;
      for (const known of STATES) this.set({ state: known }, known === state ? 1 : 0);
    },
  });
}

function journalGauges(guard: OpenGuard): Gauge[] {
  return [
    gauge("journal_unsynced", "Records that wait for upload", () => guard.status?.journal.unsynced),
    gauge("journal_coalesced", "Denies that were counted but not kept", () => guard.status?.journal.coalescedDenies),
    gauge("grant_expires_seconds", "When the agent's bypass grant expires, since 1970; 0 without one", () => {
      const grant = guard.status?.grant.grant;
      return grant ? grant.expiresAt / 1_000_000 : 0;
    }),
  ];
}

function gauge(name: string, help: string, read: () => number | undefined): Gauge {
  return new Gauge({
    name: `datacrawl_sidecar_${name}`,
    help,
    registers: [],
    collect() {
      this.set(read() ?? 0);
    },
  });
}
