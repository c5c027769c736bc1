/**
 * Fields that come more than once, in both orders. Protobuf lets the last one win, so a stub allows some of these; a
 * guard wants each field that it relies on exactly once, for two readers might disagree about which one counts.
 */
import { allowing, type AnswerFields, DECISION, denying, FIELD, protoParts, REASON, toProto } from "../answer.ts";
import { family, MALFORMED, proto } from "../case.ts";
import { concat, lenField, overlong, tag, varintField } from "../protobuf.ts";
import type { Question } from "../question.ts";

const { cases, stub, guard } = family("repeated");
export const repeated = cases;

/** A right allow, with these bytes in place of one field. */
const replace = (field: number, make: (q: Question) => Uint8Array) =>
  proto((q) => toProto(allowing(q), { [field]: make(q) }));
const decisions = (...values: readonly number[]) =>
  replace(FIELD.decision, () => concat(...values.map((value) => varintField(FIELD.decision, value))));

const { unspecified, allow, deny, needsReview } = DECISION;
guard("deny-then-allow", "DENY, and then ALLOW", decisions(deny, allow), MALFORMED);
stub("allow-then-deny", "ALLOW, and then DENY", decisions(allow, deny), MALFORMED);
guard("allow-twice", "ALLOW, twice", decisions(allow, allow), MALFORMED);
guard(
  "allow-a-hundred-times",
  "ALLOW, a hundred times",
  decisions(...Array.from({ length: 100 }, () => allow)),
  MALFORMED,
);
guard("zero-then-allow", "0, and then ALLOW", decisions(unspecified, allow), MALFORMED);
stub("allow-then-zero", "ALLOW, and then 0", decisions(allow, unspecified), MALFORMED);
guard("review-then-allow", "NEEDS_REVIEW, and then ALLOW", decisions(needsReview, allow), MALFORMED);
guard("allow-then-review", "ALLOW, and then NEEDS_REVIEW", decisions(allow, needsReview), MALFORMED);
guard("unknown-then-allow", "3, and then ALLOW", decisions(3, allow), MALFORMED);
stub("allow-then-unknown", "ALLOW, and then 3", decisions(allow, 3), MALFORMED);
guard("minus-one-then-allow", "−1, and then ALLOW", decisions(-1, allow), MALFORMED);
stub("allow-then-minus-one", "ALLOW, and then −1", decisions(allow, -1), MALFORMED);
guard("allow-deny-allow", "ALLOW, DENY, ALLOW", decisions(allow, deny, allow), MALFORMED);
stub("deny-allow-deny", "DENY, ALLOW, DENY", decisions(deny, allow, deny), MALFORMED);

const allowBytes = varintField(FIELD.decision, allow);
const other = {
  len: lenField(FIELD.decision, Uint8Array.of(2)),
  "overlong-deny": concat(tag(FIELD.decision, 0), overlong(2, 3)),
};
guard(
  "len-then-allow",
  "The decision as a string, and then ALLOW",
  replace(FIELD.decision, () => concat(other.len, allowBytes)),
  MALFORMED,
);
guard(
  "allow-then-len",
  "ALLOW, and then the decision as a string",
  replace(FIELD.decision, () => concat(allowBytes, other.len)),
  MALFORMED,
);
guard(
  "overlong-deny-then-allow",
  "DENY in too many bytes, and then ALLOW",
  replace(FIELD.decision, () => concat(other["overlong-deny"], allowBytes)),
  MALFORMED,
);
stub(
  "allow-then-overlong-deny",
  "ALLOW, and then DENY in too many bytes",
  replace(FIELD.decision, () => concat(allowBytes, other["overlong-deny"])),
  MALFORMED,
);
guard(
  "deny-first-allow-last",
  "DENY is the first field, ALLOW the last",
  proto((q) => concat(varintField(FIELD.decision, deny), toProto(allowing(q)))),
  MALFORMED,
);
stub(
  "allow-first-deny-last",
  "ALLOW is the first field, DENY the last",
  proto((q) => concat(allowBytes, toProto({ ...allowing(q), decision: deny }))),
  MALFORMED,
);

guard(
  "whole-deny-then-allow",
  "A whole deny, and a whole allow after it: protobuf merges them",
  proto((q) => concat(toProto(denying(q)), toProto(allowing(q)))),
  MALFORMED,
);
stub(
  "whole-allow-then-deny",
  "A whole allow, and a whole deny after it",
  proto((q) => concat(toProto(allowing(q)), toProto(denying(q)))),
  MALFORMED,
);
guard(
  "whole-allow-twice",
  "A whole allow, twice",
  proto((q) => concat(toProto(allowing(q)), toProto(allowing(q)))),
  MALFORMED,
);

const reasons = (...values: readonly number[]) =>
  replace(FIELD.reason, () => concat(...values.map((value) => varintField(FIELD.reason, value))));
guard(
  "reason-deny-then-allow",
  "The reason RULE_DENIED, and then RULE_ALLOWED",
  reasons(REASON.RULE_DENIED, REASON.RULE_ALLOWED),
  MALFORMED,
);
guard(
  "reason-allow-then-deny",
  "The reason RULE_ALLOWED, and then RULE_DENIED",
  reasons(REASON.RULE_ALLOWED, REASON.RULE_DENIED),
  MALFORMED,
);
guard("reason-twice", "The reason RULE_ALLOWED, twice", reasons(REASON.RULE_ALLOWED, REASON.RULE_ALLOWED), MALFORMED);

// Which of two echoes names the question? An answer that names two names none.
const echoes: Record<string, { field: number; foreign: Partial<AnswerFields> }> = {
  agent: { field: FIELD.agentId, foreign: { agentId: "somebody-else" } },
  tool: { field: FIELD.tool, foreign: { tool: "shell.exec" } },
  key: { field: FIELD.idempotencyKey, foreign: { idempotencyKey: "another-key" } },
  nonce: { field: FIELD.nonce, foreign: { nonce: new Uint8Array(16).fill(7) } },
};
for (const [name, { field, foreign }] of Object.entries(echoes)) {
  const both = (q: Question) => {
    const right = protoParts(allowing(q)).get(field) ?? new Uint8Array();
    const wrong = protoParts({ ...allowing(q), ...foreign }).get(field) ?? new Uint8Array();
    return { right, wrong };
  };
  guard(
    `${name}-other-then-right`,
    `Another ${name}, and then the right one`,
    replace(field, (q) => concat(both(q).wrong, both(q).right)),
    MALFORMED,
  );
  guard(
    `${name}-right-then-other`,
    `The right ${name}, and then another`,
    replace(field, (q) => concat(both(q).right, both(q).wrong)),
    MALFORMED,
  );
  guard(
    `${name}-twice`,
    `The right ${name}, twice`,
    replace(field, (q) => concat(both(q).right, both(q).right)),
    MALFORMED,
  );
}
