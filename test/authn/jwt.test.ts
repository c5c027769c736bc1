import { generateKeyPairSync, type KeyObject, sign as signBytes } from "node:crypto";
import * as fc from "fast-check";
import type { JWK } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fetchJson } from "../../src/authn/fetch-json.ts";
import { Jwks } from "../../src/authn/jwks.ts";
import { JwtVerifier, type VerifiedToken } from "../../src/authn/jwt.ts";
import { Fault } from "../../src/core/fault.ts";
import { type Issuer, startIssuer } from "../support/issuer.ts";

const AT = 1_800_000_000;
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

const PAIRS: Readonly<Record<string, { readonly publicKey: KeyObject; readonly privateKey: KeyObject }>> = {
  "rsa-512": generateKeyPairSync("rsa", { modulusLength: 512 }),
  "rsa-1024": generateKeyPairSync("rsa", { modulusLength: 1024 }),
  "rsa-2048": generateKeyPairSync("rsa", { modulusLength: 2048 }),
  "p-256": generateKeyPairSync("ec", { namedCurve: "P-256" }),
  "p-384": generateKeyPairSync("ec", { namedCurve: "P-384" }),
  secp256k1: generateKeyPairSync("ec", { namedCurve: "secp256k1" }),
  ed25519: generateKeyPairSync("ed25519"),
};
const jwkOf = (name: string): JWK => ({ ...(PAIRS[name]?.publicKey.export({ format: "jwk" }) as JWK), kid: name });

/** Keys that no verifier can use, or not for what their tokens say. */
const BROKEN: readonly JWK[] = [
  { ...jwkOf("rsa-2048"), kid: "no-modulus", n: undefined as never },
  { ...jwkOf("rsa-2048"), kid: "short-modulus", n: "AQAB" },
  { ...jwkOf("rsa-2048"), kid: "even-modulus", n: Buffer.alloc(256, 2).toString("base64url") },
  { ...jwkOf("rsa-2048"), kid: "modulus-of-spaces", n: "    " },
  { ...jwkOf("rsa-2048"), kid: "zero-exponent", e: "AA" },
  { ...jwkOf("p-256"), kid: "off-the-curve", x: jwkOf("p-256").y as string },
  { ...jwkOf("p-256"), kid: "other-curve", crv: "P-384" },
  { ...jwkOf("p-256"), kid: "unknown-curve", crv: "P-0" },
  { ...jwkOf("p-256"), kid: "number-for-x", x: 5 as never },
  { ...jwkOf("ed25519"), kid: "short-ed25519", x: "AAAA" },
  { ...jwkOf("ed25519"), kid: "x25519", crv: "X25519" },
  { ...jwkOf("rsa-2048"), kid: "for-encryption", use: "enc" },
  { ...jwkOf("rsa-2048"), kid: "for-signing-alone", key_ops: ["sign"] },
  { ...jwkOf("rsa-2048"), kid: "other-alg", alg: "RSA-OAEP" },
  { kty: "oct", kid: "secret", k: "AAAA" },
  { kty: "AKP", kid: "of-another-kind" },
];
const KIDS = [...Object.keys(PAIRS), ...BROKEN.map(({ kid }) => kid as string)];

let issuer: Issuer;
let jwks: Jwks;
let verifier: JwtVerifier;
const problems: string[] = [];
beforeAll(async () => {
  issuer = await startIssuer();
  for (const name of Object.keys(PAIRS)) issuer.publish(jwkOf(name));
  for (const jwk of BROKEN) issuer.publish(jwk);
  const onError = (error: unknown): void => void problems.push(String(error));
  jwks = new Jwks({ issuer: issuer.url, url: issuer.jwksUrl, fetchJson, monotonic: () => 0, onError });
  await jwks.start();
  const policy = { issuer: issuer.url, audience: "a", algorithms: ALGORITHMS };
  verifier = new JwtVerifier(policy, jwks.find, () => AT * 1_000_000);
});
afterAll(async () => {
  jwks.stop();
  await issuer.close();
});

