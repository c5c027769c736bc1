import * as wire from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import type { Clock } from "@datacrawl/core/clock";
import { type Decision, DECISION_OF, type Reason } from "@datacrawl/core/decision";
import { UUID } from "@datacrawl/core/ids";
import { Undecodable } from "@datacrawl/core/undecodable";
import type { Reply } from "../transport/transport.ts";
import { decodeAnswer, type UnverifiedAnswer } from "./answer.ts";
import { malformed, type Outcome } from "./outcome.ts";

/** What one attempt asked. An answer that does not repeat all of it is not an answer to this attempt. */
export type ExpectedEcho = {
  readonly agentId: string;
  /** 16 bytes, of this attempt alone. */
  readonly nonce: Uint8Array;
} & (
  | { readonly tool: string; readonly idempotencyKey: string }
  /** A decision that was made before, and is watched. */
  | { readonly decisionId: string }
);

/**
 * What the service said, if it said it in the one right form and to this very question; else malformed. A stream says what its last
 * message says.
 *
 * INVARIANT: the only place where bytes from the network become a decision. The strictest reading wins, wherever a protocol
 * or a decoder would let something pass: every message is a well-formed answer, and only the last may say anything but that people
 * decide.
 */
export function interpret(reply: Reply, expected: ExpectedEcho, clock: Clock): Outcome {
  if (reply.kind !== "messages") return reply;
  let last: Outcome = malformed("the answer has no message");
  for (const unverifiedMessage of reply.unverifiedMessages) {
    if (last.kind === "answered" && last.verdict.decision !== "needs_review")
      return malformed("there is an answer after the last one");
    last = interpretMessage(unverifiedMessage, expected, clock);
    if (last.kind !== "answered") return last;
  }
  return last;
}

function interpretMessage(unverifiedMessage: Uint8Array, expected: ExpectedEcho, clock: Clock): Outcome {
  let unverified: UnverifiedAnswer;
  try {
    unverified = decodeAnswer(unverifiedMessage);
  } catch (error) {
    if (error instanceof Undecodable) return malformed(`the answer ${error.message}`);
    throw error;
  }
  const decision = DECISIONS.get(unverified.decision);
  const problem = decision === undefined ? "the answer holds no decision" : problemOf(unverified, decision, expected);
  if (decision === undefined || problem !== null)
    return malformed(problem ?? "", decision !== undefined && decision !== "allow");
  const { message, decisionId, policyVersion, decidedAt, tool, idempotencyKey } = unverified;
  return {
    kind: "answered",
    decidedAt,
    verdict: Object.freeze({
      decision,
      reason: REASONS.get(unverified.reason) as Reason,
      message,
      decisionId,
      policyVersion,
      ruleId: unverified.ruleId === "" ? null : unverified.ruleId,
      replayed: unverified.replayed === 1,
      source: "service",
      decidedAt: decidedAt ?? clock.now(),
      tool,
      idempotencyKey,
      refusal: null,
    }),
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

/** The first thing that keeps an answer from being one to this question, or null. */
function problemOf(unverified: UnverifiedAnswer, decision: Decision, expected: ExpectedEcho): string | null {
  const reason = REASONS.get(unverified.reason);
  if (reason === undefined) return `the service does not give reason ${unverified.reason}`;
  if (DECISION_OF[reason] !== decision) return `the decision ${decision} does not agree with the reason ${reason}`;
  if (unverified.source !== wire.Source.SERVICE) return "the answer is not from the service";
  if (unverified.agentId !== expected.agentId) return "the answer is for another agent";
  if ("decisionId" in expected) {
    if (unverified.decisionId !== expected.decisionId) return "the answer is for another decision";
  } else {
    if (unverified.tool !== expected.tool) return "the answer is for another tool";
    if (unverified.idempotencyKey !== expected.idempotencyKey) return "the answer is for another idempotency key";
  }
  if (Buffer.compare(unverified.nonce, expected.nonce) !== 0) return "the answer is for another attempt";
  if (!UUID.test(unverified.decisionId)) return "the decision id is not a UUID";
  if (unverified.replayed > 1) return "replayed is neither true nor false";
  return null;
}
