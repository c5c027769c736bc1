import { makeEvent } from "../audit/row/event.ts";
import { makeFollowUp } from "../audit/row/follow-up.ts";
import type { DecisionRow } from "../audit/row/record.ts";
import { canonicalJson } from "../core/canonical-json.ts";
import { isoMicros, type Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import type { RandomPool } from "../core/ids.ts";
import {
  afterAnswer,
  type AnswerProblem,
  judgementOf,
  type ReadReview,
  type Review,
  type ReviewAnswer,
  type ReviewFilter,
  type ReviewState,
  type Withdrawal,
  withdrawalProblem,
} from "../review/review.ts";
import { type Caller, actorOf } from "./caller.ts";
import { checkAgentFilter, checkReason, checkUuid } from "./checks.ts";
import type { PageTokens } from "./page-tokens.ts";
import type { SqlReviewStore } from "../store/reviews.ts";
import type { SqlDecisionReader } from "../store/decisions.ts";

interface Hashed<Row> {
  readonly row: Row;
  readonly hash: Uint8Array;
}

/** What operators ask for. */
export type ReviewQuery = Omit<ReviewFilter, "before" | "limit">;

export interface ReviewOperationsPorts {
  readonly store: SqlReviewStore;
  /** What was kept of a decision's payload. */
  readonly decisions: SqlDecisionReader;
  readonly tokens: PageTokens;
  /** Records what has become due of reviews, so that nobody answers or is shown one whose time is over. */
  readonly due: {
    settle(read: ReadReview, policyVersion: string | null): Promise<Review>;
    expireDue(): Promise<void>;
  };
  /** The policy in force, or null where this process has none. */
  readonly policyVersion: () => string | null;
  /** Called with each review that is no longer open. */
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
    const before = tokens.open(pageToken, scope) as string | null;
    await due.expireDue();
    const found = await store.list({ ...query, before, limit: limit + 1 });
    const reviews = found.slice(0, limit);
    const last = found.length > limit ? reviews.at(-1) : undefined;
    return { reviews, nextPageToken: tokens.next(last?.reviewId, scope) };
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
    throw overtaken();
  }

  /**
   * Withdraws the caller's own approval, whether or not the call was allowed on it before: it is denied from then on.
   *
   * @throws Fault FIELD_INVALID, REVIEW_UNKNOWN, REVIEW_CLOSED, NOT_PERMITTED
   */
  async withdraw(reviewId: string, comment: string, caller: Caller): Promise<Review> {
    const withdrawal = { by: nameOf(caller), comment: checkReason(comment, "comment") };
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      const { review, now } = await this.#read(reviewId);
      const problem = withdrawalProblem(review, withdrawal.by, now);
      if (problem === "not_approved")
        throw new Fault(
          "REVIEW_CLOSED",
          `${withdrawal.by} has not approved this call, so there is nothing to withdraw.`,
        );
      if (problem !== null) throw new Fault("REVIEW_CLOSED", endOf(review));
      if (await this.#ports.store.withdraw(this.#withdrawalOf(review, withdrawal, caller))) {
        this.#ports.resolved(review);
        return (await this.#read(reviewId)).review;
      }
    }
    throw overtaken();
  }

  async #read(reviewId: string): Promise<ReadReview> {
    const read = await this.#ports.store.find(checkUuid("review_id", reviewId));
    if (read === null) throw new Fault("REVIEW_UNKNOWN", `There is no review ${reviewId}.`);
    // Only a retry of the call makes it void: here an approval under an older policy is shown as given.
    return { review: await this.#ports.due.settle(read, null), now: read.now };
  }

  #change(review: Review, said: Omit<ReviewAnswer, "at">, to: ReviewState, caller: Caller) {
    const at = this.#ports.now();
    const { random } = this.#ports;
    const resolution = to === "open" ? null : this.#resolution(review, to, [...review.answers, said], at);
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

  #withdrawalOf(review: Review, withdrawal: Omit<Withdrawal, "at">, caller: Caller) {
    const at = this.#ports.now();
    const { reviewId, decisionId, agentId, tool, firstAllowedAt } = review;
    const { comment } = withdrawal;
    const facts = {
      kind: "review.withdrawn",
      actor: actorOf(caller),
      subject: reviewId,
      decisionId,
      detail: { agentId, tool, comment, state: "withdrawn", firstAllowedAtUs: firstAllowedAt },
    };
    const resolution = this.#resolution(review, "withdrawn", review.answers, at);
    return { review, resolution, withdrawal, event: makeEvent(facts, at, this.#ports.random) };
  }

  #resolution(
    review: Review,
    to: ReviewState,
    answers: readonly Pick<ReviewAnswer, "by" | "answer">[],
    at: Micros,
  ): Hashed<DecisionRow> {
    const facts = { review: to, answers: answers.map(({ by, answer }) => ({ by, answer })) };
    const detail = canonicalJson(facts, "detail", 32);
    return makeFollowUp(review, judgementOf(to, review), detail, at, this.#ports.random);
  }
}

/** INVARIANT: who answers has a name, and is a person. @throws Fault NOT_PERMITTED */
function nameOf(caller: Caller): string {
  if (caller.kind !== "operator")
    throw new Fault(
      "NOT_PERMITTED",
      "A review needs the answer of a named operator, and the socket identifies nobody: sign in (on the command line: --as NAME).",
    );
  if (caller.signedInAt === null)
    throw new Fault(
      "NOT_PERMITTED",
      `A review needs the answer of a person who has signed in; ${caller.name} has not.`,
    );
  return caller.name;
}

function refusalOf(review: Review, { by }: Omit<ReviewAnswer, "at">, problem: AnswerProblem): Fault {
  switch (problem) {
    case "own":
      return new Fault(
        "NOT_PERMITTED",
        `${by} has a name like the agent's whose call is under review: another person must answer.`,
      );
    case "resolved":
    case "expired":
      return new Fault("REVIEW_CLOSED", endOf(review));
    case "answered":
      return new Fault(
        "REVIEW_CLOSED",
        `${by}, or an operator with a similar name, has already approved: another person must answer.`,
      );
    case "other_policy":
      return new Fault(
        "REVIEW_CLOSED",
        `The review was opened under the policy ${review.policyVersion}, which is no longer in force: an approval would be void. Reject it, and let the agent ask again.`,
      );
  }
}

/** Who ended a review that is not open, and when. */
function endOf(review: Review): string {
  const { state, answers, withdrawal, resolvedAt, terms } = review;
  const last = answers.at(-1);
  const when = isoMicros(resolvedAt ?? review.expiresAt);
  const people = answers.map(({ by }) => by).join(", ");
  switch (state) {
    case "rejected":
      return `${last?.by} rejected this call at ${when}.`;
    case "approved":
      return `${people} approved this call at ${when}.`;
    case "withdrawn":
      return `${withdrawal?.by} withdrew the approval of this call at ${when}.`;
    case "lapsed":
      return `${people} approved this call, and the approval ended at ${isoMicros(review.approvalExpiresAt ?? 0)}.`;
    case "void":
      return `${people} approved this call, and the approval became void at ${when}: another policy was in force.`;
    case "open":
    case "expired":
      return answers.length === 0
        ? `The review expired unanswered at ${isoMicros(review.expiresAt)}: the call is denied.`
        : `The review expired at ${isoMicros(review.expiresAt)} with ${answers.length} of ${terms.approvers} approvals (${people}): the call is denied.`;
  }
}

function overtaken(): Fault {
  return new Fault("STORE_UNAVAILABLE", "The review was changed several times at once: try again.", {
    retryAfterMs: 500,
  });
}
