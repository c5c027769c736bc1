import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { BeginAnswer, ReportAnswer } from "../../authorize/execution-call.ts";
import { OUTCOMES } from "../../execution/execution.ts";

const STATES = ["started", "already_started", "refused"] as const satisfies readonly BeginAnswer["state"][];
const ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** The metrics of executions. */
export class ExecutionMetrics {
  readonly #begins: Counter<"state">;
  readonly #reports: Counter<"outcome">;
  readonly #batchRows: Histogram;
  readonly #batchSeconds: Histogram;
  readonly #unresolved: Gauge;
  readonly #onStoreError: () => void;

  constructor(registry: Registry, onStoreError: () => void) {
    const registers = [registry];
    this.#onStoreError = onStoreError;
    this.#begins = new Counter({
      name: "datacrawl_executions_begun_total",
      help: "Answers to BeginExecution, by their state.",
      labelNames: ["state"],
      registers,
    });
    for (const state of STATES) this.#begins.inc({ state }, 0);
    this.#reports = new Counter({
      name: "datacrawl_outcomes_reported_total",
      help: "Outcomes that agents reported, repeated reports not counted.",
      labelNames: ["outcome"],
      registers,
    });
    for (const outcome of OUTCOMES) this.#reports.inc({ outcome }, 0);
    this.#batchRows = new Histogram({
      name: "datacrawl_execution_batch_rows",
      help: "Starts or outcomes that were committed together.",
      buckets: ROWS,
      registers,
    });
    this.#batchSeconds = new Histogram({
      name: "datacrawl_execution_batch_seconds",
      help: "How long a commit of starts or outcomes took.",
      buckets: SECONDS,
      registers,
    });
    this.#unresolved = new Gauge({
      name: "datacrawl_executions_unresolved",
      help: "Executions of all replicas that have no outcome although the time for a report has passed; at most 100000.",
      registers,
    });
  }

  begun({ state }: BeginAnswer): void {
    this.#begins.inc({ state });
  }

  reported({ outcome, replayed }: ReportAnswer): void {
    if (!replayed) this.#reports.inc({ outcome });
  }

  batch(rows: number, milliseconds: number): void {
    this.#batchRows.observe(rows);
    this.#batchSeconds.observe(milliseconds / 1000);
  }

  storeError(): void {
    this.#onStoreError();
  }

  showUnresolved(count: number): void {
    this.#unresolved.set(count);
  }
}