/** A token of these very texts, signed by the key `signer` as well as that key can for `alg`. */
function tokenOf(header: string, payload: string, signer: string, alg = "RS256"): string {
  const signed = `${Buffer.from(header).toString("base64url")}.${Buffer.from(payload).toString("base64url")}`;
  const hash = signer === "ed25519" ? null : `sha${/\d{3}$/.exec(alg)?.[0] ?? "256"}`;
  const key = { key: PAIRS[signer]?.privateKey as KeyObject, dsaEncoding: "ieee-p1363" as const };
  let signature = Buffer.from("none");
  try {
    signature = signBytes(hash, Buffer.from(signed), key);
  } catch {
    // A key of 512 bits is too short for the digest.
  }
  return `${signed}.${signature.toString("base64url")}`;
}

const claims = (): Record<string, unknown> => ({ iss: issuer.url, aud: "a", sub: "bot", exp: AT + 60 });
const ES256 = '{"alg":"ES256","kid":"p-256"}';

async function outcomeOf(token: string): Promise<VerifiedToken | Fault> {
  try {
    return await verifier.verify(token);
  } catch (error) {
    // Whatever else is thrown would be answered with INTERNAL, which guards count as an outage.
    if (error instanceof Fault) return error;
    throw new Error(`not a Fault: ${String(error)}`, { cause: error });
  }
}

async function refusal(token: string): Promise<Fault> {
  const outcome = await outcomeOf(token);
  if (outcome instanceof Fault) return outcome;
  throw new Error("the token was accepted");
}

