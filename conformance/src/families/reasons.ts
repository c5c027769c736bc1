/** Reason, source and decision must agree: each reason belongs to one decision, and a guard's reasons to a guard. */
import { allowing, DECISION, REASON, SOURCE } from "../answer.ts";
import { family, fields, MALFORMED } from "../case.ts";

const { cases, stub, guard } = family("agreement");
export const agreement = cases;

const saying = (decision: number | null, reason: number | null, source: number | null = SOURCE.service) =>
  fields((q) => ({ ...allowing(q), decision, reason, source }));
const { allow, deny, needsReview } = DECISION;

guard("allow-rule-denied", "ALLOW, because of RULE_DENIED", saying(allow, REASON.RULE_DENIED), MALFORMED);
guard(
  "allow-no-matching-rule",
  "ALLOW, because of NO_MATCHING_RULE",
  saying(allow, REASON.NO_MATCHING_RULE),
  MALFORMED,
);
guard("allow-rule-error", "ALLOW, because of RULE_ERROR", saying(allow, REASON.RULE_ERROR), MALFORMED);
guard(
  "allow-key-reused",
  "ALLOW, because of IDEMPOTENCY_KEY_REUSED",
  saying(allow, REASON.IDEMPOTENCY_KEY_REUSED),
  MALFORMED,
);
guard("allow-agent-frozen", "ALLOW, because of AGENT_FROZEN", saying(allow, REASON.AGENT_FROZEN), MALFORMED);
guard("allow-review-pending", "ALLOW, because of REVIEW_PENDING", saying(allow, REASON.REVIEW_PENDING), MALFORMED);
guard("allow-review-rejected", "ALLOW, because of REVIEW_REJECTED", saying(allow, REASON.REVIEW_REJECTED), MALFORMED);
guard("allow-review-expired", "ALLOW, because of REVIEW_EXPIRED", saying(allow, REASON.REVIEW_EXPIRED), MALFORMED);
guard(
  "allow-service-unavailable",
  "ALLOW, because of SERVICE_UNAVAILABLE",
  saying(allow, REASON.SERVICE_UNAVAILABLE),
  MALFORMED,
);
guard(
  "allow-deadline-exceeded",
  "ALLOW, because of DEADLINE_EXCEEDED",
  saying(allow, REASON.DEADLINE_EXCEEDED),
  MALFORMED,
);
guard(
  "allow-malformed-response",
  "ALLOW, because of MALFORMED_RESPONSE",
  saying(allow, REASON.MALFORMED_RESPONSE),
  MALFORMED,
);
guard("allow-request-refused", "ALLOW, because of REQUEST_REFUSED", saying(allow, REASON.REQUEST_REFUSED), MALFORMED);
guard("allow-circuit-open", "ALLOW, because of CIRCUIT_OPEN", saying(allow, REASON.CIRCUIT_OPEN), MALFORMED);
guard("allow-reason-absent", "ALLOW, without a reason", saying(allow, null), MALFORMED);
guard("allow-reason-zero", "ALLOW, because of REASON_UNSPECIFIED", saying(allow, REASON.UNSPECIFIED), MALFORMED);
for (const unknown of [11, 12, 13, 19, 26, 99, 129, 257, -1]) {
  guard(
    `allow-unknown-reason-${unknown}`,
    `ALLOW, because of the unknown reason ${unknown}`,
    saying(allow, unknown),
    MALFORMED,
  );
}
guard(
  "allow-guard-denied",
  "ALLOW by a guard, because of SERVICE_UNAVAILABLE",
  saying(allow, REASON.SERVICE_UNAVAILABLE, SOURCE.guard),
  MALFORMED,
);

