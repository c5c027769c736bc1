import type { Micros } from "@datacrawl/core/clock";
import type { Reason, Source } from "@datacrawl/core/decision";
import type { Refusal } from "./outcome.ts";

/** How an execution ended. `"unknown"`: nobody knows whether the action happened. */
export type ExecutionOutcome = "succeeded" | "failed" | "unknown";

/** Why the service refuses to start a decision. */
export type ExecutionRefusal = "UNKNOWN_DECISION" | "NOT_ALLOWED" | "EXPIRED" | "AGENT_FROZEN" | "APPROVAL_LAPSED";

/** Why a guard does not start a decision by itself: as it denies by itself. */
export type GuardRefusal = Extract<
  Reason,
  "SERVICE_UNAVAILABLE" | "DEADLINE_EXCEEDED" | "MALFORMED_RESPONSE" | "REQUEST_REFUSED" | "CIRCUIT_OPEN"
>;

/** What a guard makes of the question whether a decision may be started. Only `"started"` permits the caller to run the tool. */
export type GuardStart = { readonly message: string; readonly decisionId: string; readonly source: Source } & (
  | {
      readonly state: "started";
      readonly executionId: string;
      readonly startedAt: Micros;
      readonly startedBy: string;
      readonly reportDueAt: Micros;
    }
  | {
      readonly state: "already_started";
      /** Null if it is not known. */
      readonly startedAt: Micros | null;
      /** Empty if it is not known. */
      readonly startedBy: string;
      readonly reportDueAt: Micros | null;
      /** Null as long as it is not known. */
      readonly end: { readonly outcome: ExecutionOutcome; readonly endedAt: Micros } | null;
    }
  | {
      readonly state: "refused";
      readonly reason: ExecutionRefusal | GuardRefusal;
      /** Null unless the reason is `REQUEST_REFUSED`. */
      readonly refusal: Refusal | null;
    }
);

/** What is said of an execution's end. Nothing in it has been verified. */
export interface ExecutionReport {
  /** Failed: the action did not happen. */
  readonly outcome: ExecutionOutcome;
  /** The tool's error code, such as `HTTP_503`: at most 128 bytes without control characters. */
  readonly errorCode?: string | undefined;
  /** How long the tool ran, in whole milliseconds. */
  readonly durationMs?: number | undefined;
  /** What happened, for people: at most 1,024 bytes without NUL. A digest is stored where the policy redacts the tool's payload. */
  readonly summary?: string | undefined;
}

/** Why a report will never be recorded: another one is, or the agent has no such execution. */
export type ReportRefusal = "OUTCOME_CONTRADICTED" | "EXECUTION_UNKNOWN";

/** What became of a report. */
export type GuardReported =
  | { readonly state: "recorded"; readonly endedAt: Micros; readonly replayed: boolean }
  | {
      readonly state: "not_recorded";
      readonly reason: GuardRefusal;
      readonly message: string;
      readonly refusal: Refusal | null;
      readonly reportRefusal: ReportRefusal | null;
      /** It is on this machine's disk and will be sent later. */
      readonly kept: boolean;
    };
