import { makeEvent } from "../audit/event.ts";
import { makeFollowUp } from "../audit/follow-up.ts";
import type { DecisionRow, EventRow } from "../audit/record.ts";
import { canonicalJson } from "../canonical-json.ts";
import type { Micros } from "../clock.ts";
import { Fault } from "../fault.ts";
import type { RandomPool } from "../ids.ts";
import {
  afterAnswer,
  type AnswerProblem,
  judgementOf,
  type Review,
  type ReviewAnswer,
  type ReviewState,
} from "../review/review.ts";
import { type Caller, actorOf } from "./caller.ts";
import { checkAgentFilter, checkReason, checkUuid, invalid } from "./checks.ts";
import type { PositionTokens } from "./position.ts";

interface Hashed<Row> {
  readonly row: Row;
  readonly hash: Uint8Array;
}

interface ReadReview {
  readonly review: Review;
  readonly now: Micros;
}

export interface ReviewFilter {
  readonly state: ReviewState | null;
  readonly agentId: string | null;
  readonly tool: string | null;
  /** A review's id: those that were opened before it. Null for the newest. */
  readonly before: string | null;
  readonly limit: number;
}

/** What operators ask for. */
export type ReviewQuery = Omit<ReviewFilter, "before" | "limit">;

export interface ReviewOperationsPorts {
  readonly store: {
    find(reviewId: string): Promise<ReadReview | null>;
    list(filter: ReviewFilter): Promise<Review[]>;
    /** False if the review has changed since it was read, or its time is over. */
    answer(change: {
      readonly review: Review;
      readonly to: ReviewState;
      readonly resolution: Hashed<DecisionRow> | null;
      readonly answer: Omit<ReviewAnswer, "at">;
      readonly event: Hashed<EventRow>;
    }): Promise<boolean>;
  };
  /** What was kept of a decision's payload. */
  readonly decisions: {
    find(decisionId: string): Promise<{ readonly payload: { readonly canonical: string } | null } | null>;
  };
  readonly tokens: PositionTokens;
  /** Records what has become due of reviews, so that nobody answers or is shown one whose time is over. */
  readonly due: {
    settle(read: ReadReview, policyVersion: string | null): Promise<Review>;
    expireDue(): Promise<void>;
  };
  /** The policy in force, or null where this process has none. */
  readonly policyVersion: () => string | null;
  /** Told of each review that is not open any more. */
  readonly resolved: (review: Review) => void;
  readonly now: () => Micros;
  readonly random: RandomPool;
}

/** A review with what it is about. */
export interface ReviewView {
  readonly review: Review;
  /** Canonical JSON, as it was judged; null if it has been erased. */
  readonly payload: string | null;
}

/** How often an answer is tried that others' answers overtake. */
const TRIES = 5;

/** Looking at reviews, and answering them. Each answer is committed with its event, and with the row that resolves. */
export class ReviewOperations {
  readonly #ports: ReviewOperationsPorts;

  constructor(ports: ReviewOperationsPorts) {
    this.#ports = ports;
  }

  /** Newest first, with the token for the next page; empty on the last. @throws Fault FIELD_INVALID */
  async list(
    query: ReviewQuery,
    pageToken: string,
    limit: number,
  ): Promise<{ reviews: Review[]; nextPageToken: string }> {
    const { tokens, due, store } = this.#ports;
    checkAgentFilter(query.agentId);
    const scope = `reviews ${JSON.stringify([query.state, query.agentId, query.tool])}`;
    const start = pageToken === "" ? null : tokens.open(pageToken, scope);
    if (pageToken !== "" && start === null)
      throw invalid("page_token", "must be the next_page_token of a page with the same filters");
    await due.expireDue();
    const found = await store.list({ ...query, before: start?.id ?? null, limit: limit + 1 });
    const reviews = found.slice(0, limit);
    const last = found.length > limit ? reviews.at(-1) : undefined;
    const nextPageToken = last === undefined ? "" : tokens.seal({ at: last.openedAt, id: last.reviewId }, scope);
    return { reviews, nextPageToken };
  }

