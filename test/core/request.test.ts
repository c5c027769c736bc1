import type { JsonObject, JsonValue } from "../../src/core/json.ts";
import { describe, expect, test } from "vitest";
import type { UnverifiedRequest } from "../../src/core/request.ts";
import { LIMITS, parseRequest } from "../../src/core/request.ts";
import { Fault } from "../../src/core/fault.ts";

const request = (change: Partial<UnverifiedRequest> = {}): UnverifiedRequest => ({
  tool: "stripe.refund",
  payload: { amount: 50 },
  idempotencyKey: "key",
  agentId: "",
  nonce: new Uint8Array(),
  principal: null,
  sessionId: null,
  ...change,
});

function faultOf(change: Partial<UnverifiedRequest>): Fault {
  try {
    parseRequest(request(change), "demo");
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

/** `depth` objects, one in the other; the root counts. */
function nested(depth: number): JsonObject {
  return depth === 1 ? {} : { a: nested(depth - 1) };
}

/** A payload of exactly `bytes` bytes of canonical JSON. */
const payloadOf = (bytes: number, filler = "x"): JsonObject => {
  const room = bytes - '{"a":""}'.length;
  return {
    a: filler.repeat(Math.floor(room / Buffer.byteLength(filler))) + "x".repeat(room % Buffer.byteLength(filler)),
  };
};

describe("a request is accepted", () => {
  test("with what it says, and its payload as canonical JSON", () => {
    const payload = { b: [1, null, "\u{1F98A}"], a: { é: -0 } };
    expect(parseRequest(request({ payload, agentId: "demo" }), "demo")).toEqual({
      agentId: "demo",
      tool: "stripe.refund",
      payload,
      canonicalPayload: '{"a":{"é":0},"b":[1,null,"\u{1F98A}"]}',
      idempotencyKey: "key",
      principal: null,
      sessionId: null,
    });
  });

  test("with the principal and the session that it claims", () => {
    const claims = { principal: "Zoë \u202e", sessionId: "x".repeat(256) };
    expect(parseRequest(request(claims), "demo")).toMatchObject(claims);
  });

  test.each([[null], ["ann"]])("with the principal that its credential names, where it says %s", (principal) => {
    expect(parseRequest(request({ principal }), "demo", "ann")).toMatchObject({ principal: "ann" });
  });

  test.each([
    ["names of 256 bytes", { tool: "t".repeat(256), idempotencyKey: "é".repeat(128) }],
    ["a payload of 256 KiB", { payload: payloadOf(LIMITS.payloadBytes) }],
    ["a payload of 256 KiB in characters of four bytes", { payload: payloadOf(LIMITS.payloadBytes, "\u{1F98A}") }],
    ["a payload 32 deep", { payload: nested(32) }],
    ["a nonce of 16 bytes", { nonce: new Uint8Array(16) }],
    ["hostile but valid text", { tool: "\u202Etxt.exe", payload: { constructor: 1, toString: "x", "": "" } }],
  ])("with %s", (_, change) => {
    expect(parseRequest(request(change), "demo").agentId).toBe("demo");
  });
});

describe("a request is refused, and its field named", () => {
  const at = (value: JsonValue): JsonObject => ({ list: [0, { note: value }] });
  test.each<[string, Partial<UnverifiedRequest>, string]>([
    ["an empty tool", { tool: "" }, "tool"],
    ["an empty key", { idempotencyKey: "" }, "idempotency_key"],
    ["a tool of 257 bytes", { tool: "t".repeat(257) }, "tool"],
    ["a key of 257 bytes in 129 characters", { idempotencyKey: `x${"é".repeat(128)}` }, "idempotency_key"],
    ["NUL in the tool", { tool: "a\0b" }, "tool"],
    ["NUL in the key", { idempotencyKey: "\0" }, "idempotency_key"],
    ["a lone surrogate in the tool", { tool: "a\uD83E" }, "tool"],
    ["a lone surrogate in the key", { idempotencyKey: "\uDD8A" }, "idempotency_key"],
    ["a payload of a byte too much", { payload: payloadOf(LIMITS.payloadBytes + 1) }, "payload"],
    [
      "a payload of few characters and many bytes",
      { payload: payloadOf(LIMITS.payloadBytes + 4, "\u{1F98A}") },
      "payload",
    ],
    ["a payload 33 deep", { payload: nested(33) }, `payload${".a".repeat(32)}`],
    ["NUL in the payload", { payload: at("\0") }, "payload.list[1].note"],
    ["a lone surrogate in the payload", { payload: at("\uD800") }, "payload.list[1].note"],
    ["NaN", { payload: at(Number.NaN) }, "payload.list[1].note"],
    ["infinity", { payload: at(Number.NEGATIVE_INFINITY) }, "payload.list[1].note"],
    ["2⁵³", { payload: at(2 ** 53) }, "payload.list[1].note"],
    ["-1e21", { payload: at(-1e21) }, "payload.list[1].note"],
    ["a nonce of 15 bytes", { nonce: new Uint8Array(15) }, "nonce"],
  ])("%s", (_, change, field) => {
    const fault = faultOf(change);
    expect(fault).toMatchObject({ code: "FIELD_INVALID", status: "invalid_argument", field });
    expect(fault.message).toContain(field);
  });

  test("NUL or a lone surrogate in a member's name", () => {
    for (const name of ["a\0", "\uD800"]) {
      const fault = faultOf({ payload: { [name]: 1 } });
      expect(fault).toMatchObject({ code: "FIELD_INVALID" });
      expect(fault.field).toMatch(/^payload/);
    }
  });

  test("another agent than the credential's, before anything else", () => {
    expect(faultOf({ agentId: "other", tool: "" })).toMatchObject({
      code: "AGENT_MISMATCH",
      status: "permission_denied",
      field: "agent_id",
    });
  });

  test("a path as long as its caller likes is named in part", () => {
    const fault = faultOf({ payload: { ["n".repeat(10_000)]: "\0" } });
    expect(fault.field?.length).toBeLessThan(250);
    expect(fault.message.length).toBeLessThan(400);
  });
});

test("a principal that is not the credential's is refused", () => {
  expect(() => parseRequest(request({ principal: "eve" }), "demo", "ann")).toThrow(
    expect.objectContaining({ code: "PRINCIPAL_MISMATCH", status: "permission_denied", field: "principal" }),
  );
});

test.each(
  (["principal", "sessionId"] as const).flatMap((name) =>
    ["", "x".repeat(257), "é".repeat(129), "a\0b", "a\nb", "\u0085", "\u007f", "\ud800"].map(
      (text) => [name, text] as const,
    ),
  ),
)("a %s of %j is refused", (name, text) => {
  const field = name === "sessionId" ? "session_id" : name;
  expect(faultOf({ [name]: text })).toMatchObject({ code: "FIELD_INVALID", field });
});
