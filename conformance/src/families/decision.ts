/** The decision's value: absent, zero, unknown, too large, written in too many bytes. */
import { allowing, FIELD, toProto } from "../answer.ts";
import { family, MALFORMED, proto } from "../case.ts";
import { concat, overlong, tag, varintField } from "../protobuf.ts";

const { cases, stub, guard } = family("decision");
export const decisionCases = cases;

/** A right allow, but for the bytes of its decision. */
const decision = (bytes: Uint8Array) => proto((q) => toProto(allowing(q), { [FIELD.decision]: bytes }));
const value = (number: number | bigint) => decision(varintField(FIELD.decision, number));

stub("absent", "There is no decision", decision(new Uint8Array()), MALFORMED);
stub("zero", "DECISION_UNSPECIFIED, written out", value(0), MALFORMED);
stub("deny-with-allowing-reason", "DECISION_DENY, with the reason RULE_ALLOWED", value(2), MALFORMED);

// Numbers that the contract does not know: one bit away from ALLOW, and those that truncate to it in some integer.
for (const unknown of [
  3, 5, 6, 7, 8, 9, 10, 15, 16, 17, 33, 64, 65, 100, 127, 128, 129, 255, 256, 257, 65_535, 65_536, 65_537,
]) {
  stub(`unknown-${unknown}`, `The unknown decision ${unknown}`, value(unknown), MALFORMED);
}
stub("int-max", "2³¹ − 1", value(2 ** 31 - 1), MALFORMED);
stub("minus-one", "−1, in ten bytes", value(-1), MALFORMED);
stub("minus-allow", "−1 in 32 bits, in five bytes", value(0xffff_ffff), MALFORMED);
stub("int-min", "−2³¹, in ten bytes", value(-(2 ** 31)), MALFORMED);
stub("two-to-31", "2³¹", value(2 ** 31), MALFORMED);
stub("two-to-31-plus-allow", "2³¹ + ALLOW", value(2 ** 31 + 1), MALFORMED);
stub("two-to-32", "2³², which truncates to 0", value(2 ** 32), MALFORMED);
stub(
  "two-to-32-plus-deny",
  "2³² + DENY, which truncates to DENY, with an allowing reason",
  value(2 ** 32 + 2),
  MALFORMED,
);

// Protobuf truncates an enum to 32 bits, so a stub reads ALLOW. No encoder writes these.
guard("two-to-32-plus-allow", "2³² + ALLOW", value(2n ** 32n + 1n), MALFORMED);
guard("two-to-33-plus-allow", "2³³ + ALLOW", value(2n ** 33n + 1n), MALFORMED);
guard("two-to-35-plus-allow", "2³⁵ + ALLOW", value(2n ** 35n + 1n), MALFORMED);
guard("two-to-53-plus-allow", "2⁵³ + ALLOW, which no double holds", value(2n ** 53n + 1n), MALFORMED);
guard("two-to-56-plus-allow", "2⁵⁶ + ALLOW", value(2n ** 56n + 1n), MALFORMED);
guard("two-to-63-plus-allow", "2⁶³ + ALLOW", value(2n ** 63n + 1n), MALFORMED);
guard("high-word-ones", "ALLOW, under 32 one bits", value(0xffff_ffff_0000_0001n), MALFORMED);

// The same value in more bytes than it needs: readers accept it, encoders never write it.
for (const length of [2, 3, 4, 5, 6, 7, 8, 9, 10]) {
  const bytes = concat(tag(FIELD.decision, 0), overlong(1, length));
  guard(`overlong-${length}`, `ALLOW as a varint of ${length} bytes`, decision(bytes), MALFORMED);
}
const BEYOND_64_BITS = Uint8Array.of(0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02);
guard(
  "overlong-overflow",
  "ALLOW, and a bit beyond the 64th",
  decision(concat(tag(FIELD.decision, 0), BEYOND_64_BITS)),
  MALFORMED,
);
guard(
  "overlong-tag",
  "The tag of the decision in five bytes",
  decision(Uint8Array.of(0xf8, 0x80, 0x80, 0x80, 0x00, 0x01)),
  MALFORMED,
);
stub(
  "varint-of-11",
  "ALLOW as a varint of eleven bytes",
  decision(concat(tag(FIELD.decision, 0), overlong(1, 11))),
  MALFORMED,
);
stub("varint-without-end", "A varint that the message cuts off", decision(Uint8Array.of(0x78, 0x81)), MALFORMED);
stub(
  "overlong-zero",
  "0 as a varint of five bytes",
  decision(concat(tag(FIELD.decision, 0), overlong(0, 5))),
  MALFORMED,
);