stub("deny-rule-allowed", "DENY, because of RULE_ALLOWED", saying(deny, REASON.RULE_ALLOWED), MALFORMED);
stub("deny-review-approved", "DENY, because of REVIEW_APPROVED", saying(deny, REASON.REVIEW_APPROVED), MALFORMED);
stub("deny-circuit-bypass", "DENY, because of CIRCUIT_BYPASS", saying(deny, REASON.CIRCUIT_BYPASS), MALFORMED);
stub("deny-review-pending", "DENY, because of REVIEW_PENDING", saying(deny, REASON.REVIEW_PENDING), MALFORMED);
stub("deny-reason-absent", "DENY, without a reason", saying(deny, null), MALFORMED);
stub("deny-unknown-reason", "DENY, because of the unknown reason 99", saying(deny, 99), MALFORMED);
guard(
  "review-rule-allowed",
  "NEEDS_REVIEW, because of RULE_ALLOWED",
  saying(needsReview, REASON.RULE_ALLOWED),
  MALFORMED,
);
guard("review-rule-denied", "NEEDS_REVIEW, because of RULE_DENIED", saying(needsReview, REASON.RULE_DENIED), MALFORMED);
guard(
  "review-approved",
  "NEEDS_REVIEW, because of REVIEW_APPROVED",
  saying(needsReview, REASON.REVIEW_APPROVED),
  MALFORMED,
);
guard("review-reason-absent", "NEEDS_REVIEW, without a reason", saying(needsReview, null), MALFORMED);
stub("absent-decision", "No decision, because of RULE_ALLOWED", saying(null, REASON.RULE_ALLOWED), MALFORMED);
stub("unknown-decision", "The unknown decision 3, because of RULE_ALLOWED", saying(3, REASON.RULE_ALLOWED), MALFORMED);
stub("minus-one-decision", "The decision −1, because of RULE_ALLOWED", saying(-1, REASON.RULE_ALLOWED), MALFORMED);
stub(
  "reason-as-decision",
  "The decision 25 (CIRCUIT_BYPASS's number)",
  saying(REASON.CIRCUIT_BYPASS, REASON.CIRCUIT_BYPASS),
  MALFORMED,
);

// Rules and reviews are the service's; a bypass is a guard's alone.
guard(
  "source-guard-rule-allowed",
  "ALLOW by rule, decided by a guard",
  saying(allow, REASON.RULE_ALLOWED, SOURCE.guard),
  MALFORMED,
);
guard(
  "source-guard-review-approved",
  "ALLOW by review, decided by a guard",
  saying(allow, REASON.REVIEW_APPROVED, SOURCE.guard),
  MALFORMED,
);
guard(
  "source-service-bypass",
  "ALLOW by bypass, decided by the service",
  saying(allow, REASON.CIRCUIT_BYPASS, SOURCE.service),
  MALFORMED,
);
guard("source-absent", "ALLOW, and nobody decided it", saying(allow, REASON.RULE_ALLOWED, null), MALFORMED);
guard(
  "source-zero",
  "ALLOW, decided by SOURCE_UNSPECIFIED",
  saying(allow, REASON.RULE_ALLOWED, SOURCE.unspecified),
  MALFORMED,
);
guard("source-unknown", "ALLOW, decided by the unknown source 3", saying(allow, REASON.RULE_ALLOWED, 3), MALFORMED);
guard("source-minus-one", "ALLOW, decided by the source −1", saying(allow, REASON.RULE_ALLOWED, -1), MALFORMED);

// A service never acts as a guard, and a client of a sidecar needs no guard of its own.
guard(
  "source-guard-bypass",
  "ALLOW by bypass, decided by a guard",
  saying(allow, REASON.CIRCUIT_BYPASS, SOURCE.guard),
  MALFORMED,
);

// Tools deduplicate by the decision's id: an allow without one could be acted on twice.
guard(
  "decision-id-absent",
  "ALLOW, without a decision id",
  fields((q) => ({ ...allowing(q), decisionId: "" })),
  MALFORMED,
);
guard(
  "decision-id-no-uuid",
  "ALLOW, with a decision id that is no UUID",
  fields((q) => ({ ...allowing(q), decisionId: "1" })),
  MALFORMED,
);
