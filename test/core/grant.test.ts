import { createPublicKey, sign } from "node:crypto";
import * as fc from "fast-check";
import { CompactSign, compactVerify } from "jose";
import { describe, expect, test } from "vitest";
import {
  type GrantClaims,
  MAX_BYPASS_MICROS,
  type BypassOrder,
  signBypassOrder,
  verifyBypassOrder,
} from "../../src/core/grant.ts";
import { makeSigningKey, publicKeyObject } from "../../src/core/key-chain.ts";

const key = makeSigningKey();
const trusted = [key.publicKey];
const hour = 3_600_000_000;
const issuedAt = 1_770_000_000_000_001;

function grant(changes: Partial<GrantClaims> = {}): BypassOrder {
  return {
    kind: "grant",
    claims: {
      grantId: "0b7d1f0e-6c1f-4a55-9c3e-2f5a9d1c7e11",
      agentId: "billing-1",
      tools: ["stripe.refund", "gmail.send_email"],
      operator: "nora",
      reason: "Refunds must go on during the move — ticket 4711 🚚",
      issuedAt,
      expiresAt: issuedAt + hour,
      epoch: 3,
      ...changes,
    },
  };
}

const revocation: BypassOrder = {
  kind: "revocation",
  agentId: "billing-1",
  epoch: 4,
  issuedAt,
  expiresAt: issuedAt + hour,
};

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const text = (max: number) =>
  fc.string({ unit: "grapheme", minLength: 1, maxLength: max }).filter((value) => !value.includes("\0"));

describe("a signed order", () => {
  const orders = fc.record({
    agentId: fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,62}$/),
    grantId: fc.uuid(),
    operator: text(30),
    reason: text(60),
    issuedAt: fc.integer({ min: 0, max: 2 ** 52 }),
    life: fc.integer({ min: 1, max: MAX_BYPASS_MICROS }),
    epoch: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    tools: fc.oneof(fc.constant("*" as const), fc.array(text(20), { minLength: 1, maxLength: 5 })),
  });

  test("comes back as it was, grant or revocation", () => {
    fc.assert(
      fc.property(orders, ({ life, ...claims }) => {
        const expiresAt = claims.issuedAt + life;
        const { agentId, epoch } = claims;
        for (const order of [
          { kind: "grant", claims: { ...claims, expiresAt } },
          { kind: "revocation", agentId, epoch, issuedAt: claims.issuedAt, expiresAt },
        ] satisfies BypassOrder[]) {
          expect(verifyBypassOrder(signBypassOrder(order, key), trusted)).toEqual(order);
        }
      }),
      { numRuns: 200 },
    );
  });

  test("fits with the most and longest tools", () => {
    const order = grant({ tools: Array.from({ length: 100 }, (_, index) => String(index).padEnd(256, "x")) });
    expect(verifyBypassOrder(signBypassOrder(order, key), trusted)).toEqual(order);
  });

  test("is what a JOSE library signs, and one that it verifies", async () => {
    const token = signBypassOrder(grant(), key);
    const { payload, protectedHeader } = await compactVerify(token, publicKeyObject(key.publicKey));
    const signer = new CompactSign(payload).setProtectedHeader({ alg: "EdDSA", typ: "datacrawl-grant+jwt" });
    expect(protectedHeader).toEqual({ alg: "EdDSA", typ: "datacrawl-grant+jwt" });
    expect(await signer.sign(key.privateKey)).toBe(token);
  });

  test("is refused with any character changed, removed or added", () => {
    const token = signBypassOrder(grant(), key);
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n";
    const accepted: string[] = [];
    for (let at = 0; at <= token.length; at++) {
      const [before, here, after] = [token.slice(0, at), token.charAt(at), token.slice(at + 1)];
      const others = [alphabet.charAt((at * 7) % alphabet.length), alphabet.charAt(alphabet.indexOf(here || "A") + 1)];
      for (const other of [...others, ""]) {
        for (const altered of [`${before}${other}${after}`, `${before}${other}${here}${after}`]) {
          if (altered !== token && !("problem" in verifyBypassOrder(altered, trusted))) accepted.push(altered);
        }
      }
    }
    expect(accepted).toEqual([]);
  });

  test("is accepted only with the key that signed it, wherever that stands among the trusted", () => {
    const [other, third] = [makeSigningKey(), makeSigningKey()];
    const token = signBypassOrder(grant(), key);
    expect(verifyBypassOrder(token, [other.publicKey, key.publicKey])).toEqual(grant());
    expect(verifyBypassOrder(token, [other.publicKey, third.publicKey])).toEqual({
      problem: "the token is signed by no trusted key",
    });
    expect(verifyBypassOrder(token, [])).toHaveProperty("problem");
    expect(verifyBypassOrder(token, [new Uint8Array(), new Uint8Array(31), new Uint8Array(32)])).toHaveProperty(
      "problem",
    );
  });
});

