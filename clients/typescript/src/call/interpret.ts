import * as wire from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import type { Question } from "@datacrawl/core/request";
import { type Decision, DECISION_OF, type Reason } from "@datacrawl/core/decision";
import { decodeAnswer, type UnverifiedAnswer } from "./answer.ts";
import type { Unframed } from "../transport/framing.ts";
import { malformed, type Outcome } from "./outcome.ts";
import { WireError } from "./wire.ts";

/** What was asked, in one attempt: an answer names all of it, or it is not an answer to this. */
export type Asked = {
  readonly agentId: string;
  /** 16 bytes, of this attempt alone. */
  readonly nonce: Uint8Array;
} & (
  | { readonly tool: string; readonly idempotencyKey: string }
  /** A decision that was made before, and is watched. */
  | { readonly decisionId: string }
);

/**
 * What the service said, if it said it in the one right form and to this very question; else malformed.
 *
 * INVARIANT: the only place where bytes from the network become a decision. The strictest reading wins, wherever a protocol
 * or a decoder would let something pass.
 */
export function interpret(unframed: Unframed, asked: Asked): Outcome {
  if (unframed.kind !== "message") return unframed;
  let unverified: UnverifiedAnswer;
  try {
    unverified = decodeAnswer(unframed.unverifiedMessage);
  } catch (error) {
    if (error instanceof WireError) return malformed(error.message);
    throw error;
  }
  const decision = DECISIONS.get(unverified.decision);
  const problem = decision === undefined ? "the answer holds no decision" : problemOf(unverified, decision, asked);
  if (decision === undefined || problem !== null)
    return malformed(problem ?? "", decision !== undefined && decision !== "allow");
  const { message, decisionId, policyVersion, decidedAt, tool, idempotencyKey } = unverified;
  return {
    kind: "answered",
    answer: {
      decision,
      reason: REASONS.get(unverified.reason) as Reason,
      message,
      decisionId,
      policyVersion,
      ruleId: unverified.ruleId === "" ? null : unverified.ruleId,
      replayed: unverified.replayed === 1,
      decidedAt,
      tool,
      idempotencyKey,
    },
  };
}

const DECISIONS = new Map<number | undefined, Decision>([
  [wire.Decision.ALLOW, "allow"],
  [wire.Decision.DENY, "deny"],
  [wire.Decision.NEEDS_REVIEW, "needs_review"],
]);

/** The reasons that the service gives, by their numbers. A guard's own reasons (20 and up) never come from a service. */
const REASONS = new Map<number, Reason>(
  (Object.keys(DECISION_OF) as Reason[])
    .map((reason) => [wire.Reason[reason], reason] as const)
    .filter(([number]) => number < wire.Reason.SERVICE_UNAVAILABLE),
);

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The first thing that keeps an answer from being one to this question, or null. */
function problemOf(unverified: UnverifiedAnswer, decision: Decision, asked: Asked): string | null {
  const reason = REASONS.get(unverified.reason);
  if (reason === undefined) return `the service does not give reason ${unverified.reason}`;
  if (DECISION_OF[reason] !== decision) return `the decision ${decision} does not agree with the reason ${reason}`;
  if (unverified.source !== wire.Source.SERVICE) return "the answer is not from the service";
  if (unverified.agentId !== asked.agentId) return "the answer is for another agent";
  const other = "decisionId" in asked ? otherDecision(unverified, asked) : otherQuestion(unverified, asked);
  if (other !== null) return `the answer is for another ${other}`;
  if (Buffer.compare(unverified.nonce, asked.nonce) !== 0) return "the answer is for another attempt";
  if (!UUID.test(unverified.decisionId)) return "the decision id is not a UUID";
  if (unverified.replayed > 1) return "replayed is neither true nor false";
  return null;
}

function otherQuestion(unverified: UnverifiedAnswer, asked: Pick<Question, "tool" | "idempotencyKey">): string | null {
  if (unverified.tool !== asked.tool) return "tool";
  return unverified.idempotencyKey === asked.idempotencyKey ? null : "idempotency key";
}

function otherDecision(unverified: UnverifiedAnswer, asked: { readonly decisionId: string }): string | null {
  return unverified.decisionId === asked.decisionId ? null : "decision";
}
