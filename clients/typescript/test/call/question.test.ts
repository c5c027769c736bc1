import { createHash } from "node:crypto";
import vm from "node:vm";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Fault } from "../../../../src/core/fault.ts";
import { derivedKey, requestDigest } from "../../src/call/key.ts";
import { copyPayload, type GuardRequest, readQuestion } from "../../src/call/question.ts";

const request = (payload: unknown): GuardRequest => ({
  tool: "mail.send",
  payload: payload as NonNullable<GuardRequest["payload"]>,
  idempotencyKey: "k",
});
const read = (payload: unknown): string => readQuestion(request(payload), "agent-1").canonicalPayload;

const key = (change: Partial<GuardRequest>, agent = "agent-1") =>
  readQuestion({ tool: "t", payload: { a: 1, b: [2, 3] }, ...change }, agent).idempotencyKey;

describe("a payload is copied", () => {
  it("whole, whatever JSON it is", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 })), (payload) => {
        // JSON has no minus zero.
        expect(JSON.parse(JSON.stringify(copyPayload(payload)))).toEqual(JSON.parse(JSON.stringify(payload)));
      }),
    );
  });

  it("with members that are named like Object's own", () => {
    const payload: unknown = JSON.parse('{"__proto__":{"admin":true},"constructor":1,"toString":2}');
    expect(read(payload)).toBe('{"__proto__":{"admin":true},"constructor":1,"toString":2}');
    expect(Object.getPrototypeOf(copyPayload(payload))).toBe(Object.prototype);
  });

  it("without members that are undefined, as JSON.stringify does", () => {
    expect(read({ cc: undefined, to: "a" })).toBe('{"to":"a"}');
  });

  it("from another realm", () => {
    expect(read(vm.runInNewContext('({ to: ["a"], n: { m: 1 } })'))).toBe('{"n":{"m":1},"to":["a"]}');
  });

  it("reading each value once", () => {
    let reads = 0;
    const payload = {
      get amount() {
        return ++reads;
      },
    };
    expect(read(payload)).toBe('{"amount":1}');
    expect(reads).toBe(1);
  });

  it("as an empty object if there is none", () => {
    expect(readQuestion({ tool: "t", idempotencyKey: "k" }, "agent-1").canonicalPayload).toBe("{}");
  });
});

describe("what is no JSON is refused, and its place named", () => {
  const cyclic: Record<string, unknown> = {};
  cyclic["self"] = { cyclic };
  const bomb = Array.from({ length: 25 }).reduce<unknown>((inner) => [inner, inner], "x");
  it.each([
    ["a bigint", { a: { b: [1n] } }, /^payload\.a\.b\[0\] must be a JSON value, is a bigint/],
    ["a function", { a: () => 1 }, /^payload\.a must be a JSON value, is a function/],
    ["a symbol", { a: Symbol("s") }, /is a symbol/],
    ["a hole", { a: [1, undefined] }, /^payload\.a\[1\] must be a JSON value, is a undefined/],
    ["NaN", { a: Number.NaN }, /^payload\.a must be a finite number/],
    ["infinity", { a: -Infinity }, /^payload\.a must be a finite number/],
    ["a date", { a: new Date(0) }, /^payload\.a must be a JSON value, is a Date/],
    ["a map", { a: new Map() }, /is a Map/],
    ["bytes", { a: Buffer.from("x") }, /is a Buffer/],
    ["a proxy", { a: new Proxy({}, {}) }, /is a Proxy/],
    ["a proxied array", { a: new Proxy([], {}) }, /is a Proxy/],
    ["itself", cyclic, /is nested too deep, or contains itself/],
    ["33 levels", Array.from({ length: 33 }).reduce<object>((inner) => ({ inner }), {}), /nested too deep/],
    ["small in memory and large as JSON", { bomb }, /^payload must be at most 262144 bytes/],
    [
      "the same long string again and again",
      { a: Array.from({ length: 1000 }, () => "x".repeat(1000)) },
      /at most 262144 bytes/,
    ],
    ["too long by a little", { a: "x".repeat(262_140) }, /at most 262144 bytes/],
    ["too long in UTF-8", { a: "ü".repeat(140_000) }, /at most 262144 bytes/],
    ["NUL", { a: "\0" }, /must not contain NUL/],
    ["a lone surrogate in a name", { "\ud800": 1 }, /lone surrogate/],
    ["an array", [1], /^payload must be an object/],
    ["a string", "payload", /^payload must be an object/],
  ])("%s", (_, payload, problem) => {
    expect(() => read(payload)).toThrow(problem);
    expect(() => read(payload)).toThrow(Fault);
  });

  it.each([
    ["no tool", { tool: "" }, /^tool must not be empty/],
    ["a tool that is no string", { tool: 5 as unknown as string }, /^tool must be a string/],
    ["a long tool", { tool: "t".repeat(257) }, /^tool must be at most 256 bytes/],
    ["an empty key", { idempotencyKey: "" }, /^idempotency_key must not be empty/],
    ["a key that is no string", { idempotencyKey: null as unknown as string }, /^idempotencyKey must be a string/],
  ])("%s", (_, change, problem) => {
    expect(() => readQuestion({ ...request({}), ...change }, "agent-1")).toThrow(problem);
  });
});

describe("a derived key", () => {
  const action = { agentId: "agent-1", tool: "mail.send", canonicalPayload: '{"a":1,"to":"ü\\n"}', principal: null };

  it("is the hash of RFC 8785 JSON, which any language can make", () => {
    const text = '{"agent":"agent-1","payload":{"a":1,"to":"ü\\n"},"tool":"mail.send"}';
    const digest = createHash("sha256").update(text, "utf8").digest("hex");
    expect(requestDigest(action)).toBe(digest);
    // Printed by Python: hashlib.sha256(text.encode()).hexdigest()
    expect(derivedKey(action)).toBe(`sha256:b90c504e2b8980af7e346f878f7ac1bacef79aaf51bb16f0543c4c7e551ffec9`);
  });

  it("covers the principal where there is one, which is read once and within its limits", () => {
    const text = '{"agent":"agent-1","payload":{"a":1,"to":"ü\\n"},"principal":"ann \\"ü\\"","tool":"mail.send"}';
    const digest = createHash("sha256").update(text, "utf8").digest("hex");
    expect(derivedKey({ ...action, principal: 'ann "ü"' })).toBe(`sha256:${digest}`);
    expect(key({ principal: "ann" })).not.toBe(key({}));
    expect(key({ sessionId: "run-1" })).toBe(key({}));
    for (const wrong of ["", "a\nb", "x".repeat(257), 7])
      expect(() => readQuestion({ ...request({}), principal: wrong as string }, "agent-1")).toThrow("principal must");
  });

  it("is the same for equal payloads in another order, and different for all else", () => {
    const same = key({});
    expect(key({ payload: { b: [2, 3], a: 1 } })).toBe(same);
    expect(new Set([same, key({ payload: { a: 1, b: [3, 2] } }), key({ tool: "u" }), key({}, "agent-2")]).size).toBe(4);
    expect(key({ idempotencyKey: "mine" })).toBe("mine");
  });
});
