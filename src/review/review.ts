import type { Micros } from "../core/clock.ts";
import { judge, type Judgement, type ReviewTerms } from "../core/decision.ts";
import { isAlike } from "../core/names.ts";

/**
 * How a review stands. `open`: it waits for answers. `expired`: it did not get them in time. `lapsed`: it was approved, and the
 * approval's time is over. `void`: it was approved, and then another policy came into force. `withdrawn`: somebody who had approved
 * took it back.
 */
export const REVIEW_STATES = ["open", "approved", "rejected", "expired", "lapsed", "void", "withdrawn"] as const;
export type ReviewState = (typeof REVIEW_STATES)[number];

/** What one person said. */
export interface ReviewAnswer {
  /** The name under which they signed in. */
  readonly by: string;
  readonly answer: "approved" | "rejected";
  readonly comment: string;
  readonly at: Micros;
}

/** What the person said who withdrew their approval. */
export interface Withdrawal {
  readonly by: string;
  readonly comment: string;
  readonly at: Micros;
}

/** A decision that waits, or waited, for people. Times are of the store's clock. */
export interface Review {
  readonly reviewId: string;
  /** The decision that opened it, under whose id its resolution is answered. */
  readonly decisionId: string;
  /** When that decision was recorded. */
  readonly recordedAt: Micros;
  readonly agentId: string;
  readonly tool: string;
  readonly idempotencyKey: string;
  readonly ruleId: string | null;
  /** The policy that asked for it. An approval holds under no other. */
  readonly policyVersion: string;
  readonly requestDigest: Uint8Array;
  readonly payloadDigest: Uint8Array;
  readonly terms: ReviewTerms;
  readonly openedAt: Micros;
  /** An answer after this comes too late. */
  readonly expiresAt: Micros;
  readonly state: ReviewState;
  /** Grows with each change: a change holds only for the version that it was made from. */
  readonly version: number;
  /** In the order in which they came. */
  readonly answers: readonly ReviewAnswer[];
  /** Null while it is open. */
  readonly resolvedAt: Micros | null;
  /** The newest row of the trail that resolved it; null while it is open. */
  readonly resolutionId: string | null;
  /** How long it allows; null if it was never approved. */
  readonly approvalExpiresAt: Micros | null;
  /** When its key was first answered allow, recorded before that answer left; null if it never was. */
  readonly firstAllowedAt: Micros | null;
  /** Null unless it is withdrawn. */
  readonly withdrawal: Withdrawal | null;
}

/** A review as it was read, and the store's time then. */
export interface ReadReview {
  readonly review: Review;
  readonly now: Micros;
}

/** Which reviews to list, the newest first. Null leaves a field free. */
export interface ReviewFilter {
  readonly state: ReviewState | null;
  readonly agentId: string | null;
  readonly tool: string | null;
  /** A review's id: those that were opened before it. Null for the newest. */
  readonly before: string | null;
  readonly limit: number;
}

/** Why an answer is not taken. Nothing changes. */
export type AnswerProblem = "own" | "resolved" | "expired" | "answered" | "other_policy";

/** The state that `answer` leads to, or why it is not taken. */
export function afterAnswer(
  review: Review,
  answer: Pick<ReviewAnswer, "by" | "answer">,
  now: Micros,
  policyVersion: string | null,
): { readonly state: ReviewState } | { readonly problem: AnswerProblem } {
  // An account of a name like the agent's, or a token that the issuer gave to the agent itself.
  if (isAlike(answer.by, review.agentId)) return { problem: "own" };
  if (review.state === "expired") return { problem: "expired" };
  if (review.state !== "open") return { problem: "resolved" };
  if (now >= review.expiresAt) return { problem: "expired" };
  // INVARIANT: each person counts once, and names that could be taken for one another's are one person's.
  if (review.answers.some(({ by }) => isAlike(by, answer.by))) return { problem: "answered" };
  if (answer.answer === "rejected") return { state: "rejected" };
  // It would be void at once. Null: this process has no policy to compare with; the retry is checked again.
  if (policyVersion !== null && policyVersion !== review.policyVersion) return { problem: "other_policy" };
  // One reject resolves, so all answers of an open review approve.
  return { state: review.answers.length + 1 >= review.terms.approvers ? "approved" : "open" };
}

/** Why an approval is not withdrawn. Nothing changes. */
export type WithdrawalProblem = "not_approved" | "resolved" | "expired";

/**
 * Why `by` cannot withdraw an approval; null if they can. It may be one of several that the call needs, and the policy in force does
 * not matter.
 */
export function withdrawalProblem(review: Review, by: string, now: Micros): WithdrawalProblem | null {
  if (!review.answers.some((said) => said.by === by && said.answer === "approved")) return "not_approved";
  const due = overdue(review, now, null);
  if (review.state === "expired" || due === "expired") return "expired";
  return (review.state === "open" || review.state === "approved") && due === null ? null : "resolved";
}

/**
 * What time, or another policy, has made of a review since its state was written; null if nothing.
 *
 * @param policyVersion the one in force; null to ask about time alone
 */
export function overdue(
  review: Review,
  now: Micros,
  policyVersion: string | null,
): "expired" | "lapsed" | "void" | null {
  if (review.state === "open") return now >= review.expiresAt ? "expired" : null;
  if (review.state !== "approved") return null;
  if (review.approvalExpiresAt === null || now >= review.approvalExpiresAt) return "lapsed";
  return policyVersion !== null && policyVersion !== review.policyVersion ? "void" : null;
}

/** What the review's key is answered while it is in `state`. */
export function judgementOf(state: ReviewState, review: Pick<Review, "terms" | "ruleId">): Judgement {
  const { terms, ruleId } = review;
  const people = terms.approvers === 1 ? "A reviewer" : `${terms.approvers} reviewers`;
  switch (state) {
    case "open":
      return judge("REVIEW_PENDING", "The review of this call is open.", ruleId);
    case "approved":
      return judge("REVIEW_APPROVED", `${people} approved this call.`, ruleId);
    case "rejected":
      return judge("REVIEW_REJECTED", "A reviewer rejected this call.", ruleId);
    case "expired":
      return judge("REVIEW_EXPIRED", "The review of this call was not answered in time.", ruleId);
    case "lapsed":
      return judge("REVIEW_EXPIRED", "The approval of this call has lapsed.", ruleId);
    case "withdrawn":
      return judge("REVIEW_REJECTED", "A reviewer withdrew the approval of this call.", ruleId);
    case "void":
      return judge("REVIEW_EXPIRED", "This call was approved under another policy than is in force now.", ruleId);
  }
}
