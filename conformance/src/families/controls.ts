/** Right answers. A client that denies these is broken too: fail-closed is not always-closed. */
import { allowing, DECISION, denying, encode, FIELD, REASON, SOURCE, toJson, toProto } from "../answer.ts";
import { ANY, family, fields, json, proto } from "../case.ts";
import { fixed32Field, fixed64Field, lenField, varintField, concat } from "../protobuf.ts";
import type { Question } from "../question.ts";

const { cases, allow, answered } = family("control");
export const controls = cases;

allow("plain", "A right answer", fields(allowing));
allow(
  "review-approved",
  "A right answer after a review",
  fields((q) => ({ ...allowing(q), reason: REASON.REVIEW_APPROVED })),
);
allow(
  "replayed",
  "A right answer to a retry",
  fields((q) => ({ ...allowing(q), replayed: true })),
);
allow(
  "no-rule-id",
  "An allow without a rule's id",
  fields((q) => ({ ...allowing(q), ruleId: "" })),
);
allow(
  "no-message",
  "An allow without a message",
  fields((q) => ({ ...allowing(q), message: "" })),
);
allow(
  "long-message",
  "A message of 8 KiB",
  fields((q) => ({ ...allowing(q), message: "ü".repeat(4096) })),
);
allow(
  "message-in-any-script",
  "A message in several scripts",
  fields((q) => ({ ...allowing(q), message: "Дозволено \u{1f642} 許可 \u202eabc" })),
);
allow(
  "message-that-says-deny",
  "The message speaks of a deny; the decision does not",
  fields((q) => ({ ...allowing(q), message: "DECISION_DENY REASON_RULE_DENIED" })),
);

const deniedFor = (reason: number) => fields((q: Question) => ({ ...denying(q), reason }));
answered("rule-denied", "deny", "A deny by rule", deniedFor(REASON.RULE_DENIED), ["RULE_DENIED"]);
answered("no-matching-rule", "deny", "A deny for want of a rule", deniedFor(REASON.NO_MATCHING_RULE), [
  "NO_MATCHING_RULE",
]);
answered("rule-error", "deny", "A deny for a rule that could not be evaluated", deniedFor(REASON.RULE_ERROR), [
  "RULE_ERROR",
]);
answered("key-reused", "deny", "A deny for a key that another request used", deniedFor(REASON.IDEMPOTENCY_KEY_REUSED), [
  "IDEMPOTENCY_KEY_REUSED",
]);
answered("agent-frozen", "deny", "A deny for a frozen agent", deniedFor(REASON.AGENT_FROZEN), ["AGENT_FROZEN"]);
answered("review-rejected", "deny", "A deny by a reviewer", deniedFor(REASON.REVIEW_REJECTED), ["REVIEW_REJECTED"]);
answered("review-expired", "deny", "A deny for a review that nobody answered", deniedFor(REASON.REVIEW_EXPIRED), [
  "REVIEW_EXPIRED",
]);
answered(
  "denied-replayed",
  "deny",
  "A deny, replayed",
  fields((q) => ({ ...denying(q), replayed: true })),
  ["RULE_DENIED"],
);
answered(
  "review-pending",
  "needs_review",
  "A review is pending",
  fields((q) => ({ ...allowing(q), reason: REASON.REVIEW_PENDING, decision: DECISION.needsReview })),
  ["REVIEW_PENDING"],
);

// A sidecar's guard answers these, and a stub behind it must read them.
const guardDenies = (reason: number) => fields((q: Question) => ({ ...denying(q), reason, source: SOURCE.guard }));
answered(
  "guard-unavailable",
  "deny",
  "A sidecar's deny: the service is down",
  guardDenies(REASON.SERVICE_UNAVAILABLE),
  ANY,
);
answered(
  "guard-deadline",
  "deny",
  "A sidecar's deny: the service was late",
  guardDenies(REASON.DEADLINE_EXCEEDED),
  ANY,
);
answered(
  "guard-malformed",
  "deny",
  "A sidecar's deny: the service's answer was malformed",
  guardDenies(REASON.MALFORMED_RESPONSE),
  ANY,
);
answered(
  "guard-refused",
  "deny",
  "A sidecar's deny: the service refused the request",
  guardDenies(REASON.REQUEST_REFUSED),
  ANY,
);

// A newer service may add fields with numbers below the decision's; a reader passes over what it does not know.
const withExtra = (extra: Uint8Array) =>
  proto((q) => toProto(allowing(q), { [FIELD.source]: concat(varintField(FIELD.source, SOURCE.service), extra) }));
allow("unknown-varint", "An unknown field of wire type 0", withExtra(varintField(1000, 2)));
allow("unknown-fixed64", "An unknown field of wire type 1", withExtra(fixed64Field(1000, 2n)));
allow("unknown-len", "An unknown field of wire type 2", withExtra(lenField(1000, "DECISION_DENY")));
allow("unknown-fixed32", "An unknown field of wire type 5", withExtra(fixed32Field(1000, 2)));
allow(
  "unknown-message",
  "An unknown field that holds a deny",
  proto((q) =>
    toProto(allowing(q), { [FIELD.ruleId]: concat(lenField(FIELD.ruleId, "r"), lenField(1000, toProto(denying(q)))) }),
  ),
);
allow(
  "unknown-many",
  "A hundred unknown fields",
  withExtra(concat(...Array.from({ length: 100 }, (_, n) => varintField(1000 + n, n)))),
);
allow(
  "unknown-in-timestamp",
  "An unknown field inside decided_at",
  proto((q) =>
    toProto(allowing(q), {
      [FIELD.decidedAt]: lenField(FIELD.decidedAt, concat(varintField(1, 1_780_000_000), varintField(99, 1))),
    }),
  ),
);
allow(
  "explicit-default",
  "replayed = false, written out",
  proto((q) => toProto(allowing(q), { [FIELD.replayed]: varintField(FIELD.replayed, 0) })),
);

allow(
  "json-pretty",
  "JSON with white space",
  json((q) => JSON.stringify(JSON.parse(toJson(allowing(q))), null, 2)),
);
allow(
  "json-white-space-around",
  "White space before and after the JSON",
  json((q) => ` \r\n\t${toJson(allowing(q))}\n\t `),
);
allow(
  "json-reordered",
  "Members in another order: JSON has none",
  json((q) => toJson(allowing(q)).replace(/^\{(.*),("decision":"[A-Z_]+")\}$/, "{$2,$1}")),
);
allow(
  "json-escapes",
  "Letters of the echoed tool as escapes",
  json((q) => toJson(allowing(q), { tool: JSON.stringify(q.tool).replace("conformance", "\\u0063onformance") })),
);
allow(
  "json-unknown-member",
  "A member that the contract does not know",
  json((q) => toJson(allowing(q), { conformance: '{"decision":"DECISION_DENY"}' })),
);
allow(
  "json-in-utf8",
  "Characters beyond ASCII, unescaped",
  json((q) => new TextDecoder().decode(encode({ ...allowing(q), message: "Дозволено 許可 \u{1f642}" }, q))),
);