  /** @throws Fault FIELD_INVALID, REVIEW_UNKNOWN */
  async get(reviewId: string): Promise<ReviewView> {
    const { review } = await this.#read(reviewId);
    const decision = await this.#ports.decisions.find(review.decisionId);
    return { review, payload: decision?.payload?.canonical ?? null };
  }

  /**
   * Takes one person's answer. One reject rejects; a rule says how many have to approve. What is refused changes nothing.
   *
   * @throws Fault FIELD_INVALID, REVIEW_UNKNOWN, REVIEW_CLOSED, NOT_PERMITTED
   */
  async answer(reviewId: string, answer: ReviewAnswer["answer"], comment: string, caller: Caller): Promise<Review> {
    const said = { by: nameOf(caller), answer, comment: checkReason(comment, "comment") };
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      const { review, now } = await this.#read(reviewId);
      const next = afterAnswer(review, said, now, this.#ports.policyVersion());
      if ("problem" in next) throw refusalOf(review, said, next.problem);
      if (await this.#ports.store.answer(this.#change(review, said, next.state, caller))) {
        if (next.state !== "open") this.#ports.resolved(review);
        return (await this.#read(reviewId)).review;
      }
    }
    throw new Fault("STORE_UNAVAILABLE", "Other answers to this review kept coming first.", { retryAfterMs: 500 });
  }

  async #read(reviewId: string): Promise<ReadReview> {
    const read = await this.#ports.store.find(checkUuid("review_id", reviewId));
    if (read === null) throw new Fault("REVIEW_UNKNOWN", `There is no review ${reviewId}.`);
    // The void is for whoever retries: here an approval that another policy outdates is shown as given.
    return { review: await this.#ports.due.settle(read, null), now: read.now };
  }

  #change(review: Review, said: Omit<ReviewAnswer, "at">, to: ReviewState, caller: Caller) {
    const at = this.#ports.now();
    const { random } = this.#ports;
    const answers = [...review.answers, said].map(({ by, answer }) => ({ by, answer }));
    const detail = canonicalJson({ review: to, answers }, "detail", 32);
    const resolution = to === "open" ? null : makeFollowUp(review, judgementOf(to, review), detail, at, random);
    const { reviewId, decisionId, agentId, tool } = review;
    const facts = {
      kind: `review.${said.answer}`,
      actor: actorOf(caller),
      subject: reviewId,
      decisionId,
      detail: { agentId, tool, comment: said.comment, state: to },
    };
    return { review, to, resolution, answer: said, event: makeEvent(facts, at, random) };
  }
}

/** INVARIANT: who answers has a name, and is a person. @throws Fault NOT_PERMITTED */
function nameOf(caller: Caller): string {
  if (caller.kind !== "operator")
    throw new Fault(
      "NOT_PERMITTED",
      "A review is answered by a named operator: over the socket nobody has authenticated.",
    );
  if (caller.signedInAt === null)
    throw new Fault("NOT_PERMITTED", `A review is answered by a person who has signed in; ${caller.name} has not.`);
  return caller.name;
}

function refusalOf(review: Review, { by }: Omit<ReviewAnswer, "at">, problem: AnswerProblem): Fault {
  switch (problem) {
    case "own":
      return new Fault("NOT_PERMITTED", `${by} is the agent whose call is under review.`);
    case "resolved":
      return new Fault("REVIEW_CLOSED", `The review was ${review.state} before.`);
    case "expired":
      return new Fault("REVIEW_CLOSED", "The review was not answered in time: the call is denied.");
    case "answered":
      return new Fault("REVIEW_CLOSED", `${by} has approved already; another person has to answer.`);
    case "other_policy":
      return new Fault(
        "REVIEW_CLOSED",
        `The review was opened under the policy ${review.policyVersion}, which is not in force now: an approval would be void. Reject it, and let the agent ask anew.`,
      );
  }
}