describe("a bearer token", () => {
  test("is accepted with each key that is good for its algorithm", async () => {
    const good: readonly [string, string][] = [
      ["rsa-2048", "RS256"],
      ["rsa-2048", "RS512"],
      ["p-256", "ES256"],
      ["p-384", "ES384"],
      ["ed25519", "EdDSA"],
    ];
    for (const [kid, alg] of good) {
      const token = tokenOf(JSON.stringify({ alg, kid }), JSON.stringify(claims()), kid, alg);
      await expect(verifier.verify(token)).resolves.toMatchObject({ keyId: kid, payload: { sub: "bot" } });
    }
  });

  test.each(["rsa-512", "rsa-1024"])("signed with the issuer's weak key %s is invalid, not an outage", async (kid) => {
    const token = tokenOf(JSON.stringify({ alg: "RS256", kid }), JSON.stringify(claims()), kid);
    expect(await refusal(token)).toMatchObject({ code: "TOKEN_INVALID", status: "unauthenticated" });
  });

  test("signed with a weak key is the issuer's to mend, so the service's log names the key, once", async () => {
    const weak = (): string[] => problems.filter((problem) => problem.includes("2048"));
    expect(weak()).toEqual([expect.stringContaining("rsa-512, rsa-1024, short-modulus, modulus-of-spaces")]);
    await jwks.start();
    expect(weak()).toHaveLength(1);
  });

  test("naming any key is valid or invalid, never an outage", async () => {
    for (const kid of KIDS) {
      for (const alg of ALGORITHMS) {
        for (const signer of ["rsa-2048", "p-256", "ed25519"]) {
          const token = tokenOf(JSON.stringify({ alg, kid }), JSON.stringify(claims()), signer, alg);
          const outcome = await outcomeOf(token);
          if (outcome instanceof Fault) expect(outcome).toMatchObject({ code: "TOKEN_INVALID" });
          else expect(signer).toBe(kid);
        }
      }
    }
  });

  test("of any header and claims is valid or invalid, never an outage", async () => {
    const json = fc.jsonValue({ depthSize: "small" });
    const header = fc.record(
      {
        alg: fc.oneof(fc.constantFrom(...ALGORITHMS, "none", "HS256", "", "__proto__"), json),
        kid: fc.oneof(fc.constantFrom(...KIDS), json),
        typ: json,
        cty: json,
        crit: fc.oneof(fc.constantFrom(["b64"], ["exp"], []), json),
        b64: fc.oneof(fc.boolean(), json),
        zip: json,
        jwk: fc.oneof(fc.constantFrom<unknown>(...BROKEN), json),
        jku: json,
        x5c: json,
      },
      { requiredKeys: ["alg"] },
    );
    const name = fc.constantFrom("iss", "aud", "sub", "exp", "nbf", "iat", "jti", "auth_time", "amr", "__proto__", "");
    const text = fc.oneof(
      fc.dictionary(name, json).map((changed) => JSON.stringify({ ...claims(), ...changed })),
      fc.tuple(name, fc.string()).map(([key, value]) => `${JSON.stringify(claims()).slice(0, -1)},"${key}":${value}}`),
      fc.string(),
      json.map((value) => JSON.stringify(value)),
    );
    await fc.assert(
      fc.asyncProperty(header, text, fc.constantFrom(...Object.keys(PAIRS)), async (head, payload, signer) => {
        const alg = typeof head.alg === "string" ? head.alg : "RS256";
        const outcome = await outcomeOf(tokenOf(JSON.stringify(head), payload, signer, alg));
        if (outcome instanceof Fault) expect(outcome.status).toBe("unauthenticated");
      }),
      { numRuns: 1000 },
    );
  });

  test("of any text is invalid", async () => {
    const parts = fc.array(fc.oneof(fc.base64String(), fc.string()), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string(),
          parts.map((all) => all.join(".")),
        ),
        async (text) => {
          expect((await refusal(text)).code).toBe("TOKEN_INVALID");
        },
      ),
    );
  });

  test.each<[string, string, () => string]>([
    ["a date beyond doubles", "payload.exp", () => `{"iss":"I","aud":"a","exp":1e400}`],
    ["a date after all calendars", "exp", () => `{"iss":"I","aud":"a","exp":1e300}`],
    ["a sign-in after all calendars", "auth_time", () => `{"iss":"I","aud":"a","exp":${AT + 60},"auth_time":1e18}`],
    ["a date before 1970", "nbf", () => `{"iss":"I","aud":"a","exp":${AT + 60},"nbf":-1}`],
    ["a claim twice", "payload.sub", () => `{"iss":"I","aud":"a","exp":${AT + 60},"sub":"eve","sub":"bot"}`],
    [
      "a claim twice, once with an escape",
      "payload.sub",
      () => `{"iss":"I","aud":"a","exp":${AT + 60},"sub":"eve","s\\u0075b":"bot"}`,
    ],
    [
      "a claim twice, deep inside",
      "payload.realm.role",
      () => `{"iss":"I","aud":"a","exp":${AT + 60},"realm":{"role":"x","role":"y"}}`,
    ],
    ["a list of claims", "payload", () => "[]"],
  ])("with %s is invalid, though its signature is good", async (_, named, payload) => {
    const fault = await refusal(tokenOf(ES256, payload().replace('"I"', JSON.stringify(issuer.url)), "p-256"));
    expect(fault).toMatchObject({ code: "TOKEN_INVALID", message: expect.stringContaining(`its ${named} `) });
  });

  test("with a member of its header twice is invalid", async () => {
    const header = '{"alg":"none","alg":"ES256","kid":"p-256"}';
    expect((await refusal(tokenOf(header, JSON.stringify(claims()), "p-256"))).message).toContain("header.alg");
  });

  test("with bytes that are not UTF-8 is invalid", async () => {
    const bytes = Buffer.concat([
      Buffer.from(JSON.stringify(claims()).slice(0, -1)),
      Buffer.from(',"name":"'),
      Buffer.from([0xff]),
      Buffer.from('"}'),
    ]);
    const signed = `${Buffer.from(ES256).toString("base64url")}.${bytes.toString("base64url")}`;
    const key = { key: PAIRS["p-256"]?.privateKey as KeyObject, dsaEncoding: "ieee-p1363" as const };
    const token = `${signed}.${signBytes("sha256", Buffer.from(signed), key).toString("base64url")}`;
    expect((await refusal(token)).message).toContain("UTF-8");
  });

  test("may have large numbers in claims that nobody reads", async () => {
    const payload = `${JSON.stringify(claims()).slice(0, -1)},"employee":12345678901234567890}`;
    await expect(verifier.verify(tokenOf(ES256, payload, "p-256"))).resolves.toMatchObject({ keyId: "p-256" });
  });
});
