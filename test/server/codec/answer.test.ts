import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AuthorizeResponseSchema } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { Decision, Reason, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import type { Answer } from "../../../src/authorize/call.ts";
import { DECISION_OF, type Reason as ReasonName } from "../../../src/core/decision.ts";
import { answerFields, encodeAnswer } from "../../../src/server/codec/answer.ts";

const words = fc.oneof(
  fc.string({ unit: "grapheme" }),
  // Around where a length takes a second byte.
  fc.string({ unit: "grapheme", minLength: 20, maxLength: 130 }),
  fc.string({ minLength: 130, maxLength: 300 }),
);
const answer: fc.Arbitrary<Answer> = fc.constantFrom(...(Object.keys(DECISION_OF) as ReasonName[])).chain((reason) =>
  fc.record({
    decision: fc.constant(DECISION_OF[reason]),
    reason: fc.constant(reason),
    message: words,
    decisionId: fc.uuid(),
    policyVersion: words,
    ruleId: fc.option(words),
    replayed: fc.boolean(),
    decidedAt: fc.integer({ min: 1, max: 4_000_000_000_000_000 }),
    agentId: words,
    tool: words,
    idempotencyKey: words,
    nonce: fc.uint8Array({ maxLength: 16 }),
  }),
);
const source = fc.constantFrom("service", "guard");

describe("encodeAnswer", () => {
  test("writes what protobuf-es writes, byte for byte", () => {
    fc.assert(
      fc.property(answer, source, (given, by) => {
        expect(new Uint8Array(encodeAnswer(given, by))).toEqual(
          toBinary(AuthorizeResponseSchema, create(AuthorizeResponseSchema, answerFields(given, by))),
        );
      }),
    );
  });

  test("cut short anywhere has no decision", () => {
    fc.assert(
      fc.property(answer, source, (given, by) => {
        const bytes = encodeAnswer(given, by);
        for (let length = 0; length < bytes.length; length++)
          expect(decisionOf(bytes.subarray(0, length))).toBe(Decision.UNSPECIFIED);
      }),
      { numRuns: 30 },
    );
  });

  test("says who decided, where the answer knows", () => {
    const [given] = fc.sample(answer, 1) as [Answer];
    expect(fromBinary(AuthorizeResponseSchema, encodeAnswer(given, "guard")).source).toBe(Source.GUARD);
    expect(fromBinary(AuthorizeResponseSchema, encodeAnswer({ ...given, source: "service" }, "guard")).source).toBe(
      Source.SERVICE,
    );
  });

  test("has a number for every reason, each its own", () => {
    const numbers = Object.keys(DECISION_OF).map((name) => Reason[name as ReasonName]);
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(numbers).not.toContain(Reason.UNSPECIFIED);
    expect(numbers).not.toContain(undefined);
  });
});

function decisionOf(bytes: Uint8Array): Decision {
  try {
    return fromBinary(AuthorizeResponseSchema, bytes).decision;
  } catch {
    return Decision.UNSPECIFIED;
  }
}
