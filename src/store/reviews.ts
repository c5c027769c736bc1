import { DECISION_COLUMNS, type DecisionRow, type EventRow } from "../audit/row/record.ts";
import type { Micros } from "../core/clock.ts";
import type { Review, ReviewAnswer, ReviewState, Withdrawal } from "../review/review.ts";
import { type Database, microsOf, type SqlParam } from "./database.ts";
import { COLUMN_VALUES, decisionInputText, decisionJson } from "./decision-input.ts";
import { eventParams, eventText } from "./event-text.ts";
import { noteAllow, withdrawApproval, type WithdrawalChange } from "./review-withdrawals.ts";

interface Hashed<Row> {
  readonly row: Row;
  readonly hash: Uint8Array;
}

/** A change of one review, decided on the version that was read. */
export interface ReviewChange {
  readonly review: Review;
  readonly to: ReviewState;
  /** The row that resolves it; null if it stays open. */
  readonly resolution: Hashed<DecisionRow> | null;
}

/** What one person said, and the event that tells of it. */
export interface ReviewAnswerChange extends ReviewChange {
  readonly answer: Omit<ReviewAnswer, "at">;
  readonly event: Hashed<EventRow>;
}

/** A review as it was read, and the store's time then. */
export interface ReadReview {
  readonly review: Review;
  readonly now: Micros;
}

export interface ReviewFilter {
  readonly state: ReviewState | null;
  readonly agentId: string | null;
  readonly tool: string | null;
  /** Only reviews that were opened before this one; null for the newest. */
  readonly before: string | null;
  readonly limit: number;
}

/**
 * Reviews. Each change is committed together with the rows of the trail that tell of it, or not at all.
 *
 * INVARIANT: a change holds for one version, and only on its side of the review's or approval's expiry by the store's clock. So of
 * all who change a review at once one does, and there is one row for each resolution.
 */
