import { makeFollowUp } from "../audit/row/follow-up.ts";
import type { DecisionRow } from "../audit/row/record.ts";
import { canonicalJson } from "../core/canonical-json.ts";
import type { Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import { sameDigest } from "../idempotency/key.ts";
import type { RecordedDecision } from "../idempotency/ledger.ts";
import type { RandomPool } from "../core/ids.ts";
import { judgementOf, overdue, type ReadReview, type Review, type ReviewState } from "../review/review.ts";

export interface ReviewsPorts {
  readonly store: {
    find(reviewId: string): Promise<ReadReview | null>;
    findByDecision(decisionId: string): Promise<ReadReview | null>;
    listExpired(limit: number): Promise<ReadReview[]>;
    /** False if the review has changed since it was read. */
    settle(change: {
      readonly review: Review;
      readonly to: ReviewState;
      readonly resolution: { readonly row: DecisionRow; readonly hash: Uint8Array };
    }): Promise<boolean>;
    /** Records that an approved review is answered allow. False if it has changed since it was read. */
    noteAllow(review: Review): Promise<boolean>;
  };
  /** Called with each review that is no longer open. */
  readonly resolved: (review: Review) => void;
  readonly now: () => Micros;
  readonly random: RandomPool;
}

/** How often a review is read that others keep changing. */
const TRIES = 5;
const EXPIRED_AT_ONCE = 200;

/** Reviews in the request path: what a decision that needs one is answered, and what time alone makes of them. */
export class Reviews {
  readonly #ports: ReviewsPorts;

  constructor(ports: ReviewsPorts) {
    this.#ports = ports;
  }

  /**
   * A decision that needs a review, as its review stands now: under the same id, and recorded.
   *
   * @param policyVersion the one in force
   * @throws StoreError, or Fault STORE_UNAVAILABLE if it kept changing
   */
  async current(first: RecordedDecision, policyVersion: string): Promise<RecordedDecision> {
    const review = await this.currentReview(first, policyVersion);
    if (review === null || review.state === "open") return first;
    const { reason, message } = judgementOf(review.state, review);
    return { ...first, reason, message, decidedAt: review.resolvedAt ?? first.decidedAt };
  }

  /**
   * The review itself, as it stands now; null for a decision of before reviews could be answered. If it is approved, the use of the
   * approval is recorded.
   *
   * @throws as {@link current}
   */
  async currentReview(first: RecordedDecision, policyVersion: string): Promise<Review | null> {
    const read = await this.#ports.store.findByDecision(first.decisionId);
    if (read === null) return null;
    const review = await this.#answerable(read, policyVersion);
    // INVARIANT: an approval is of this agent, tool and payload alone.
    if (review.state !== "open" && !sameDigest(review.requestDigest, first.requestDigest))
      throw new Fault("INTERNAL", "The review is of another request.");
    return review;
  }

  /**
   * The review as it is answered. Its first allow is recorded before it is answered, so that an operator who withdraws the approval
   * knows whether the agent may have acted on it.
   */
  async #answerable(first: ReadReview, policyVersion: string): Promise<Review> {
    let read: ReadReview | null = first;
    for (let attempt = 1; read !== null && attempt <= TRIES; attempt++) {
      const review = await this.settle(read, policyVersion);
      if (review.state !== "approved" || review.firstAllowedAt !== null) return review;
      // After this line the allow counts as given, also if this process dies before it is.
      if (await this.#ports.store.noteAllow(review)) return review;
      read = await this.#ports.store.find(review.reviewId);
    }
    throw changedTooOften();
  }

  /** Records what has become due of a review, once, whichever process sees it first. @returns the review as it then is */
  async settle({ review, now }: ReadReview, policyVersion: string | null): Promise<Review> {
    let read: ReadReview | null = { review, now };
    for (let attempt = 1; read !== null && attempt <= TRIES; attempt++) {
      const to = overdue(read.review, read.now, policyVersion);
      if (to === null) return read.review;
      if (await this.#ports.store.settle({ review: read.review, to, resolution: this.#resolution(read.review, to) }))
        this.#ports.resolved(read.review);
      read = await this.#ports.store.find(review.reviewId);
    }
    throw changedTooOften();
  }

  /** Denies the reviews that nobody has answered in time. Only time counts here; a retry also looks at the policy. */
  async expireDue(): Promise<void> {
    for (const read of await this.#ports.store.listExpired(EXPIRED_AT_ONCE)) await this.settle(read, null);
  }

  #resolution(review: Review, to: ReviewState): { row: DecisionRow; hash: Buffer } {
    const detail = canonicalJson({ review: to }, "detail", 32);
    return makeFollowUp(review, judgementOf(to, review), detail, this.#ports.now(), this.#ports.random);
  }
}

function changedTooOften(): Fault {
  return new Fault("STORE_UNAVAILABLE", "The review changed too often to be read.", { retryAfterMs: 100 });
}
