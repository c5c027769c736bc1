import { type Kysely, type RawBuilder, sql } from "kysely";
import { jsonArrayFrom, jsonBuildObject, jsonObjectFrom } from "kysely/helpers/postgres";
import type { HashedEvent } from "../audit/row/event.ts";
import type { DecisionRow } from "../audit/row/record.ts";
import type { Micros } from "../core/clock.ts";
import type { ReadReview, Review, ReviewAnswer, ReviewFilter, ReviewState, Withdrawal } from "../review/review.ts";
import { arrayLiteral, micros, NOW, prepared } from "./dialect/statements.ts";
import { decisionInput, decisionJson, insertDecisions } from "./decision-input.ts";
import { insertEvent } from "./events.ts";
import { Repository } from "./repository.ts";
import type { Schema } from "./schema.ts";

/** A change of one review, decided on the version that was read. */
export interface ReviewChange {
  readonly review: Review;
  readonly to: ReviewState;
  /** The row that resolves it; null if it stays open. */
  readonly resolution: { readonly row: DecisionRow; readonly hash: Uint8Array } | null;
}

/** What one person answered, and its event. */
export interface ReviewAnswerChange extends ReviewChange {
  readonly answer: Omit<ReviewAnswer, "at">;
  readonly event: HashedEvent;
}

/** A withdrawal, and its event. */
export interface WithdrawalChange extends Omit<ReviewChange, "to"> {
  readonly withdrawal: Omit<Withdrawal, "at">;
  readonly event: HashedEvent;
}

/**
 * Reviews. Each change is committed together with its rows of the trail, or not at all.
 *
 * INVARIANT: a change holds for one version, and only on its side of the review's or approval's expiry by the store's clock. So of
 * all who change a review at once one does, and there is one row for each resolution.
 */
export class SqlReviewStore extends Repository {
  async find(reviewId: string): Promise<ReadReview | null> {
    const [row] = await FIND.execute(this.db, { reviewId });
    return row === undefined ? null : readOf(row);
  }

  /** The review that the decision opened. */
  async findByDecision(decisionId: string): Promise<ReadReview | null> {
    const [row] = await FIND_BY_DECISION.execute(this.db, { decisionId });
    return row === undefined ? null : readOf(row);
  }

  /** Newest first. */
  async list({ state, agentId, tool, before, limit }: ReviewFilter): Promise<Review[]> {
    let query = reviews(this.db);
    if (state !== null) query = query.where("r.state", "=", state);
    if (agentId !== null) query = query.where("r.agent_id", "=", agentId);
    if (tool !== null) query = query.where("r.tool", "=", tool);
    if (before !== null) query = query.where("r.review_id", "<", before);
    return await query.orderBy("r.review_id", "desc").limit(limit).execute();
  }

  /** Open reviews whose time is over, the oldest first. */
  async listExpired(limit: number): Promise<ReadReview[]> {
    const rows = await readings(this.db)
      .where("r.state", "=", sql.lit("open"))
      .where("r.expires_at", "<=", NOW)
      .orderBy("r.expires_at")
      .limit(limit)
      .execute();
    return rows.map(readOf);
  }

  /** Those of `decisionIds` whose reviews are not open any more, or should not be. */
  async resolvedAmong(decisionIds: readonly string[]): Promise<string[]> {
    const rows = await RESOLVED.execute(this.db, { decisionIds: arrayLiteral(decisionIds) });
    return rows.map(({ decision_id }) => decision_id);
  }

  /** How many are open. */
  async countPending(): Promise<number> {
    const { count } = await this.db
      .selectFrom("reviews")
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .where("state", "=", sql.lit("open"))
      .where("expires_at", ">", NOW)
      .executeTakeFirstOrThrow();
    return count;
  }

  /** Adds an answer. False if the review has changed since it was read, or its time is over. */
  async answer({ answer, event, ...change }: ReviewAnswerChange): Promise<boolean> {
    return (await ANSWER.execute(this.db, { ...changeParams(change), answer, event })).length > 0;
  }

  /** Records what time or another policy has made of a review. False if it has changed since it was read. */
  async settle(change: ReviewChange): Promise<boolean> {
    return (await SETTLE.execute(this.db, changeParams(change))).length > 0;
  }

  /** Withdraws an approval. False if the review has changed since it was read, or its time is over. */
  async withdraw({ withdrawal, event, ...change }: WithdrawalChange): Promise<boolean> {
    const params = { ...changeParams({ ...change, to: "withdrawn" }), withdrawal, event };
    return (await WITHDRAW.execute(this.db, params)).length > 0;
  }

  /**
   * Records that an approved review is answered allow. False if it has changed since it was read.
   *
   * INVARIANT: it makes a new version, as a withdrawal does. So of the two one comes first, and the other sees it.
   */
  async noteAllow({ reviewId, version }: Review): Promise<boolean> {
    return (await NOTE_ALLOW.execute(this.db, { reviewId, version })).length > 0;
  }
}

