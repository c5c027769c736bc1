/** Bytes that are no AuthorizeResponse, or not one that a reader may accept. */
import { allowing, FIELD, toJson, toProto } from "../answer.ts";
import { family, MALFORMED, proto } from "../case.ts";
import { concat, groupField, lenField, tag, utf8, varint, varintField } from "../protobuf.ts";
import type { Question } from "../question.ts";

const { cases, stub, guard } = family("message");
export const messages = cases;

const allowed = (q: Question) => toProto(allowing(q));
const followedBy = (bytes: Uint8Array) => proto((q) => concat(allowed(q), bytes));

stub(
  "empty",
  "An empty message",
  proto(() => new Uint8Array()),
  MALFORMED,
);
stub(
  "one-zero",
  "A single byte 0",
  proto(() => new Uint8Array(1)),
  MALFORMED,
);
stub(
  "zeros",
  "64 zero bytes",
  proto(() => new Uint8Array(64)),
  MALFORMED,
);
stub(
  "ones",
  "64 bytes of 0xff",
  proto(() => new Uint8Array(64).fill(0xff)),
  MALFORMED,
);
stub(
  "noise",
  "64 bytes of noise",
  proto(() => Uint8Array.from({ length: 64 }, (_, n) => (n * n * 167 + 13) & 0xff)),
  MALFORMED,
);
guard(
  "decision-alone",
  "ALLOW and nothing else",
  proto(() => varintField(FIELD.decision, 1)),
  MALFORMED,
);
guard(
  "decision-and-reason-alone",
  "ALLOW with its reason, and nothing that names the question",
  proto(() => concat(varintField(FIELD.reason, 1), varintField(FIELD.decision, 1))),
  MALFORMED,
);
stub(
  "all-but-decision",
  "Every field but the decision",
  proto((q) => toProto({ ...allowing(q), decision: null })),
  MALFORMED,
);
stub(
  "text",
  "The text DECISION_ALLOW",
  proto(() => utf8("DECISION_ALLOW")),
  MALFORMED,
);
stub(
  "json",
  "The right answer as JSON, where protobuf was agreed",
  proto((q) => utf8(toJson(allowing(q)))),
  MALFORMED,
);
stub(
  "html",
  "A page of a proxy",
  proto(() => utf8("<html><body>ALLOW</body></html>")),
  MALFORMED,
);
stub(
  "the-request",
  "The request, sent back",
  proto((q) => concat(lenField(1, q.tool), lenField(3, q.idempotencyKey), lenField(5, q.nonce))),
  MALFORMED,
);
stub(
  "a-status",
  "A google.rpc.Status",
  proto(() => concat(varintField(1, 14), lenField(2, "unavailable"))),
  MALFORMED,
);
stub(
  "length-prefixed",
  "The right answer behind its length",
  proto((q) => concat(varint(allowed(q).length), allowed(q))),
  MALFORMED,
);
stub(
  "base64",
  "The right answer in base64",
  proto((q) => utf8(Buffer.from(allowed(q)).toString("base64"))),
  MALFORMED,
);
stub(
  "reversed",
  "The right answer, backwards",
  proto((q) => allowed(q).toReversed()),
  MALFORMED,
);

stub("then-zero", "A right allow, and a byte 0 after it: field number 0", followedBy(Uint8Array.of(0)), MALFORMED);
stub("then-cut-tag", "A right allow, and a tag that is cut off", followedBy(Uint8Array.of(0x80)), MALFORMED);
stub(
  "then-cut-varint",
  "A right allow, and an unknown number that is cut off",
  followedBy(concat(tag(100, 0), Uint8Array.of(0x80))),
  MALFORMED,
);
stub(
  "then-cut-string",
  "A right allow, and an unknown string longer than the message",
  followedBy(concat(tag(100, 2), varint(5), utf8("abc"))),
  MALFORMED,
);
stub(
  "then-cut-fixed",
  "A right allow, and eight unknown bytes of which three are there",
  followedBy(concat(tag(100, 1), utf8("abc"))),
  MALFORMED,
);
stub("then-open-group", "A right allow, and a group that never ends", followedBy(tag(100, 3)), MALFORMED);
stub("then-closed-group", "A right allow, and the end of a group that never began", followedBy(tag(100, 4)), MALFORMED);
stub(
  "then-other-group-end",
  "A right allow, and a group that ends as another",
  followedBy(concat(tag(100, 3), tag(101, 4))),
  MALFORMED,
);
stub(
  "then-wire-type-6",
  "A right allow, and wire type 6",
  followedBy(concat(tag(100, 6), Uint8Array.of(1))),
  MALFORMED,
);
stub(
  "then-wire-type-7",
  "A right allow, and wire type 7",
  followedBy(concat(tag(100, 7), Uint8Array.of(1))),
  MALFORMED,
);
stub(
  "then-huge-length",
  "A right allow, and a string of 2³¹ bytes that are not there",
  followedBy(concat(tag(100, 2), varint(2 ** 31))),
  MALFORMED,
);
stub(
  "then-negative-length",
  "A right allow, and a string of −1 bytes",
  followedBy(concat(tag(100, 2), varint(-1))),
  MALFORMED,
);
stub(
  "then-deep-groups",
  "A right allow, and 20,000 groups in one another, none of which ends",
  followedBy(new Uint8Array(40_000).map((_, n) => (n % 2 === 0 ? 0xa3 : 0x06))),
  MALFORMED,
);
stub(
  "in-a-group",
  "The right answer inside a group",
  proto((q) => groupField(100, allowed(q))),
  MALFORMED,
);

// Strings of proto3 are UTF-8, and a parser must refuse what is not.
const NOT_UTF8: Record<string, Uint8Array> = {
  "lone-continuation": Uint8Array.of(0x80),
  "overlong-slash": Uint8Array.of(0xc0, 0xaf),
  surrogate: Uint8Array.of(0xed, 0xa0, 0x80),
  "beyond-unicode": Uint8Array.of(0xf5, 0x80, 0x80, 0x80),
  "cut-off": Uint8Array.of(0xe2, 0x82),
  "byte-ff": Uint8Array.of(0xff),
};
for (const [name, bytes] of Object.entries(NOT_UTF8)) {
  const inField = (field: number, before: (q: Question) => string) =>
    proto((q) => toProto(allowing(q), { [field]: lenField(field, concat(utf8(before(q)), bytes)) }));
  stub(
    `not-utf8-message-${name}`,
    `A message that is not UTF-8: ${name}`,
    inField(FIELD.message, () => "Allowed"),
    MALFORMED,
  );
  stub(
    `not-utf8-rule-${name}`,
    `A rule id that is not UTF-8: ${name}`,
    inField(FIELD.ruleId, () => "rule"),
    MALFORMED,
  );
  stub(
    `not-utf8-tool-${name}`,
    `The tool, and bytes that are not UTF-8: ${name}`,
    inField(FIELD.tool, (q) => q.tool),
    MALFORMED,
  );
}
