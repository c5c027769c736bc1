import { createHmac } from "node:crypto";
import { type CryptoKey, exportSPKI, importJWK, type JWTPayload, UnsecuredJWT } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { OperatorTokens } from "../../src/admin/tokens.ts";
import { fetchJson } from "../../src/authn/fetch-json.ts";
import { Jwks } from "../../src/authn/jwks.ts";
import { JwtVerifier } from "../../src/authn/jwt.ts";
import { type Issuer, startIssuer } from "../support/issuer.ts";

const AT = 1_800_000_000;

let issuer: Issuer;
let other: Issuer;
let now: number;
let tokens: OperatorTokens;
beforeAll(async () => {
  [issuer, other] = await Promise.all([startIssuer(), startIssuer()]);
});
afterAll(() => Promise.all([issuer.close(), other.close()]));
beforeEach(() => {
  now = AT * 1_000_000;
  tokens = open({ role: "datacrawl_role", name: "sub" });
});

function open(claims: { role: string; name: string }, algorithms = ["RS256", "ES256"]): OperatorTokens {
  const onError = (error: unknown): void => console.error(error);
  const jwks = new Jwks({ issuer: issuer.url, url: null, fetchJson, monotonic: () => 0, onError });
  const policy = { issuer: issuer.url, audience: "datacrawl", algorithms };
  return new OperatorTokens(new JwtVerifier(policy, jwks.find, () => now), claims);
}

const valid = (): JWTPayload => ({
  iss: issuer.url,
  aud: "datacrawl",
  sub: "ann",
  exp: AT + 600,
  datacrawl_role: "operator",
});

describe("a token of the issuer", () => {
  test("names an operator, a role, and the sign-in of a human", async () => {
    const human = { auth_time: AT - 30, amr: ["pwd", "mfa"] };
    await expect(tokens.verify(await issuer.sign({ ...valid(), ...human }))).resolves.toEqual({
      kind: "operator",
      name: "oidc:ann",
      role: "operator",
      signedInAt: (AT - 30) * 1_000_000,
      methods: ["pwd", "mfa"],
    });
  });

  test.each<[string, JWTPayload]>([
    ["neither", {}],
    ["a time alone", { auth_time: AT }],
    ["methods alone", { amr: ["pwd"] }],
    ["a time as text", { auth_time: String(AT), amr: ["pwd"] }],
    ["no method", { auth_time: AT, amr: [] }],
    ["a method that is no text", { auth_time: AT, amr: [1] }],
    ["methods as one text", { auth_time: AT, amr: "pwd" }],
    ["an empty method", { auth_time: AT, amr: [""] }],
    ["an empty method among others", { auth_time: AT, amr: ["pwd", ""] }],
    ["a method with spaces", { auth_time: AT, amr: [" "] }],
    ["a hundred methods", { auth_time: AT, amr: Array.from({ length: 100 }, () => "pwd") }],
  ])("tells of no human's sign-in with %s", async (_, claims) => {
    const { signedInAt, methods } = await tokens.verify(await issuer.sign({ ...valid(), ...claims }));
    expect(signedInAt === null || methods.length === 0).toBe(true);
  });

  test.each<[string, unknown, string]>([
    ["one of several", ["x", "viewer", "reviewer"], "reviewer"],
    ["one", "viewer", "viewer"],
  ])("names a role as %s", async (_, claim, role) => {
    await expect(tokens.verify(await issuer.sign({ ...valid(), datacrawl_role: claim }))).resolves.toMatchObject({
      role,
    });
  });

  test.each([undefined, "admin", "Operator", "operator viewer", ["admin"], { operator: true }, 1, true])(
    "that names no role is refused: %j",
    async (claim) => {
      await expect(tokens.verify(await issuer.sign({ ...valid(), datacrawl_role: claim }))).rejects.toMatchObject({
        code: "NOT_PERMITTED",
      });
    },
  );

  test("may have its claims elsewhere", async () => {
    const claims = { ...valid(), realm_access: { roles: ["viewer"] }, "https://x.example/name": "Ann" };
    const elsewhere = open({ role: "realm_access.roles", name: "https://x.example/name" });
    await expect(elsewhere.verify(await issuer.sign(claims))).resolves.toMatchObject({
      role: "viewer",
      name: "oidc:Ann",
    });
    const inherited = open({ role: "constructor.name", name: "sub" });
    await expect(inherited.verify(await issuer.sign(claims))).rejects.toMatchObject({ code: "NOT_PERMITTED" });
  });
});

