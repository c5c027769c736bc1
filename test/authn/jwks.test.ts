import { decodeProtectedHeader, errors } from "jose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fetchJson } from "../../src/authn/fetch-json.ts";
import { Jwks } from "../../src/authn/jwks.ts";
import { type Issuer, startIssuer } from "../support/issuer.ts";

const HOUR = 3_600_000;

let issuer: Issuer;
let now: number;
let problems: unknown[];
beforeEach(async () => {
  issuer = await startIssuer();
  [now, problems] = [0, []];
});
afterEach(() => issuer.close());

const open = (url: string | null = null): Jwks =>
  new Jwks({ issuer: issuer.url, url, fetchJson, monotonic: () => now, onError: (error) => void problems.push(error) });

/** Looks for the key of a token that is signed now. */
async function look(jwks: Jwks, header: { readonly kid?: string } = {}): Promise<unknown> {
  const token = await issuer.sign({}, header);
  const [protectedPart = "", payload = "", signature = ""] = token.split(".");
  const found = jwks.find(decodeProtectedHeader(token) as { alg: string }, {
    protected: protectedPart,
    payload,
    signature,
  });
  return found;
}

describe("the keys of an issuer", () => {
  test.each([
    ["by discovery", null],
    ["at a URL", "given"],
  ])("are found %s, and asked for once", async (_, how) => {
    const jwks = open(how === null ? null : issuer.jwksUrl);
    for (let n = 0; n < 5; n++) expect(await look(jwks)).toMatchObject({ type: "public" });
    expect(issuer.asked()).toBe(1);
  });

  test("are asked for at once when a token names a new one, and the older ones stay as long as the issuer has them", async () => {
    const jwks = open();
    await jwks.start();
    const old = issuer.publicJwk.kid as string;
    await issuer.rotate(false);
    now += 60_000;
    await expect(look(jwks)).resolves.toMatchObject({ type: "public" });
    await expect(look(jwks, { kid: old })).resolves.toMatchObject({ type: "public" });
    await issuer.rotate(true);
    now += 60_000;
    await look(jwks);
    await expect(look(jwks, { kid: old })).rejects.toThrow(errors.JWKSNoMatchingKey);
    jwks.stop();
  });

  test("are not asked for by everybody who makes up a key's name", async () => {
    const jwks = open();
    await look(jwks);
    for (let n = 0; n < 20; n++) {
      now += 1000;
      await expect(look(jwks, { kid: `made-up-${n}` })).rejects.toThrow(errors.JWKSNoMatchingKey);
    }
    expect(issuer.asked()).toBe(1);
    now += 30_000;
    await Promise.all(Array.from({ length: 20 }, (_, n) => look(jwks, { kid: `many-${n}` }).catch(() => undefined)));
    expect(issuer.asked()).toBe(2);
  });

  test("are kept through an outage for 24 hours, and no longer", async () => {
    const jwks = open();
    await look(jwks);
    issuer.fail(true);
    now += 24 * HOUR - 1000;
    await expect(look(jwks)).resolves.toMatchObject({ type: "public" });
    now += 2000;
    await expect(look(jwks)).rejects.toMatchObject({ code: "ISSUER_UNAVAILABLE", status: "unavailable" });
    expect(problems.map(String)).toContain(`IssuerError: ${issuer.url}/.well-known/openid-configuration answered 503.`);
    issuer.fail(false);
    now += 31_000;
    await expect(look(jwks)).resolves.toMatchObject({ type: "public" });
  });

  test("that are not there at the start do not stop it, and are found later", async () => {
    issuer.fail(true);
    const jwks = open();
    await jwks.start();
    await expect(look(jwks)).rejects.toMatchObject({ code: "ISSUER_UNAVAILABLE" });
    issuer.fail(false);
    now += 31_000;
    await expect(look(jwks)).resolves.toMatchObject({ type: "public" });
    jwks.stop();
  });

  test.each([
    ["of another issuer", { issuer: "https://elsewhere.example" }],
    ["without keys", { jwks_uri: undefined }],
  ])("are not taken from a discovery document %s", async (_, document) => {
    issuer.lie(document);
    await expect(look(open())).rejects.toMatchObject({ code: "ISSUER_UNAVAILABLE" });
    expect(String(problems[0])).toContain("is not the discovery document of");
  });

  test("are not replaced by what is no set of keys", async () => {
    const jwks = open();
    await look(jwks);
    issuer.lie({ jwks_uri: `${issuer.url}/other` });
    now += 31_000;
    await look(jwks, { kid: "unknown" }).catch(() => undefined);
    expect(problems).toHaveLength(1);
    await expect(look(jwks)).resolves.toMatchObject({ type: "public" });
  });
});
