import { createHmac, hkdfSync, randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  cacheName,
  deriveDigestKeys,
  digestRedacted,
  digestRequest,
  flightName,
  sameDigest,
} from "../../src/idempotency/key.ts";

const key = randomBytes(32);
const keys = deriveDigestKeys(key);

test("a redacted value's digest is keyed, the agent's own, and of no use elsewhere", () => {
  const digest = digestRedacted(keys, "billing-1", '"4111"');
  // As docs/policies.md has it: anyone who holds the key can look whether a value is the one.
  const derived = Buffer.from(hkdfSync("sha256", key, "", "datacrawl.redaction.v1", 32));
  const parts = ["billing-1", '"4111"'].map((part) => Buffer.from(`\0\0\0${String.fromCharCode(part.length)}${part}`));
  const full = createHmac("sha256", derived).update(Buffer.concat(parts)).digest("hex");
  expect(digest).toBe(`hmac-sha256-128:${full.slice(0, 32)}`);

  expect(digestRedacted(keys, "billing-1", '"4111"')).toBe(digest);
  expect(digestRedacted(keys, "billing-2", '"4111"')).not.toBe(digest);
  expect(digestRedacted(keys, "billing-1", "4111")).not.toBe(digest);
  expect(digestRedacted(deriveDigestKeys(randomBytes(32)), "billing-1", '"4111"')).not.toBe(digest);
  expect(
    digestRequest(keys, { agentId: "billing-1", tool: "", canonicalPayload: '"4111"', principal: null }).toString(
      "hex",
    ),
  ).not.toContain(digest.slice(16));
});

describe("the digest of a request", () => {
  const digest = (
    agentId: string,
    tool: string,
    canonicalPayload: string,
    from = keys,
    principal: string | null = null,
  ): string => digestRequest(from, { agentId, tool, canonicalPayload, principal }).toString("hex");
  const asked = digest("billing-1", "stripe.refund", '{"amount":5}');

  test.each([
    ["another agent", "billing-2", "stripe.refund", '{"amount":5}'],
    ["another tool", "billing-1", "stripe.charge", '{"amount":5}'],
    ["another payload", "billing-1", "stripe.refund", '{"amount":6}'],
    ["a tool that ends where the payload begins", "billing-1", 'stripe.refund{"amount"', ":5}"],
    ["an agent that ends where the tool begins", "billing-1stripe", ".refund", '{"amount":5}'],
  ])("is another one for %s", (_, agentId, tool, payload) => {
    expect(digest(agentId, tool, payload)).not.toBe(asked);
  });

  test("is another one under another deployment's key", () => {
    expect(digest("billing-1", "stripe.refund", '{"amount":5}', deriveDigestKeys(randomBytes(32)))).not.toBe(asked);
  });

  test("is the same for the same request alone, whatever its parts are", () => {
    const part = fc.string({ unit: fc.constantFrom("a", "b", "é", "\0", " "), maxLength: 4 });
    const request = fc.tuple(part, part, part);
    fc.assert(
      fc.property(request, request, (one, other) => {
        const isSame = one.every((text, index) => text === other[index]);
        expect(digest(...one) === digest(...other)).toBe(isSame);
      }),
      { numRuns: 1000 },
    );
  });

  test("without a principal is what it was before there were principals", () => {
    // Printed by Python: hmac over length-prefixed parts, with the key that HKDF derives of 32 bytes of 3.
    const known = deriveDigestKeys(Buffer.alloc(32, 3));
    expect(digest("billing-1", "stripe.refund", '{"amount":5}', known)).toBe(
      "d187a8d4044090f36abadcf36e33178d5db566df34ae64304a3f5234f43f055f",
    );
  });

  test.each([
    ["a principal", "ann"],
    ["another principal", "Ann"],
    ["an empty principal", ""],
  ])("differs with %s", (_, principal) => {
    const digests = [null, "ann", "Ann", ""].map((other) =>
      digest("billing-1", "stripe.refund", '{"amount":5}', keys, other),
    );
    const own = digest("billing-1", "stripe.refund", '{"amount":5}', keys, principal);
    expect(digests.filter((other) => other === own)).toHaveLength(1);
  });
});

describe("two digests", () => {
  const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });

  test("are the same if each byte is", () => {
    fc.assert(fc.property(bytes, (digest) => sameDigest(digest, Uint8Array.from(digest))));
  });

  test("differ if one bit does, wherever it is", () => {
    const digest = randomBytes(32);
    for (let bit = 0; bit < 256; bit++) {
      const other = Buffer.from(digest);
      other[bit >> 3] = (other[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(sameDigest(digest, other), `bit ${bit}`).toBe(false);
    }
  });

  test("differ if one is a part of the other, and without an exception", () => {
    const digest = randomBytes(32);
    for (const other of [digest.subarray(0, 31), Buffer.alloc(0), Buffer.concat([digest, Buffer.alloc(1)])]) {
      expect(sameDigest(digest, other)).toBe(false);
      expect(sameDigest(other, digest)).toBe(false);
    }
  });
});

test("calls share a flight, or a place in the cache, only with their own agent and key; a flight with their request as well", () => {
  const [one, two] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  const flights = [
    flightName("a", "k", one),
    flightName("b", "k", one),
    flightName("a", "l", one),
    flightName("a", "k", two),
    flightName("a", " k", one),
  ];
  expect(new Set(flights).size).toBe(flights.length);
  const places = [
    cacheName(keys, "a", "k"),
    cacheName(keys, "b", "k"),
    cacheName(keys, "a", "l"),
    cacheName(keys, "a", " k"),
  ];
  expect(new Set(places).size).toBe(places.length);
  expect(flightName("a", "k", one)).toBe(flightName("a", "k", Buffer.from(one)));
  expect(cacheName(keys, "a", "k")).toBe(places[0]);
});