function reviews(db: Kysely<Schema>) {
  return db.selectFrom("reviews as r").select((eb) => [
    "r.review_id as reviewId",
    "r.decision_id as decisionId",
    "r.recorded_at as recordedAt",
    "r.agent_id as agentId",
    "r.tool",
    "r.idempotency_key as idempotencyKey",
    "r.rule_id as ruleId",
    "r.policy_version as policyVersion",
    "r.request_digest as requestDigest",
    "r.payload_digest as payloadDigest",
    jsonBuildObject({
      approvers: eb.ref("r.approvers"),
      approvalMicros: micros("r.approval_for"),
      expiryMicros: sql<Micros>`${micros("r.expires_at")} - ${micros("r.opened_at")}`,
    }).as("terms"),
    "r.opened_at as openedAt",
    "r.expires_at as expiresAt",
    "r.state",
    "r.version",
    jsonArrayFrom(
      eb
        .selectFrom("review_answers as a")
        .select(["a.operator as by", "a.answer", "a.comment", micros("a.answered_at").as("at")])
        .whereRef("a.review_id", "=", "r.review_id")
        .orderBy("a.answered_at")
        .orderBy("a.operator"),
    ).as("answers"),
    "r.resolved_at as resolvedAt",
    "r.resolution_id as resolutionId",
    "r.approval_expires_at as approvalExpiresAt",
    "r.first_allowed_at as firstAllowedAt",
    jsonObjectFrom(
      eb
        .selectFrom("review_withdrawals as w")
        .select(["w.operator as by", "w.comment", micros("w.withdrawn_at").as("at")])
        .whereRef("w.review_id", "=", "r.review_id"),
    ).as("withdrawal"),
  ]);
}

function readings(db: Kysely<Schema>) {
  return reviews(db).select(sql<Micros>`now()`.as("now"));
}

function readOf({ now, ...review }: Review & { readonly now: Micros }): ReadReview {
  return { review, now };
}

const FIND = prepared(({ reviewId }: { reviewId: string }, db) => readings(db).where("r.review_id", "=", reviewId));

const FIND_BY_DECISION = prepared(({ decisionId }: { decisionId: string }, db) =>
  readings(db).where("r.decision_id", "=", decisionId),
);

const RESOLVED = prepared(({ decisionIds }: { decisionIds: string }, db) =>
  db
    .selectFrom("reviews")
    .select("decision_id")
    .where("decision_id", "=", sql<string>`ANY (${decisionIds}::text::uuid[])`)
    .where((eb) => eb.or([eb("state", "<>", "open"), eb("expires_at", "<=", NOW)])),
);

function changeParams({ review, to, resolution }: ReviewChange) {
  return {
    json: JSON.stringify(resolution === null ? [] : [decisionJson(resolution.row, resolution.hash)]),
    reviewId: review.reviewId,
    version: review.version,
    to,
    resolutionId: resolution?.row.decisionId ?? null,
  };
}

type ChangeParams = ReturnType<typeof changeParams>;

/**
 * Moves a review on and records its resolution. What else the statement changes selects from this `moved`.
 *
 * @param may on which side of which expiry the change holds
 */
function change({ json, reviewId, version, to, resolutionId }: ChangeParams, may: RawBuilder<unknown>) {
  return sql`
WITH input AS (${decisionInput(json)}), moved AS (
  UPDATE reviews SET state = ${to}::text, version = version + 1, resolution_id = ${resolutionId}::text::uuid,
    resolved_at = CASE ${to}::text WHEN 'open' THEN NULL ELSE now() END,
    approval_expires_at = CASE ${to}::text WHEN 'approved' THEN now() + approval_for ELSE approval_expires_at END
  WHERE review_id = ${reviewId}::text::uuid AND version = ${version}::int AND (${may})
  RETURNING review_id
), resolved AS (
  ${insertDecisions(sql`FROM input WHERE EXISTS (SELECT FROM moved)`)}
)`;
}

const OPEN = sql`state = 'open' AND expires_at > now()`;
const APPROVED = sql`state = 'approved' AND approval_expires_at > now()`;

const ANSWER = prepared(
  (params: ChangeParams & Pick<ReviewAnswerChange, "answer" | "event">) => sql`
${change(params, OPEN)}, answered AS (
  INSERT INTO review_answers (review_id, operator, answer, comment, answered_at)
  SELECT review_id, ${params.answer.by}::text, ${params.answer.answer}::text, ${params.answer.comment}::text, now() FROM moved
), recorded AS (${insertEvent(params.event, "moved")})
SELECT review_id FROM moved`,
);

const SETTLE = prepared((params: ChangeParams) => {
  const may = sql`CASE ${params.to}::text
    WHEN 'expired' THEN state = 'open' AND expires_at <= now()
    WHEN 'lapsed' THEN state = 'approved' AND approval_expires_at <= now()
    WHEN 'void' THEN state = 'approved'
    ELSE false END`;
  return sql`${change(params, may)} SELECT review_id FROM moved`;
});

const WITHDRAW = prepared(
  (params: ChangeParams & Pick<WithdrawalChange, "withdrawal" | "event">) => sql`
${change(params, sql`${OPEN} OR ${APPROVED}`)}, withdrawn AS (
  INSERT INTO review_withdrawals (review_id, operator, comment, withdrawn_at)
  SELECT review_id, ${params.withdrawal.by}::text, ${params.withdrawal.comment}::text, now() FROM moved
), recorded AS (${insertEvent(params.event, "moved")})
SELECT review_id FROM moved`,
);

const NOTE_ALLOW = prepared(({ reviewId, version }: Pick<Review, "reviewId" | "version">, db) =>
  db
    .updateTable("reviews")
    .set((eb) => ({ first_allowed_at: NOW, version: eb("version", "+", 1) }))
    .where("review_id", "=", reviewId)
    .where("version", "=", version)
    .where("state", "=", "approved")
    .where("first_allowed_at", "is", null)
    .returning("review_id"),
);
