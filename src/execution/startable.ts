import type { Micros } from "../core/clock.ts";
import type { Reason, Source } from "../core/decision.ts";

/** A decision as BeginExecution reads it. */
export interface StartableDecision {
  readonly decisionId: string;
  readonly recordedAt: Micros;
  readonly source: Source;
  readonly agentId: string;
  readonly tool: string;
  readonly idempotencyKey: string;
  readonly reason: Reason;
  readonly message: string;
  readonly ruleId: string | null;
  readonly policyVersion: string;
  readonly decidedAt: Micros;
  /** The decision that it follows on; null if there is none. */
  readonly linkedDecisionId: string | null;
  /** Of its claim. Null if the decision holds none that has not expired, by Postgres' clock. */
  readonly requestDigest: Uint8Array | null;
  readonly expiresAt: Micros | null;
  /** The decision under its key, or itself, that a guard started under a bypass within the last 24 hours; null if there is none. */
  readonly bypassedDecisionId: string | null;
}
