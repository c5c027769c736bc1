import type { Micros } from "../core/clock.ts";
import type { Source } from "../core/decision.ts";

/** An execution with what its decision says besides; null also where the decision's month was retired. */
export interface StoredExecution extends Execution {
  /** Who started it: the service, or a guard under a bypass. */
  readonly source: Source;
  readonly principal: string | null;
  readonly sessionId: string | null;
}

/** How an execution ended. `unknown`: nobody knows whether the action happened. */
export const OUTCOMES = ["succeeded", "failed", "unknown"] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** Why a decision cannot be started. */
export type ExecutionRefusal = "UNKNOWN_DECISION" | "NOT_ALLOWED" | "EXPIRED" | "AGENT_FROZEN" | "APPROVAL_LAPSED";

/** What is said of an execution's end. */
export interface Report {
  readonly outcome: Outcome;
  /** The tool's error code; null if there is none. */
  readonly errorCode: string | null;
  readonly durationMs: number | null;
  /** What happened, for people; null if nothing is said. */
  readonly summary: string | null;
}

/** How an execution ended, as it is recorded. Its summary is a digest where the policy redacts something of the tool's payload. */
export interface ExecutionEnd extends Report {
  readonly endedAt: Micros;
  /** The credential that reported it; null if an operator resolved the execution. */
  readonly reportedBy: string | null;
  /** The operator who resolved the execution by hand, and how they know; null if the agent reported. */
  readonly resolvedBy: string | null;
  readonly comment: string | null;
}

/** The start of an allowed decision. There is at most one for each decision. Times are of the store's clock. */
export interface Execution {
  readonly decisionId: string;
  /** Also the id of the event that records the start. */
  readonly executionId: string;
  readonly agentId: string;
  readonly tool: string;
  readonly idempotencyKey: string;
  /** The 16 bytes by which a retry of the start is known. */
  readonly nonce: Uint8Array;
  readonly startedAt: Micros;
  /** The credential that started it. */
  readonly startedBy: string;
  /** Without a report by then it is unresolved. */
  readonly reportDueAt: Micros;
  /** Null until an outcome is recorded. */
  readonly end: ExecutionEnd | null;
}

/**
 * Whether a report says what is recorded. Of an end that an operator found out only the outcome counts: the operator does not know the
 * rest.
 *
 * @param digest makes of a summary what is recorded in its place where it may not be stored
 */
export function agrees(recorded: ExecutionEnd, report: Report, digest: (summary: string) => string): boolean {
  if (recorded.outcome !== report.outcome) return false;
  if (recorded.resolvedBy !== null) return true;
  const { errorCode, durationMs, summary } = report;
  if (recorded.errorCode !== errorCode || recorded.durationMs !== durationMs) return false;
  return recorded.summary === summary || (summary !== null && recorded.summary === digest(summary));
}

/** Whether nobody has said how it ended although the time for a report has passed. */
export function isUnresolved({ end, reportDueAt }: Pick<Execution, "end" | "reportDueAt">, now: Micros): boolean {
  return end === null && now >= reportDueAt;
}
