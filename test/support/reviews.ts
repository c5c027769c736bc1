import { makeEvent } from "../../src/audit/row/event.ts";
import { makeFollowUp } from "../../src/audit/row/follow-up.ts";
import type { Entry } from "../../src/audit/write/writer.ts";
import { systemClock } from "../../src/core/clock.ts";
import type { ReviewTerms } from "../../src/core/decision.ts";
import { uuidV7 } from "../../src/core/ids.ts";
import { judgementOf, type Review, type ReviewState } from "../../src/review/review.ts";
import type { ReviewAnswerChange, ReviewChange, WithdrawalChange } from "../../src/store/reviews.ts";
import { entryFor, random } from "./entries.ts";

const HOUR = 3600 * 1e6;
export const TERMS: ReviewTerms = { approvers: 1, approvalMicros: HOUR, expiryMicros: 24 * HOUR };

/** An entry as the walk would make it that needs a review. */
export function reviewEntry(key: string, terms: Partial<ReviewTerms> = {}): Entry {
  const entry = entryFor(key, {
    decision: "needs_review",
    reason: "REVIEW_PENDING",
    reviewId: uuidV7(systemClock.now(), random),
  });
  return { ...entry, review: { ...TERMS, ...terms } };
}

export function changeOf(review: Review, to: ReviewState): ReviewChange {
  const resolution = makeFollowUp(review, judgementOf(to, review), "{}", systemClock.now(), random);
  return { review, to, resolution: to === "open" ? null : resolution };
}

export function answerOf(review: Review, by: string, to: ReviewState): ReviewAnswerChange {
  const answer = { by, answer: to === "rejected" ? ("rejected" as const) : ("approved" as const), comment: "seen" };
  const facts = { kind: `review.${answer.answer}`, actor: `operator:${by}`, subject: review.reviewId };
  return { ...changeOf(review, to), answer, event: makeEvent(facts, systemClock.now(), random) };
}

export function withdrawalOf(review: Review, by: string): WithdrawalChange {
  const resolution = makeFollowUp(review, judgementOf("withdrawn", review), "{}", systemClock.now(), random);
  const facts = { kind: "review.withdrawn", actor: `operator:${by}`, subject: review.reviewId };
  const event = makeEvent(facts, systemClock.now(), random);
  return { review, resolution, withdrawal: { by, comment: "I erred" }, event };
}
