/**
 * The right values under wrong wire types and field numbers. A known field of another wire type is an unknown field, so
 * the field it should have been is absent.
 */
import { allowing, FIELD, toProto } from "../answer.ts";
import { family, MALFORMED, proto } from "../case.ts";
import { concat, fixed32Field, fixed64Field, groupField, lenField, tag, varintField } from "../protobuf.ts";
import type { Question } from "../question.ts";

const { cases, stub, guard } = family("wire-type");
export const wireTypes = cases;

const { decision, reason, agentId, tool, idempotencyKey, nonce } = FIELD;
const NONE = new Uint8Array();
const replace = (field: number, make: (q: Question) => Uint8Array) =>
  proto((q) => toProto(allowing(q), { [field]: make(q) }));
const decided = (bytes: Uint8Array) => replace(decision, () => bytes);

stub("decision-fixed64", "ALLOW as eight bytes (wire type 1)", decided(fixed64Field(decision, 1n)), MALFORMED);
stub("decision-fixed32", "ALLOW as four bytes (wire type 5)", decided(fixed32Field(decision, 1)), MALFORMED);
stub("decision-double", "1.0 as a double", decided(fixed64Field(decision, 0x3ff0_0000_0000_0000n)), MALFORMED);
stub("decision-float", "1.0 as a float", decided(fixed32Field(decision, 0x3f80_0000)), MALFORMED);
stub(
  "decision-len",
  "ALLOW as a string of one byte (wire type 2)",
  decided(lenField(decision, Uint8Array.of(1))),
  MALFORMED,
);
stub("decision-packed", "ALLOW as a packed list", decided(lenField(decision, Uint8Array.of(1, 1))), MALFORMED);
stub("decision-empty-len", "An empty string", decided(lenField(decision, NONE)), MALFORMED);
// A reader that takes the length for the value sees ALLOW in each of these.
stub("decision-len-1-zero", "A string of one byte, 0", decided(lenField(decision, Uint8Array.of(0))), MALFORMED);
stub("decision-name", "The text DECISION_ALLOW", decided(lenField(decision, "DECISION_ALLOW")), MALFORMED);
stub("decision-short-name", "The text ALLOW", decided(lenField(decision, "ALLOW")), MALFORMED);
stub("decision-message", "A message whose field 1 is ALLOW", decided(lenField(decision, varintField(1, 1))), MALFORMED);
stub("decision-group", "A group that holds ALLOW", decided(groupField(decision, varintField(decision, 1))), MALFORMED);
stub("decision-empty-group", "An empty group", decided(groupField(decision, NONE)), MALFORMED);
stub("decision-start-group", "A group that never ends", decided(tag(decision, 3)), MALFORMED);
stub(
  "decision-start-group-1",
  "A group that never ends, and a byte 1",
  decided(concat(tag(decision, 3), Uint8Array.of(1))),
  MALFORMED,
);
stub("decision-end-group", "The end of a group that never began", decided(tag(decision, 4)), MALFORMED);
stub(
  "decision-end-group-1",
  "The end of a group that never began, and a byte 1",
  decided(concat(tag(decision, 4), Uint8Array.of(1))),
  MALFORMED,
);
stub(
  "decision-wire-type-6",
  "Wire type 6, which there is not",
  decided(concat(tag(decision, 6), Uint8Array.of(1))),
  MALFORMED,
);
stub(
  "decision-wire-type-7",
  "Wire type 7, which there is not",
  decided(concat(tag(decision, 7), Uint8Array.of(1))),
  MALFORMED,
);
stub("decision-zigzag", "ALLOW in zigzag encoding, which is 2 (DENY)", decided(varintField(decision, 2)), MALFORMED);

for (const field of [0, 13, 14, 16, 31, 143, 0x1fff_ffff]) {
  stub(
    `decision-in-field-${field}`,
    `ALLOW in field ${field} instead of 15`,
    decided(varintField(field, 1)),
    MALFORMED,
  );
}
stub(
  "decision-nested",
  "The whole answer as field 1 of another message",
  proto((q) => lenField(1, toProto(allowing(q)))),
  MALFORMED,
);
stub(
  "decision-in-a-group",
  "The decision inside an unknown group",
  decided(groupField(100, varintField(decision, 1))),
  MALFORMED,
);
stub(
  "decision-in-unknown-len",
  "The decision inside an unknown string",
  decided(lenField(100, varintField(decision, 1))),
  MALFORMED,
);
stub(
  "tag-beyond-29-bits",
  "A field number of 2³², which truncates to 0",
  decided(concat(tag(2 ** 32, 0), Uint8Array.of(1))),
  MALFORMED,
);
guard(
  "tag-15-plus-2-to-32",
  "The field number 15 + 2³², which truncates to 15",
  decided(concat(tag(2 ** 32 + 15, 0), Uint8Array.of(1))),
  MALFORMED,
);

guard(
  "reason-len",
  "The reason as a string of one byte",
  replace(reason, () => lenField(reason, Uint8Array.of(1))),
  MALFORMED,
);
guard(
  "reason-fixed32",
  "The reason as four bytes",
  replace(reason, () => fixed32Field(reason, 1)),
  MALFORMED,
);
guard(
  "reason-fixed64",
  "The reason as eight bytes",
  replace(reason, () => fixed64Field(reason, 1n)),
  MALFORMED,
);
guard(
  "reason-group",
  "The reason as a group",
  replace(reason, () => groupField(reason, NONE)),
  MALFORMED,
);
guard(
  "reason-two-to-32",
  "2³² + RULE_ALLOWED as the reason",
  replace(reason, () => varintField(reason, 2n ** 32n + 1n)),
  MALFORMED,
);

const echoed = { agent: agentId, tool, key: idempotencyKey, nonce };
for (const [name, field] of Object.entries(echoed)) {
  guard(
    `${name}-varint`,
    `The echoed ${name} as a number`,
    replace(field, () => varintField(field, 1)),
    MALFORMED,
  );
  guard(
    `${name}-fixed32`,
    `The echoed ${name} as four bytes`,
    replace(field, () => fixed32Field(field, 1)),
    MALFORMED,
  );
  guard(
    `${name}-fixed64`,
    `The echoed ${name} as eight bytes`,
    replace(field, () => fixed64Field(field, 1n)),
    MALFORMED,
  );
  guard(
    `${name}-group`,
    `The echoed ${name} as a group`,
    replace(field, () => groupField(field, NONE)),
    MALFORMED,
  );
}
