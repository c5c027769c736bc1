import { type Kysely, sql } from "kysely";
import type { HashedEvent } from "../audit/row/event.ts";
import type { DecisionRow } from "../audit/row/record.ts";
import type { Review, Withdrawal } from "../review/review.ts";
import { decisionInput, decisionJson, insertDecisions } from "./decision-input.ts";
import { insertEvent } from "./events.ts";
import type { Schema } from "./schema.ts";
import { NOW, prepared } from "./statements.ts";

/** A withdrawal, decided on the version of the review that was read. */
export interface WithdrawalChange {
  readonly review: Review;
  readonly resolution: { readonly row: DecisionRow; readonly hash: Uint8Array };
  readonly withdrawal: Omit<Withdrawal, "at">;
  readonly event: HashedEvent;
}

/** Withdraws an approval. False if the review has changed since it was read, or its time is over. */
export async function withdrawApproval(db: Kysely<Schema>, change: WithdrawalChange): Promise<boolean> {
  const { review, resolution, withdrawal, event } = change;
  const params = {
    json: JSON.stringify([decisionJson(resolution.row, resolution.hash)]),
    resolutionId: resolution.row.decisionId,
    reviewId: review.reviewId,
    version: review.version,
    withdrawal,
    event,
  };
  return (await WITHDRAW.execute(db, params)).length > 0;
}

/**
 * Records that an approved review is answered allow. False if it has changed since it was read.
 *
 * INVARIANT: it makes a new version, as a withdrawal does. So of the two one comes first, and the other sees it.
 */
export async function noteAllow(db: Kysely<Schema>, { reviewId, version }: Review): Promise<boolean> {
  return (await NOTE_ALLOW.execute(db, { reviewId, version })).length > 0;
}

interface WithdrawalParams {
  readonly json: string;
  readonly resolutionId: string;
  readonly reviewId: string;
  readonly version: number;
  readonly withdrawal: Omit<Withdrawal, "at">;
  readonly event: HashedEvent;
}

const WITHDRAW = prepared<WithdrawalParams, { review_id: string }>(
  ({ json, resolutionId, reviewId, version, withdrawal, event }) => sql`
WITH input AS (
  ${decisionInput(json)}
), moved AS (
  UPDATE reviews
  SET state = 'withdrawn', version = version + 1, resolution_id = ${resolutionId}::text::uuid, resolved_at = now()
  WHERE review_id = ${reviewId}::text::uuid AND version = ${version}::int
    AND (state = 'open' AND expires_at > now() OR state = 'approved' AND approval_expires_at > now())
  RETURNING review_id
), resolved AS (
  ${insertDecisions(sql`FROM input WHERE EXISTS (SELECT FROM moved)`)}
), withdrawn AS (
  INSERT INTO review_withdrawals (review_id, operator, comment, withdrawn_at)
  SELECT review_id, ${withdrawal.by}::text, ${withdrawal.comment}::text, now() FROM moved
), recorded AS (
  ${insertEvent(event, "moved")}
)
SELECT review_id FROM moved`,
);

const NOTE_ALLOW = prepared(({ reviewId, version }: { reviewId: string; version: number }, db) =>
  db
    .updateTable("reviews")
    .set((eb) => ({ first_allowed_at: NOW, version: eb("version", "+", 1) }))
    .where("review_id", "=", reviewId)
    .where("version", "=", version)
    .where("state", "=", "approved")
    .where("first_allowed_at", "is", null)
    .returning("review_id"),
);
