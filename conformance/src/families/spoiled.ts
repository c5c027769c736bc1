/**
 * A right allow, cut short at every place, and with every bit of its decision and of its echoes the other way round.
 *
 * Each is a deny by construction. The decision is the last field, so no cut leaves it whole. A flipped bit changes what it
 * is in: the decision is then no longer ALLOW (no two decisions differ by one bit), or is no longer the decision; an echo no
 * longer names the question, or the message no longer parses. There is no exception among these fields; a flip in
 * a field that nobody checks (the message) may be allowed, so there are none of those here.
 */
import { allowing, FIELD, protoParts, toProto } from "../answer.ts";
import { family, MALFORMED, proto } from "../case.ts";
import { flipped } from "../protobuf.ts";
import type { Question } from "../question.ts";

const cut = family("truncation");
export const truncations = cut.cases;

/** At least the length of an allow for a tool and a key of 32 bytes. Where less is there to lose, all of it is lost. */
const LONGEST = 320;

const padded = (number: number) => String(number).padStart(3, "0");

for (let lost = 1; lost <= LONGEST; lost++) {
  cut.stub(
    `lost-${padded(lost)}`,
    `A right allow without its last ${lost} bytes`,
    proto((q) => {
      const whole = toProto(allowing(q));
      return whole.subarray(0, Math.max(0, whole.length - lost));
    }),
    MALFORMED,
  );
}

const flip = family("bit-flip");
export const bitFlips = flip.cases;

const flippedField = (field: number, bit: number) =>
  proto((q: Question) => {
    const bytes = protoParts(allowing(q)).get(field) ?? Uint8Array.of(0);
    return toProto(allowing(q), { [field]: flipped(bytes, bit) });
  });

// Tag and value of the decision: two bytes.
for (let bit = 0; bit < 16; bit++) {
  flip.stub(
    `decision-${padded(bit)}`,
    `Bit ${bit} of the decision's field`,
    flippedField(FIELD.decision, bit),
    MALFORMED,
  );
}

/** Tag, length and value; the key and agent that the runner uses are no longer than this, and a tool of this family is as long. */
const ECHOES = [
  { name: "agent", field: FIELD.agentId, bytes: 2 + "conformance".length },
  { name: "tool", field: FIELD.tool, bytes: 2 + "conformance.bit-flip.tool-000".length },
  { name: "key", field: FIELD.idempotencyKey, bytes: 2 + 16 },
  { name: "nonce", field: FIELD.nonce, bytes: 2 + 16 },
];
for (const { name, field, bytes } of ECHOES) {
  for (let bit = 0; bit < bytes * 8; bit++) {
    flip.guard(
      `${name}-${padded(bit)}`,
      `Bit ${bit} of the ${name}'s field, counting round`,
      flippedField(field, bit),
      MALFORMED,
    );
  }
}
