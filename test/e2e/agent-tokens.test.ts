import { createHmac, generateKeyPairSync, sign as signBytes } from "node:crypto";
import { type CryptoKey, exportSPKI, type JWK, importJWK, type JWTPayload, UnsecuredJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { reasonOf, call } from "../server/admin/admin-fixture.ts";
import { callAgent, reasonOf as reasonOfAgent } from "../support/agent-calls.ts";
import { AGENT_TRANSPORTS, QUESTION } from "../support/agent-transports.ts";
import { type Issuer, startIssuer } from "../support/issuer.ts";
import { waitUntil } from "../support/net.ts";
import { type Asked, demoKey, discard, type ServiceProcess, startService } from "../support/service.ts";

const AGENTS = "datacrawl-agents";
const OPERATORS = "datacrawl-operators";

/** Agents that an issuer vouches for, at a real service that takes operators' tokens of the same issuer. */
describe("agents with tokens", () => {
  const weak = generateKeyPairSync("rsa", { modulusLength: 1024 });
  let issuer: Issuer;
  let other: Issuer;
  let service: ServiceProcess;
  beforeAll(async () => {
    [issuer, other] = await Promise.all([startIssuer(), startIssuer()]);
    issuer.publish({ ...(weak.publicKey.export({ format: "jwk" }) as JWK), kid: "weak" });
    service = await startService({
      DATACRAWL_LOG_LEVEL: "debug",
      DATACRAWL_AGENT_JWT_ISSUER: issuer.url,
      DATACRAWL_AGENT_JWT_AUDIENCE: AGENTS,
      DATACRAWL_AGENT_JWT_JWKS_URL: issuer.jwksUrl,
      DATACRAWL_AGENT_JWT_CLAIM: "azp",
      DATACRAWL_AGENT_JWT_PRINCIPAL_CLAIM: "act.sub",
      DATACRAWL_OIDC_ISSUER: issuer.url,
      DATACRAWL_OIDC_AUDIENCE: OPERATORS,
    });
    await admin("CreateAgent", { agentId: "bot", withoutKey: true });
  });
  afterAll(async () => {
    await discard(service);
    await Promise.all([issuer.close(), other.close()]);
  });

  /** As an operator whom the same issuer vouches for. */
  const admin = async (method: string, request: object): Promise<Record<string, unknown>> => {
    const ann = { aud: OPERATORS, sub: "ann", datacrawl_role: "operator" };
    const authorization = `Bearer ${await issuer.sign(claims(ann))}`;
    const { status, body } = await call(service.adminUrl, `AdminService/${method}`, request, { authorization });
    if (status !== 200) throw new Error(JSON.stringify(body));
    return body;
  };
  const now = (): number => Math.floor(Date.now() / 1000);
  const claims = (more: object = {}): JWTPayload => ({
    iss: issuer.url,
    aud: AGENTS,
    azp: "bot",
    exp: now() + 600,
    ...more,
  });
  let keys = 0;
  const newKey = (): string => `key-${keys++}`;

  describe("that say on whose behalf they act", () => {
    const asks = async (token: object, request: object) => {
      const key = await issuer.sign(claims(token));
      const question = { ...QUESTION, idempotencyKey: newKey(), ...request };
      return await callAgent(service.connectUrl, key, "Authorize", question);
    };
    const principalOf = async ({ body }: Asked): Promise<unknown> => {
      const { decision } = await admin("GetDecision", { decisionId: body["decisionId"] });
      return (decision as { principal?: string }).principal;
    };

    test.each([
      ["the token's is recorded", { act: { sub: "ann" } }, {}, "ann"],
      ["the request may repeat it", { act: { sub: "ann" } }, { principal: "ann" }, "ann"],
      ["a token without the claim leaves it to the agent", {}, { principal: "bob" }, "bob"],
      ["and to nobody where neither says it", {}, {}, undefined],
    ])("%s", async (_, token, request, principal) => {
      expect(await principalOf(await asks(token, request))).toBe(principal);
    });

    test("a request that contradicts its token is refused", async () => {
      const refused = await asks({ act: { sub: "ann" } }, { principal: "eve" });
      expect([refused.status, reasonOfAgent(refused)]).toEqual([403, "PRINCIPAL_MISMATCH"]);
    });

    test.each([[7], [""], ["a\nb"], ["x".repeat(257)], [null]])("a token's claim of %j is refused", async (sub) => {
      expect(reasonOfAgent(await asks({ act: { sub } }, {}))).toBe("TOKEN_INVALID");
    });
  });

  describe.each(AGENT_TRANSPORTS)("over %s", (_, ask) => {
    test("are who the claim says, beside those with keys", async () => {
      const answer = await ask(service, await issuer.sign(claims()), newKey());
      expect(answer).toMatchObject({ reason: "RULE_ALLOWED" });
      const { decisionId } = answer as { decisionId: string };
      expect((await admin("GetDecision", { decisionId }))["decision"]).toMatchObject({
        agentId: "bot",
        credentialId: `jwt:${issuer.publicJwk.kid}`,
      });
      expect(await ask(service, demoKey(service.dataDir), newKey())).toMatchObject({ reason: "RULE_ALLOWED" });
    });

    test.each<[string, object]>([
      ["for operators", { aud: OPERATORS, sub: "bot", datacrawl_role: "operator" }],
      ["for nobody", { aud: undefined }],
      ["of another issuer", { iss: "https://elsewhere.example" }],
      ["that has expired", { exp: 1_000_000_000 }],
      ["that never expires", { exp: undefined }],
      ["that is not valid yet", { nbf: 10_000_000_000 }],
      ["that names no agent", { azp: undefined, sub: "bot" }],
      ["that names what no agent can be called", { azp: "Bot\u0000" }],
      ["that names several", { azp: ["bot"] }],
      ["of an agent that nobody created", { azp: "stranger" }],
    ])("are refused a token %s", async (_name, wrong) => {
      const token = await issuer.sign(claims(wrong));
      expect(await ask(service, token, newKey())).toEqual({ status: "UNAUTHENTICATED" });
    });

    test("are refused forged tokens", async () => {
      const { kid } = issuer.publicJwk;
      const [header, , signature] = (await issuer.sign(claims({ azp: "demo" }))).split(".");
      const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
      const confused = `${part({ alg: "HS256", kid })}.${part(claims())}`;
      const pem = await exportSPKI((await importJWK(issuer.publicJwk, "ES256", { extractable: true })) as CryptoKey);
      const forged = [
        new UnsecuredJWT(claims()).encode(),
        await other.sign(claims(), { kid: kid as string }),
        await other.sign(claims()),
        `${confused}.${createHmac("sha256", pem).update(confused).digest("base64url")}`,
        `${header}.${part(claims())}.${signature}`,
        "a.b.c",
        "eyJ",
      ];
      for (const token of forged) expect(await ask(service, token, newKey())).toEqual({ status: "UNAUTHENTICATED" });
    });

    test("are refused a token that the issuer signed with a weak key, as a bad credential and no outage", async () => {
      const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
      const signed = `${part({ alg: "RS256", kid: "weak" })}.${part(claims())}`;
      const token = `${signed}.${signBytes("sha256", Buffer.from(signed), weak.privateKey).toString("base64url")}`;
      expect(await ask(service, token, newKey())).toEqual({ status: "UNAUTHENTICATED" });
      await waitUntil(
        () => service.output().err.includes("fewer than 2048 bits"),
        20_000,
        "the weak key is not reported",
      );
    });

    test("are frozen and revoked as others are", async () => {
      const azp = `held-${newKey()}`;
      await admin("CreateAgent", { agentId: azp, withoutKey: true });
      const token = await issuer.sign(claims({ azp }));
      const key = newKey();
      expect(await ask(service, token, key)).toMatchObject({ reason: "RULE_ALLOWED" });
      await admin("FreezeAgent", { agentId: azp, reason: "a test" });
      expect(await ask(service, token, key)).toMatchObject({ reason: "AGENT_FROZEN" });
      await admin("RevokeAgent", { agentId: azp });
      expect(await ask(service, token, newKey())).toEqual({ status: "UNAUTHENTICATED" });
    });

    test("are served while their issuer is down", async () => {
      issuer.fail(true);
      const answer = await ask(service, await issuer.sign(claims()), newKey());
      issuer.fail(false);
      expect(answer).toMatchObject({ reason: "RULE_ALLOWED" });
    });
  });

  test("are nobody on the operators' port", async () => {
    const authorization = `Bearer ${await issuer.sign(claims({ sub: "bot", datacrawl_role: "operator" }))}`;
    const reply = await call(service.adminUrl, "AdminService/ListAgents", {}, { authorization });
    expect([reply.status, reasonOf(reply)]).toEqual([401, "TOKEN_INVALID"]);
  });

  test("leave no token in the log", async () => {
    const token = await issuer.sign(claims({ azp: "stranger" }));
    for (const [, ask] of AGENT_TRANSPORTS) await ask(service, token, newKey());
    await waitUntil(() => service.output().err.includes("CREDENTIAL_UNKNOWN"), 20_000, "the refusal is not logged");
    for (const part of token.split(".")) expect(service.output().err).not.toContain(part);
  });
});
