import type { Decision, Reason, Source } from "../../core/decision.ts";
import type { Micros } from "../../core/clock.ts";
import type { DecisionRow } from "./record.ts";

/** Which decisions. Null and empty lists leave a column free. */
export interface DecisionFilter {
  readonly agentId: string | null;
  /** Exact, or `prefix.*`. */
  readonly tool: string | null;
  readonly decisions: readonly Decision[];
  readonly reasons: readonly Reason[];
  readonly source: Source | null;
  readonly from: Micros | null;
  /** Exclusive. */
  readonly to: Micros | null;
  /** Occurs in message, idempotency key or rule id; A to Z in either case. */
  readonly text: string | null;
  readonly grantId: string | null;
  readonly principal: string | null;
  readonly sessionId: string | null;
  /** Only decisions whose execution is unresolved. */
  readonly unresolvedExecution: boolean;
}

/** The columns of a decision that lists show. */
export type DecisionSummary = Pick<
  DecisionRow,
  | "decisionId"
  | "recordedAt"
  | "source"
  | "agentId"
  | "tool"
  | "idempotencyKey"
  | "decision"
  | "reason"
  | "message"
  | "ruleId"
  | "policyVersion"
  | "linkedDecisionId"
  | "reviewId"
  | "grantId"
  | "principal"
  | "sessionId"
>;

export const EVERY_DECISION: DecisionFilter = {
  agentId: null,
  tool: null,
  decisions: [],
  reasons: [],
  source: null,
  from: null,
  to: null,
  text: null,
  grantId: null,
  principal: null,
  sessionId: null,
  unresolvedExecution: false,
};
