import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  BeginExecutionRequestSchema,
  BeginExecutionResponseSchema,
  ExecutionRefusal,
  ExecutionState,
} from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import type { BeginAnswer } from "../../../src/authorize/execution-call.ts";
import { Fault } from "../../../src/core/fault.ts";
import { decodeBeginRequest, encodeBegin } from "../../../src/server/codec/begin.ts";
import { beginFields } from "../../../src/server/codec/execution.ts";
import { field, text, varintField } from "./wire-bytes.ts";

const words = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: "grapheme", minLength: 100, maxLength: 200 }),
);
const micros = fc.integer({ min: 1, max: 4_000_000_000_000_000 });
const named = {
  message: words,
  decisionId: fc.uuid(),
  nonce: fc.uint8Array({ maxLength: 16 }),
  agentId: words,
  source: fc.constantFrom("service", "guard", undefined),
};
const end = fc.record({ outcome: fc.constantFrom("succeeded", "failed", "unknown"), endedAt: micros });
const answer: fc.Arbitrary<BeginAnswer> = fc.oneof(
  fc.record({
    ...named,
    state: fc.constant("refused"),
    reason: fc.constantFrom("UNKNOWN_DECISION", "NOT_ALLOWED", "EXPIRED", "AGENT_FROZEN", "APPROVAL_LAPSED"),
  }),
  fc.record({
    ...named,
    state: fc.constantFrom("started", "already_started"),
    execution: fc.record({
      executionId: fc.uuid(),
      startedAt: micros,
      startedBy: words,
      reportDueAt: micros,
      end: fc.option(end),
    }),
  }),
) as fc.Arbitrary<BeginAnswer>;
const source = fc.constantFrom("service", "guard");

describe("encodeBegin", () => {
  test("writes what protobuf-es writes of the same answer, byte for byte", () => {
    fc.assert(
      fc.property(answer, source, (given, by) => {
        expect(new Uint8Array(encodeBegin(given, by))).toEqual(
          toBinary(BeginExecutionResponseSchema, create(BeginExecutionResponseSchema, beginFields(given, by))),
        );
      }),
    );
  });

  test("cut short anywhere has no state", () => {
    fc.assert(
      fc.property(answer, source, (given, by) => {
        const bytes = encodeBegin(given, by);
        for (let length = 0; length < bytes.length; length++)
          expect(stateOf(bytes.subarray(0, length))).toBe(ExecutionState.UNSPECIFIED);
      }),
      { numRuns: 30 },
    );
  });

  test("has a number for every refusal, each its own", () => {
    const { UNKNOWN_DECISION, NOT_ALLOWED, EXPIRED, AGENT_FROZEN, APPROVAL_LAPSED } = ExecutionRefusal;
    const numbers = [UNKNOWN_DECISION, NOT_ALLOWED, EXPIRED, AGENT_FROZEN, APPROVAL_LAPSED];
    expect(new Set(numbers).size).toBe(5);
    expect(numbers).not.toContain(ExecutionRefusal.UNSPECIFIED);
  });
});

const NONCE = Buffer.alloc(16, 7);

describe("decodeBeginRequest", () => {
  test("reads what protobuf-es writes", () => {
    fc.assert(
      fc.property(fc.record({ decisionId: words, nonce: fc.uint8Array({ maxLength: 20 }) }), (asked) => {
        const bytes = toBinary(BeginExecutionRequestSchema, create(BeginExecutionRequestSchema, asked));
        expect(decodeBeginRequest(bytes)).toEqual(asked);
      }),
    );
  });

  test("ignores fields that it does not know", () => {
    const bytes = Buffer.concat([field(1, text("d")), field(3, text("new")), varintField(9, 1), field(2, NONCE)]);
    expect(decodeBeginRequest(bytes)).toEqual({ decisionId: "d", nonce: new Uint8Array(NONCE) });
  });

  test("refuses a field that occurs twice, and one of another type, naming it", () => {
    expect(faultOf(Buffer.concat([field(1, text("a")), field(1, text("b"))]))).toBe(
      "decision_id occurs twice or has another type on the wire.",
    );
    expect(faultOf(Buffer.concat([field(2, NONCE), field(2, NONCE)]))).toBe(
      "nonce occurs twice or has another type on the wire.",
    );
    expect(faultOf(varintField(1, 5))).toBe("decision_id occurs twice or has another type on the wire.");
  });

  test("refuses text that is not UTF-8, and a message that is cut short", () => {
    expect(faultOf(field(1, Buffer.from([0xff])))).toBe("decision_id is not valid UTF-8.");
    const whole = Buffer.concat([field(1, text("a decision")), field(2, NONCE)]);
    expect(faultOf(whole.subarray(0, -1))).toBe("nonce is cut short.");
  });

  test("of any bytes gives a request or the caller's fault", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          const { decisionId, nonce } = decodeBeginRequest(bytes);
          expect([typeof decisionId, nonce.constructor]).toEqual(["string", Uint8Array]);
        } catch (error) {
          expect(error).toBeInstanceOf(Fault);
          expect((error as Fault).code).toBe("REQUEST_MALFORMED");
        }
      }),
    );
  });

  test("shares no memory with the bytes", () => {
    const bytes = Buffer.concat([field(1, text("a")), field(2, NONCE)]);
    const decoded = decodeBeginRequest(bytes);
    bytes.fill(0);
    expect(decoded).toEqual({ decisionId: "a", nonce: new Uint8Array(NONCE) });
  });
});

function stateOf(bytes: Uint8Array): ExecutionState {
  try {
    return fromBinary(BeginExecutionResponseSchema, bytes).state;
  } catch {
    return ExecutionState.UNSPECIFIED;
  }
}

function faultOf(bytes: Uint8Array): string {
  try {
    decodeBeginRequest(bytes);
  } catch (error) {
    if (error instanceof Fault) return error.message;
  }
  throw new Error("it was decoded");
}
