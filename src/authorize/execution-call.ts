import type { Execution, ExecutionEnd, ExecutionRefusal, Outcome } from "../execution/execution.ts";
import type { Micros } from "../core/clock.ts";
import type { Source } from "../core/decision.ts";
import type { Call } from "./call.ts";

/** A BeginExecutionRequest as decoded. */
export interface UnverifiedBegin {
  readonly decisionId: string;
  /** Empty if absent. */
  readonly nonce: Uint8Array;
}

/** What the caller of BeginExecution gets. What it says is committed. */
export type BeginAnswer = {
  readonly message: string;
  readonly decisionId: string;
  readonly nonce: Uint8Array;
  readonly agentId: string;
  /** Who started it, if not what the transport's service says. */
  readonly source?: Source;
} & (
  | {
      readonly state: "started" | "already_started";
      readonly execution: Pick<Execution, "executionId" | "startedAt" | "startedBy" | "reportDueAt"> & {
        readonly end: Pick<ExecutionEnd, "outcome" | "endedAt"> | null;
      };
    }
  | { readonly state: "refused"; readonly reason: ExecutionRefusal }
);

/** A ReportOutcomeRequest as decoded. */
export interface UnverifiedReport {
  readonly decisionId: string;
  readonly executionId: string;
  /** Null if absent or not known. */
  readonly outcome: Outcome | null;
  /** Empty if absent. */
  readonly errorCode: string;
  /** Null if absent. */
  readonly durationMs: bigint | null;
  /** Empty if absent. */
  readonly summary: string;
}

/** What the caller of ReportOutcome gets. What it says is committed. */
export interface ReportAnswer {
  readonly decisionId: string;
  readonly executionId: string;
  readonly outcome: Outcome;
  readonly endedAt: Micros;
  /** Whether it had been recorded before. */
  readonly replayed: boolean;
}

/** BeginExecution behind every transport. Rejects with a Fault alone. */
export type BeginHandler = (call: Call<UnverifiedBegin>) => Promise<BeginAnswer>;

/** ReportOutcome behind every transport. Rejects with a Fault alone. */
export type ReportHandler = (call: Call<UnverifiedReport>) => Promise<ReportAnswer>;
