import { type RawBuilder, sql } from "kysely";
import type { Entry } from "../audit/write/writer.ts";
import type { StoredInterval } from "./schema.ts";

/** What the record statement reads besides, where it opens reviews; NULL for entries that open none. */
export const REVIEW_INPUTS = [
  { name: "review_approvers", type: "int" },
  { name: "review_approval", type: "bigint" },
  { name: "review_expiry", type: "bigint" },
];

const APPROVAL: RawBuilder<StoredInterval> = sql`review_approval * interval '1 microsecond'`;
const EXPIRY: RawBuilder<StoredInterval> = sql`review_expiry * interval '1 microsecond'`;

/** How long a review and an approval at its last moment live; NULL for entries that open none. */
export const REVIEW_LIFETIME: RawBuilder<StoredInterval> = sql`${EXPIRY} + ${APPROVAL}`;

/** Opens the winners' reviews. */
export const OPENED: RawBuilder<object> = sql`opened AS (
  INSERT INTO reviews (review_id, decision_id, recorded_at, agent_id, tool, idempotency_key, rule_id, policy_version,
    request_digest, payload_digest, approvers, approval_for, opened_at, expires_at)
  SELECT review_id, decision_id, ('epoch'::timestamptz + recorded_at * interval '1 microsecond'), agent_id, tool,
    idempotency_key, rule_id, policy_version, request_digest, payload_digest, review_approvers, ${APPROVAL}, now(),
    now() + ${EXPIRY}
  FROM winners WHERE review_approvers IS NOT NULL
)`;

/** The values of {@link REVIEW_INPUTS}. */
export function reviewJson({ review }: Entry): object {
  if (review === null) return {};
  const { approvers, approvalMicros, expiryMicros } = review;
  return { review_approvers: approvers, review_approval: approvalMicros, review_expiry: expiryMicros };
}