export class SqlReviewStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async find(reviewId: string): Promise<ReadReview | null> {
    return await this.#one(`${SELECT} WHERE r.review_id = $1::text::uuid`, [reviewId], "find_review");
  }

  /** The review that the decision opened. */
  async findByDecision(decisionId: string): Promise<ReadReview | null> {
    return await this.#one(`${SELECT} WHERE r.decision_id = $1::text::uuid`, [decisionId], "find_review_of");
  }

  /** Newest first. */
  async list({ state, agentId, tool, before, limit }: ReviewFilter): Promise<Review[]> {
    const rows = await this.#database.query<ReviewRow>(LIST, [state, agentId, tool, before, limit]);
    return rows.map(reviewOf);
  }

  /** Open reviews whose time is over, the oldest first. */
  async listExpired(limit: number): Promise<ReadReview[]> {
    const rows = await this.#database.query<ReviewRow>(
      `${SELECT} WHERE r.state = 'open' AND r.expires_at <= now() ORDER BY r.expires_at LIMIT $1`,
      [limit],
    );
    return rows.map(readOf);
  }

  /** Those of `decisionIds` whose reviews are not open any more, or should not be. */
  async resolvedAmong(decisionIds: readonly string[]): Promise<string[]> {
    const rows = await this.#database.query<{ decision_id: string }>(
      `SELECT decision_id FROM reviews
       WHERE decision_id = ANY ($1::text::uuid[]) AND (state <> 'open' OR expires_at <= now())`,
      [`{${decisionIds.join(",")}}`],
      { name: "resolved_reviews" },
    );
    return rows.map(({ decision_id }) => decision_id);
  }

  /** How many are open. */
  async countPending(): Promise<number> {
    const [row] = await this.#database.query<{ count: number }>(
      "SELECT count(*)::int AS count FROM reviews WHERE state = 'open' AND expires_at > now()",
    );
    return row?.count ?? 0;
  }

  /** Adds an answer. False if the review has changed since it was read, or its time is over. */
  async answer(change: ReviewAnswerChange): Promise<boolean> {
    const { by, answer, comment } = change.answer;
    const params = [...changeParams(change), by, answer, comment, ...eventParams(change.event)];
    return (await this.#database.query(ANSWER, params, { name: "answer_review" })).length > 0;
  }

  /** Records what time or another policy has made of a review. False if it has changed since it was read. */
  async settle(change: ReviewChange): Promise<boolean> {
    return (await this.#database.query(SETTLE, changeParams(change), { name: "settle_review" })).length > 0;
  }

  /** Withdraws an approval. False if the review has changed since it was read, or its time is over. */
  async withdraw(change: WithdrawalChange): Promise<boolean> {
    return await withdrawApproval(this.#database.kysely, change);
  }

  /** Records that an approved review is answered allow. False if it has changed since it was read. */
  async noteAllow(review: Review): Promise<boolean> {
    return await noteAllow(this.#database.kysely, review);
  }

  async #one(text: string, params: readonly SqlParam[], name: string): Promise<ReadReview | null> {
    const [row] = await this.#database.query<ReviewRow>(text, params, { name });
    return row === undefined ? null : readOf(row);
  }
}

interface ReviewRow {
  readonly [column: string]: unknown;
}

const MICROS_COLUMNS = [
  "recorded_at",
  "opened_at",
  "expires_at",
  "resolved_at",
  "approval_expires_at",
  "first_allowed_at",
];

const SELECT = `
SELECT r.review_id, r.decision_id, r.agent_id, r.tool, r.idempotency_key, r.rule_id, r.policy_version, r.request_digest,
  r.payload_digest, r.approvers, r.state, r.version, r.resolution_id,
  ${MICROS_COLUMNS.map((name) => `${microsOf(`r.${name}`)} AS ${name}`).join(", ")},
  ${microsOf("r.approval_for")} AS approval_for, ${microsOf("(r.expires_at - r.opened_at)")} AS expiry,
  ${microsOf("now()")} AS now,
  (SELECT coalesce(json_agg(json_build_object('by', operator, 'answer', answer, 'comment', comment,
     'at', ${microsOf("answered_at")}) ORDER BY answered_at, operator), '[]')
   FROM review_answers a WHERE a.review_id = r.review_id)::text AS answers,
  (SELECT json_build_object('by', operator, 'comment', comment, 'at', ${microsOf("withdrawn_at")})
   FROM review_withdrawals w WHERE w.review_id = r.review_id)::text AS withdrawal
FROM reviews r`;

const LIST = `${SELECT}
WHERE ($1::text IS NULL OR r.state = $1::text) AND ($2::text IS NULL OR r.agent_id = $2::text)
  AND ($3::text IS NULL OR r.tool = $3::text) AND ($4::text IS NULL OR r.review_id < $4::text::uuid)
ORDER BY r.review_id DESC LIMIT $5`;

/** Parameters of a change: the decision's row, of which there is one or none, and these four. */
const [REVIEW_ID, VERSION, TO, RESOLUTION_ID] = ["$2", "$3", "$4", "$5"];

/**
 * Moves a review on and records its resolution. Whoever else is to be told of a resolved review, such as an outbox, selects from
 * this `moved` in the same statement.
 *
 * @param may on which side of which expiry the change holds
 */
function change(may: string): string {
  return `
WITH input AS (${decisionInputText()}), moved AS (
  UPDATE reviews SET state = ${TO}::text, version = version + 1, resolution_id = ${RESOLUTION_ID}::text::uuid,
    resolved_at = CASE ${TO}::text WHEN 'open' THEN NULL ELSE now() END,
    approval_expires_at = CASE ${TO}::text WHEN 'approved' THEN now() + approval_for ELSE approval_expires_at END
  WHERE review_id = ${REVIEW_ID}::text::uuid AND version = ${VERSION}::int AND (${may})
  RETURNING review_id, decision_id, agent_id, tool, state
), resolved AS (
  INSERT INTO audit_decisions (${DECISION_COLUMNS.map(({ name }) => name).join(", ")}, hash)
  SELECT ${COLUMN_VALUES}, hash FROM input WHERE EXISTS (SELECT FROM moved)
)`;
}

const ANSWER = `${change("state = 'open' AND expires_at > now()")}, answered AS (
  INSERT INTO review_answers (review_id, operator, answer, comment, answered_at)
  SELECT review_id, $6::text, $7::text, $8::text, now() FROM moved
), told AS (${eventText(9, "FROM moved")})
SELECT review_id FROM moved`;

const SETTLE = `${change(`CASE ${TO}::text
    WHEN 'expired' THEN state = 'open' AND expires_at <= now()
    WHEN 'lapsed' THEN state = 'approved' AND approval_expires_at <= now()
    WHEN 'void' THEN state = 'approved'
    ELSE false END`)}
SELECT review_id FROM moved`;

function changeParams({ review, to, resolution }: ReviewChange): SqlParam[] {
  return [
    JSON.stringify(resolution === null ? [] : [decisionJson(resolution.row, resolution.hash)]),
    review.reviewId,
    review.version,
    to,
    resolution?.row.decisionId ?? null,
  ];
}

function readOf(row: ReviewRow): ReadReview {
  return { review: reviewOf(row), now: Number(row["now"]) };
}

function reviewOf(row: ReviewRow): Review {
  const text = (name: string): string => row[name] as string;
  const micros = (name: string): Micros => Number(row[name]);
  const microsOrNull = (name: string): Micros | null => (row[name] === null ? null : micros(name));
  const answers = JSON.parse(text("answers")) as (Omit<ReviewAnswer, "at"> & { at: string })[];
  const withdrawal = JSON.parse((row["withdrawal"] as string | null) ?? "null") as (Withdrawal & { at: string }) | null;
  return {
    reviewId: text("review_id"),
    decisionId: text("decision_id"),
    recordedAt: micros("recorded_at"),
    agentId: text("agent_id"),
    tool: text("tool"),
    idempotencyKey: text("idempotency_key"),
    ruleId: row["rule_id"] as string | null,
    policyVersion: text("policy_version"),
    requestDigest: row["request_digest"] as Uint8Array,
    payloadDigest: row["payload_digest"] as Uint8Array,
    terms: {
      approvers: Number(row["approvers"]),
      approvalMicros: micros("approval_for"),
      expiryMicros: micros("expiry"),
    },
    openedAt: micros("opened_at"),
    expiresAt: micros("expires_at"),
    state: text("state") as ReviewState,
    version: Number(row["version"]),
    answers: answers.map((answer) => ({ ...answer, at: Number(answer.at) })),
    resolvedAt: microsOrNull("resolved_at"),
    resolutionId: row["resolution_id"] as string | null,
    approvalExpiresAt: microsOrNull("approval_expires_at"),
    firstAllowedAt: microsOrNull("first_allowed_at"),
    withdrawal: withdrawal === null ? null : { ...withdrawal, at: Number(withdrawal.at) },
  };
}
