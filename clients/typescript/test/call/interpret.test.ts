import { create, fromBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  AuthorizeRequestSchema,
  AuthorizeResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { Decision, Reason, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { systemClock } from "../../../../src/core/clock.ts";
import { interpret } from "../../src/call/interpret.ts";
import type { Outcome } from "../../src/call/outcome.ts";
import { allowing, denied, inReview } from "../support/service.ts";

const asked = {
  agentId: "agent-1",
  tool: "mail.send",
  idempotencyKey: "k-1",
  nonce: Uint8Array.from({ length: 16 }, (_, n) => n * 7 + 1),
};
const request = create(AuthorizeRequestSchema, asked);
const read = (unverifiedMessage: Uint8Array): Outcome =>
  interpret({ kind: "messages", unverifiedMessages: [unverifiedMessage] }, asked, systemClock);
const isAllowed = (outcome: Outcome): boolean => outcome.kind === "answered" && outcome.verdict.decision === "allow";
const good = allowing(request);
const bytes = (...parts: (number | Uint8Array)[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === "number" ? Uint8Array.of(part) : part)));
/** `good` without the two bytes of its last field, the decision. */
const undecided = good.subarray(0, -2);

describe("a right answer", () => {
  it("is read as it was written", () => {
    expect(read(good)).toEqual({
      kind: "answered",
      decidedAt: 1_780_000_000_123_456,
      verdict: {
        decision: "allow",
        reason: "RULE_ALLOWED",
        message: "Allowed by rule test.",
        decisionId: "0198c0de-0000-7000-8000-00000000c0de",
        policyVersion: `sha256:${"c0de".repeat(16)}`,
        ruleId: "test",
        replayed: false,
        source: "service",
        refusal: null,
        decidedAt: 1_780_000_000_123_456,
        tool: "mail.send",
        idempotencyKey: "k-1",
      },
    });
  });

  it("to a watch names the decision, whatever its tool and key", () => {
    const decisionId = "0198c0de-0000-7000-8000-00000000c0de";
    const watched = (id: string, spoiled = {}): Outcome => {
      const unverifiedMessage = allowing(request, { tool: "other", idempotencyKey: "other", ...spoiled });
      return interpret(
        { kind: "messages", unverifiedMessages: [unverifiedMessage] },
        { agentId: "agent-1", nonce: asked.nonce, decisionId: id },
        systemClock,
      );
    };
    expect(watched(decisionId)).toMatchObject({ verdict: { decision: "allow", tool: "other" } });
    expect(watched("0198c0de-0000-7000-8000-00000000c0df")).toMatchObject({
      problem: "the answer is for another decision",
    });
    expect(watched(decisionId, { agentId: "agent-2" }).kind).toBe("malformed");
    expect(watched(decisionId, { nonce: new Uint8Array(16) }).kind).toBe("malformed");
    expect(watched(decisionId, { decision: Decision.DENY }).kind).toBe("malformed");
  });

  it.each([
    ["deny", denied, "RULE_DENIED"],
    ["needs_review", inReview, "REVIEW_PENDING"],
    ["allow", { reason: Reason.REVIEW_APPROVED }, "REVIEW_APPROVED"],
    ["deny", { decision: Decision.DENY, reason: Reason.AGENT_FROZEN }, "AGENT_FROZEN"],
  ])("may be %s for %o", (decision, spoiled, reason) => {
    expect(read(allowing(request, spoiled))).toMatchObject({ kind: "answered", verdict: { decision, reason } });
  });

  it("may lack what does not decide, and carry what is not known yet", () => {
    const bare = allowing(request, { message: "", ruleId: "", policyVersion: "" });
    expect(read(bare)).toMatchObject({ kind: "answered", verdict: { ruleId: null, message: "" } });
    expect(isAllowed(read(bytes(good, 0xa2, 0x06, 3, 1, 2, 3)))).toBe(true);
    expect(isAllowed(read(bytes(0x6a, 1, 0xff, good)))).toBe(true);
  });
});

describe("an answer to another question is malformed", () => {
  it.each([
    ["agent", { agentId: "agent-2" }],
    ["agent, absent", { agentId: "" }],
    ["tool", { tool: "mail.Send" }],
    ["tool with a byte order mark", { tool: "\ufeffmail.send" }],
    ["key", { idempotencyKey: "k-2" }],
    ["nonce", { nonce: new Uint8Array(16) }],
    ["nonce, absent", { nonce: new Uint8Array(0) }],
    ["nonce and more", { nonce: bytes(asked.nonce, 0) }],
    ["decision id", { decisionId: "none" }],
    ["decision id in capitals", { decisionId: "0198C0DE-0000-7000-8000-00000000C0DE" }],
    ["guard's answer", { source: Source.GUARD }],
    ["nobody's answer", { source: Source.UNSPECIFIED }],
    ["guard's reason", { reason: Reason.CIRCUIT_BYPASS }],
    ["disagreeing reason", { reason: Reason.RULE_DENIED }],
    ["unknown reason", { reason: 13 as Reason }],
    ["no reason", { reason: Reason.UNSPECIFIED }],
    ["no decision", { decision: Decision.UNSPECIFIED }],
    ["unknown decision", { decision: 3 as Decision }],
  ])("%s", (_, spoiled) => {
    expect(read(allowing(request, spoiled))).toMatchObject({ kind: "malformed", saysNo: false });
  });

  it("and no bypass overturns it if it says no", () => {
    expect(read(allowing(request, { ...denied, nonce: new Uint8Array(16) }))).toMatchObject({ saysNo: true });
    expect(read(allowing(request, { ...inReview, tool: "other" }))).toMatchObject({ saysNo: true });
  });
});

describe("bytes that another decoder would take for an allow", () => {
  it.each([
    ["2³²+1", bytes(undecided, 0x78, 0x81, 0x80, 0x80, 0x80, 0x10)],
    ["an overlong 1", bytes(undecided, 0x78, 0x81, 0x00)],
    ["a 1 of eleven bytes", bytes(undecided, 0x78, 0x81, ...Array.from({ length: 9 }, () => 0x80), 0x00)],
    ["2⁶⁴+1", bytes(undecided, 0x78, 0x81, ...Array.from({ length: 8 }, () => 0x80), 0x02)],
    ["a decision of wire type 2", bytes(undecided, 0x7a, 1, 1)],
    ["a decision of wire type 2 that is a 1 as a varint", bytes(undecided, 0x7a, 1)],
    ["a tool of wire type 0", bytes(0x48, 9, Buffer.from("mail.send"), allowing(request, { tool: "" }))],
    ["65 bits in an unknown field", bytes(good, 0xa0, 0x06, ...Array.from({ length: 9 }, () => 0x80), 0x02)],
    ["a decision of wire type 5", bytes(undecided, 0x7d, 1, 0, 0, 0)],
    ["two decisions, deny and allow", bytes(undecided, 0x78, 2, 0x78, 1)],
    ["two decisions, allow and allow", bytes(good, 0x78, 1)],
    ["an overlong tag", bytes(undecided, 0xf8, 0x00, 1)],
    ["two tools", bytes(good, 0x4a, 9, Buffer.from("mail.send"))],
    ["a group", bytes(good, 0xa3, 0x06, 0xa4, 0x06)],
    ["field 0", bytes(good, 0x00, 0x00)],
    ["a field number over 29 bits", bytes(good, 0x80, 0x80, 0x80, 0x80, 0x10, 0x00)],
    ["replayed = 2", bytes(good, 0x28, 2)],
    ["a message that is not UTF-8", bytes(0x12, 2, 0xc3, 0x28, allowing(request, { message: "" }))],
    ["a time with seconds twice", bytes(0x32, 4, 8, 1, 8, 1, allowing(request, { decidedAt: undefined }))],
    ["a time that is a string", bytes(0x32, 2, 0x0a, 0, allowing(request, { decidedAt: undefined }))],
    [
      "a time beyond time",
      bytes(0x32, 9, 8, ...Array.from({ length: 7 }, () => 0xff), 0x7f, allowing(request, { decidedAt: undefined })),
    ],
    ["a cut unknown field", bytes(good, 0xa2, 0x06, 3, 1, 2)],
  ])("%s", (_, message) => {
    expect(read(message).kind).toBe("malformed");
  });
});

it("an answer cut short anywhere is no allow", () => {
  for (let length = 0; length < good.length; length++) expect(isAllowed(read(good.subarray(0, length)))).toBe(false);
});

const deciding = (message: Uint8Array): object => {
  const { reason, agentId, tool, idempotencyKey, nonce, source, decision, replayed } = fromBinary(
    AuthorizeResponseSchema,
    message,
  );
  return { reason, agentId, tool, idempotencyKey, nonce, source, decision, replayed };
};

it("a flipped bit makes no allow, but in what does not decide", () => {
  for (let bit = 0; bit < good.length * 8; bit++) {
    const flipped = Uint8Array.from(good);
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    expect(isAllowed(read(flipped)) ? deciding(flipped) : deciding(good), `bit ${bit}`).toEqual(deciding(good));
  }
});

it("a flipped bit of a deny makes no allow", () => {
  for (const no of [allowing(request, denied), allowing(request, inReview)]) {
    for (let bit = 0; bit < no.length * 8; bit++) {
      const flipped = Uint8Array.from(no);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(isAllowed(read(flipped)), `bit ${bit}`).toBe(false);
    }
  }
});

it("no bytes at all make it throw, and none that do not name the question allow", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
      expect(isAllowed(read(noise))).toBe(false);
    }),
    { numRuns: 2000 },
  );
});

it("no splice of an answer throws", () => {
  const spliced = fc.record({ at: fc.nat(good.length), drop: fc.nat(8), insert: fc.uint8Array({ maxLength: 8 }) });
  fc.assert(
    fc.property(spliced, ({ at, drop, insert }) => {
      const outcome = read(bytes(good.subarray(0, at), insert, good.subarray(at + drop)));
      expect(["answered", "malformed"]).toContain(outcome.kind);
    }),
    { numRuns: 2000 },
  );
});

it("other outcomes pass through", () => {
  const outcome: Outcome = { kind: "unavailable", problem: "gone" };
  expect(interpret(outcome, asked, systemClock)).toBe(outcome);
});