describe("a token that only looks like an order", () => {
  const header = { alg: "EdDSA", typ: "datacrawl-grant+jwt" };
  const payload = () => signBypassOrder(grant(), key).split(".")[1] ?? "";

  /** Signed by the right key, over the given header and payload. */
  const forge = (encodedHeader: string, encodedPayload: string) => {
    const input = `${encodedHeader}.${encodedPayload}`;
    return `${input}.${sign(null, Buffer.from(input), key.privateKey).toString("base64url")}`;
  };

  test("the control: the same forge with the right header is accepted", () => {
    expect(verifyBypassOrder(forge(encode(header), payload()), trusted)).toEqual(grant());
  });

  test.each<[string, object]>([
    ["alg none", { alg: "none", typ: header.typ }],
    ["alg HS256", { alg: "HS256", typ: header.typ }],
    ["alg Ed25519, the same signature by another name", { alg: "Ed25519", typ: header.typ }],
    ["no alg", { typ: header.typ }],
    ["no typ", { alg: "EdDSA" }],
    ["typ JWT", { alg: "EdDSA", typ: "JWT" }],
    ["another order of members", { typ: header.typ, alg: "EdDSA" }],
    ["a key of its own", { ...header, jwk: createPublicKey(key.privateKey).export({ format: "jwk" }) }],
    ["an unencoded payload", { ...header, b64: false, crit: ["b64"] }],
    ["an unknown critical extension", { ...header, crit: ["x"], x: 1 }],
  ])("%s", (_, confused) => {
    expect(verifyBypassOrder(forge(encode(confused), payload()), trusted)).toEqual({
      problem: "the token is not a grant's",
    });
  });

  test("alg none without a signature, and HMAC with the public key as the secret", async () => {
    expect(verifyBypassOrder(`${encode({ alg: "none" })}.${payload()}.`, trusted)).toHaveProperty("problem");
    expect(verifyBypassOrder(`${encode(header)}.${payload()}.`, trusted)).toHaveProperty("problem");
    const mac = await new CompactSign(Buffer.from(payload(), "base64url"))
      .setProtectedHeader({ alg: "HS256", typ: header.typ })
      .sign(key.publicKey);
    expect(verifyBypassOrder(mac, trusted)).toHaveProperty("problem");
  });

  test.each(["", ".", "..", "a.b.c", "a".repeat(70_000), "\0", `${"x".repeat(30_000)}.y.z`])("%.20s", (token) => {
    expect(verifyBypassOrder(token, trusted)).toHaveProperty("problem");
  });

  test("a sound token, oversized", () => {
    const big = forge(encode(header), Buffer.from(JSON.stringify({ pad: "x".repeat(60_000) })).toString("base64url"));
    expect(verifyBypassOrder(big, trusted)).toEqual({ problem: "the token is too large" });
  });

  const claims = {
    kind: "grant",
    agent_id: "billing-1",
    issued_at_us: issuedAt,
    expires_at_us: issuedAt + hour,
    epoch: 3,
    grant_id: "0b7d1f0e-6c1f-4a55-9c3e-2f5a9d1c7e11",
    tools: ["stripe.refund"],
    operator: "nora",
    reason: "because",
  };

  test("the control: these claims are accepted", () => {
    expect(verifyBypassOrder(forge(encode(header), encode(claims)), trusted)).toHaveProperty(
      "claims.reason",
      "because",
    );
  });

  test.each<[string, unknown]>([
    ["no object", []],
    ["null", null],
    ["another kind", { ...claims, kind: "allow" }],
    ["no kind", { ...claims, kind: undefined }],
    ["a claim too many", { ...claims, extra: 1 }],
    ["no agent", { ...claims, agent_id: undefined }],
    ["a malformed agent", { ...claims, agent_id: "../x" }],
    ["tools empty", { ...claims, tools: [] }],
    ["tools absent", { ...claims, tools: undefined }],
    ["tools a string", { ...claims, tools: "stripe.refund" }],
    ["a tool empty", { ...claims, tools: [""] }],
    ["a tool no string", { ...claims, tools: [1] }],
    ["a tool too long", { ...claims, tools: ["é".repeat(129)] }],
    ["101 tools", { ...claims, tools: Array.from({ length: 101 }, () => "x") }],
    ["no expiry", { ...claims, expires_at_us: undefined }],
    ["an expiry that is no integer", { ...claims, expires_at_us: issuedAt + 0.5 }],
    ["an expiry as text", { ...claims, expires_at_us: String(issuedAt + hour) }],
    ["an expiry before its issue", { ...claims, expires_at_us: issuedAt - 1 }],
    ["an expiry at its issue", { ...claims, expires_at_us: issuedAt }],
    ["a life over 24 hours", { ...claims, expires_at_us: issuedAt + MAX_BYPASS_MICROS + 1 }],
    ["epoch 0", { ...claims, epoch: 0 }],
    ["an epoch that is no exact integer", { ...claims, epoch: 2 ** 53 }],
    ["no grant id", { ...claims, grant_id: undefined }],
    ["a grant id that is no UUID", { ...claims, grant_id: "x" }],
    ["no operator", { ...claims, operator: "" }],
    ["no reason", { ...claims, reason: "" }],
    ["a reason too long", { ...claims, reason: "x".repeat(501) }],
    ["a revocation with tools", { ...claims, kind: "revocation" }],
  ])("well signed, with %s", (_, malformed) => {
    expect(verifyBypassOrder(forge(encode(header), encode(malformed)), trusted)).toEqual({
      problem: "the token's claims are malformed",
    });
  });

  test("well signed, and no JSON or no UTF-8", () => {
    for (const bytes of [Buffer.from("{"), Buffer.from([0xff, 0xfe])]) {
      expect(verifyBypassOrder(forge(encode(header), bytes.toString("base64url")), trusted)).toHaveProperty("problem");
    }
  });
});

test.each<[string, BypassOrder]>([
  ["longer than 24 hours", grant({ expiresAt: issuedAt + MAX_BYPASS_MICROS + 1 })],
  ["without a reason", grant({ reason: "" })],
  ["without tools", grant({ tools: [] })],
  ["that expires before its issue", { ...revocation, expiresAt: issuedAt - 1 }],
])("an order %s is not signed", (_, order) => {
  expect(() => signBypassOrder(order, key)).toThrow(RangeError);
});
