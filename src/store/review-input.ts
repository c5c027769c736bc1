import type { Entry } from "../audit/writer.ts";
import { timestampOf } from "./database.ts";

/** What the record statement reads besides, where it opens reviews; NULL for entries that open none. */
export const REVIEW_INPUTS = [
  { name: "review_approvers", type: "int" },
  { name: "review_approval", type: "bigint" },
  { name: "review_expiry", type: "bigint" },
];

const APPROVAL = "review_approval * interval '1 microsecond'";
const EXPIRY = "review_expiry * interval '1 microsecond'";

/** How long a review and an approval at its last moment live; NULL for entries that open none. */
export const REVIEW_LIFETIME = `${EXPIRY} + ${APPROVAL}`;

/**
 * Opens the winners' reviews. Whoever else is to be told of an opened review, such as an outbox, selects from this `opened` in the
 * same statement.
 */
export const OPENED = `opened AS (
  INSERT INTO reviews (review_id, decision_id, recorded_at, agent_id, tool, idempotency_key, rule_id, policy_version,
    request_digest, payload_digest, approvers, approval_for, opened_at, expires_at)
  SELECT review_id, decision_id, ${timestampOf("recorded_at")}, agent_id, tool, idempotency_key, rule_id, policy_version,
    request_digest, payload_digest, review_approvers, ${APPROVAL}, now(), now() + ${EXPIRY}
  FROM winners WHERE review_approvers IS NOT NULL
  RETURNING review_id, decision_id, agent_id, tool
)`;

/** The values of {@link REVIEW_INPUTS}. */
export function reviewJson({ review }: Entry): object {
  if (review === null) return {};
  const { approvers, approvalMicros, expiryMicros } = review;
  return { review_approvers: approvers, review_approval: approvalMicros, review_expiry: expiryMicros };
}
