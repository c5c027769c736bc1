/**
 * The vocabulary of answers. Imports nothing, so that everything may import it.
 *
 * The service and the guard speak in these words; numbers exist only on the wire (`server/codec/wire.ts`, `clients/typescript/src/call/interpret.ts`).
 */

/** Only `"allow"` means yes. Every other value, known or not, means no. */
export type Decision = "allow" | "deny" | "needs_review";

/** Why, as a closed taxonomy. {@link DECISION_OF} says which decision each one agrees with. */
export type Reason = keyof typeof DECISION_OF;

/** Who decided. */
export type Source = "service" | "guard";

/** The one decision that each reason agrees with. An answer in which the two disagree is not an answer. */
export const DECISION_OF = {
  RULE_ALLOWED: "allow",
  RULE_DENIED: "deny",
  NO_MATCHING_RULE: "deny",
  RULE_ERROR: "deny",
  IDEMPOTENCY_KEY_REUSED: "deny",
  AGENT_FROZEN: "deny",
  REVIEW_PENDING: "needs_review",
  REVIEW_APPROVED: "allow",
  REVIEW_REJECTED: "deny",
  REVIEW_EXPIRED: "deny",
  SERVICE_UNAVAILABLE: "deny",
  DEADLINE_EXCEEDED: "deny",
  MALFORMED_RESPONSE: "deny",
  REQUEST_REFUSED: "deny",
  CIRCUIT_OPEN: "deny",
  CIRCUIT_BYPASS: "allow",
} as const satisfies Record<string, Decision>;

/**
 * The one place where an answer becomes permission to act.
 *
 * INVARIANT: an equality with allow; never "is not deny".
 */
export function isAllow(decision: unknown): decision is "allow" {
  return decision === "allow";
}

/** What people have to do before an action that needs a review is allowed, and for how long it then is. */
export interface ReviewTerms {
  /** Distinct people who have to approve. */
  readonly approvers: number;
  /** How long an approval lives, in microseconds. */
  readonly approvalMicros: number;
  /** After how long a review that is still open is denied, in microseconds. */
  readonly expiryMicros: number;
}

/** What was decided and why, before it is recorded. The decision follows from the reason, so the two cannot disagree. */
export interface Judgement {
  readonly decision: Decision;
  readonly reason: Reason;
  /** The reason as a sentence for people; never contains the payload. */
  readonly message: string;
  /** The deciding rule, or null if none did. */
  readonly ruleId: string | null;
  /** There if and only if the decision is that a review is needed. */
  readonly review?: ReviewTerms;
}

/** A judgement for `reason`. */
export function judge(reason: Reason, message: string, ruleId: string | null = null): Judgement {
  return { decision: DECISION_OF[reason], reason, message, ruleId };
}
