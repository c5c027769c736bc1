import type { Micros } from "../../core/clock.ts";
import type { Judgement } from "../../core/decision.ts";
import { type RandomPool, uuidV7 } from "../../core/ids.ts";
import { hashDecision } from "./hash.ts";
import { type DecisionRow, decisionRow } from "./record.ts";

/** A decision, as far as those that follow on it repeat it. */
export interface EarlierDecision {
  readonly decisionId: string;
  /** The review that it opened, or null. */
  readonly reviewId: string | null;
  readonly agentId: string;
  readonly tool: string;
  readonly idempotencyKey: string;
  readonly policyVersion: string;
  readonly requestDigest: Uint8Array;
  readonly payloadDigest: Uint8Array | null;
}

/**
 * A row about an earlier decision: linked to it, about the same request under the same policy. It has an id of its own, and claims
 * no key.
 *
 * @param detail canonical JSON
 */
export function makeFollowUp(
  first: EarlierDecision,
  { decision, reason, message, ruleId }: Judgement,
  detail: string | null,
  at: Micros,
  random: RandomPool,
): { row: DecisionRow; hash: Buffer } {
  const row = decisionRow({
    decisionId: uuidV7(at, random),
    recordedAt: at,
    decidedAt: at,
    source: "service",
    agentId: first.agentId,
    tool: first.tool,
    idempotencyKey: first.idempotencyKey,
    decision,
    reason,
    message,
    ruleId,
    policyVersion: first.policyVersion,
    requestDigest: first.requestDigest,
    payloadDigest: first.payloadDigest,
    linkedDecisionId: first.decisionId,
    reviewId: first.reviewId,
    detail,
  });
  return { row, hash: hashDecision(row) };
}