describe("a token is refused that", () => {
  test.each<[string, object, string]>([
    ["has expired", { exp: AT - 60 }, "TOKEN_EXPIRED"],
    ["never expires", { exp: undefined }, "TOKEN_INVALID"],
    ["is not valid yet", { nbf: AT + 60 }, "TOKEN_INVALID"],
    ["is for another audience", { aud: "elsewhere" }, "TOKEN_INVALID"],
    ["is for no audience", { aud: undefined }, "TOKEN_INVALID"],
    ["is of another issuer", { iss: "https://elsewhere.example" }, "TOKEN_INVALID"],
    ["is of no issuer", { iss: undefined }, "TOKEN_INVALID"],
    ["names nobody", { sub: undefined }, "TOKEN_INVALID"],
    ["has a name of nothing", { sub: "" }, "TOKEN_INVALID"],
    ["has a name with escapes", { sub: "ann\u001b[2J" }, "TOKEN_INVALID"],
  ])("%s", async (_, claims, code) => {
    await expect(tokens.verify(await issuer.sign({ ...valid(), ...claims }))).rejects.toMatchObject({
      code,
      status: "unauthenticated",
    });
  });

  test("is not signed (alg: none)", async () => {
    const unsigned = new UnsecuredJWT(valid()).encode();
    await expect(tokens.verify(unsigned)).rejects.toMatchObject({ code: "TOKEN_INVALID" });
  });

  test("is signed by another under the same key id", async () => {
    const forged = await other.sign(valid(), { kid: issuer.publicJwk.kid as string });
    await expect(tokens.verify(forged)).rejects.toMatchObject({ code: "TOKEN_INVALID" });
  });

  test("is signed with the public key as if it were a secret (key confusion)", async () => {
    const pem = await exportSPKI((await importJWK(issuer.publicJwk, "ES256", { extractable: true })) as CryptoKey);
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const signed = `${part({ alg: "HS256", kid: issuer.publicJwk.kid })}.${part(valid())}`;
    for (const secret of [pem, JSON.stringify(issuer.publicJwk)]) {
      const mac = createHmac("sha256", secret).update(signed).digest("base64url");
      await expect(tokens.verify(`${signed}.${mac}`)).rejects.toMatchObject({ code: "TOKEN_INVALID" });
    }
  });

  test("is signed with an algorithm that is not pinned, though the issuer has such a key", async () => {
    const pinned = open({ role: "datacrawl_role", name: "sub" }, ["RS256"]);
    await expect(pinned.verify(await issuer.sign(valid()))).rejects.toMatchObject({ code: "TOKEN_INVALID" });
  });

  test("was changed after it was signed", async () => {
    const [header, , signature] = (await issuer.sign({ ...valid(), datacrawl_role: "viewer" })).split(".");
    const payload = Buffer.from(JSON.stringify(valid())).toString("base64url");
    await expect(tokens.verify(`${header}.${payload}.${signature}`)).rejects.toMatchObject({ code: "TOKEN_INVALID" });
  });

  test.each(["", "x", "..", "a.b.c", "x".repeat(20_000)])("is none: %.20s", async (text) => {
    await expect(tokens.verify(text)).rejects.toMatchObject({ code: "TOKEN_INVALID" });
  });
});
