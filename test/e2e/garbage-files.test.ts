// @module-tag full
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { certificate } from "../../conformance/src/certificates.ts";
import { cli } from "../support/cli.ts";
import { waitUntil } from "../support/net.ts";
import { discard, type Env, runCli, startService, tempDir } from "../support/service.ts";

const GARBAGE = "g4rb4ge s3cret\n";

const dir = tempDir();
const garbage = join(dir, "garbage");
const [certFile, keyFile] = [join(dir, "cert.pem"), join(dir, "key.pem")];
const policies = join(dir, "policies");
beforeAll(() => {
  const pair = certificate(Date.now(), { name: "localhost", hosts: ["localhost"], usage: "server" });
  writeFileSync(garbage, GARBAGE);
  writeFileSync(certFile, pair.certPem);
  writeFileSync(keyFile, pair.keyPem);
  mkdirSync(policies);
  writeFileSync(join(policies, "a.yaml"), "rules: [{ id: ok, tools: [t], effect: allow }]\n");
});
afterAll(() => rmSync(dir, { recursive: true }));

/** What a command that ends with it says; it must not repeat the file. */
function refusal(args: readonly string[], env: Env): string {
  const data = { DATACRAWL_DATA_DIR: join(dir, "data"), DATACRAWL_POLICY_DIR: policies };
  const { status, stdout, stderr } = runCli(args, { ...data, ...env });
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^datacrawl: /);
  expect(stderr).not.toContain("s3cret");
  return stderr;
}

const AUTHORIZE = ["authorize", "--tool", "t", "--payload", "{}"];
const AGENT = { DATACRAWL_URL: "https://localhost:1", DATACRAWL_AGENT_ID: "bot" };
const KEY = { DATACRAWL_API_KEY: `dc_agent_bot_${"a".repeat(16)}_${"A".repeat(43)}` };

describe("a file with garbage is named, with the variable that names it", () => {
  test.each([
    ["authorize", AUTHORIZE, KEY],
    ["sidecar", ["sidecar"], KEY],
    ["a command with an admin URL", ["agent", "list", "--admin-url", "https://localhost:1"], {}],
  ])("by %s: authorities to trust", (_what, args, env) => {
    const said = refusal(args, { ...env, DATACRAWL_CA_FILE: garbage });
    expect(said).toContain(`DATACRAWL_CA_FILE is ${garbage}, which holds no certificate in PEM`);
  });

  test.each([
    ["authorize", AUTHORIZE],
    ["sidecar", ["sidecar"]],
  ])("by %s: the agent's token, certificate and key", (_what, args) => {
    expect(refusal(args, { ...AGENT, DATACRAWL_TOKEN_FILE: garbage })).toMatch(
      new RegExp(`DATACRAWL_TOKEN_FILE\\)? is ${garbage}, which holds no token`),
    );
    const pair = { ...AGENT, DATACRAWL_CLIENT_CERT_FILE: certFile, DATACRAWL_CLIENT_KEY_FILE: keyFile };
    const cert = refusal(args, { ...pair, DATACRAWL_CLIENT_CERT_FILE: garbage });
    expect(cert).toContain("DATACRAWL_CLIENT_CERT_FILE");
    expect(cert).toContain(`${garbage} holds no certificate in PEM`);
    const key = refusal(args, { ...pair, DATACRAWL_CLIENT_KEY_FILE: garbage });
    expect(key).toContain("(DATACRAWL_CLIENT_KEY_FILE)");
    expect(key).toContain(`${garbage} holds no private key in PEM`);
  });

  test("by authorize: the demo agent's key", () => {
    const data = tempDir();
    onTestFinished(() => rmSync(data, { recursive: true }));
    writeFileSync(join(data, "demo-agent.key"), GARBAGE);
    expect(refusal(AUTHORIZE, { DATACRAWL_DATA_DIR: data })).toContain(
      `${join(data, "demo-agent.key")} holds no agent's key`,
    );
  });

  test("by serve: certificates and keys of listeners, and the authorities of agents", () => {
    const good = { DATACRAWL_TLS_CERT_FILE: certFile, DATACRAWL_TLS_KEY_FILE: keyFile };
    const cases: [Env, string][] = [
      [
        { DATACRAWL_TLS_CERT_FILE: garbage },
        `DATACRAWL_TLS_CERT_FILE is ${garbage}, which holds no certificate in PEM`,
      ],
      [{ DATACRAWL_TLS_KEY_FILE: garbage }, `DATACRAWL_TLS_KEY_FILE is ${garbage}, which holds no private key in PEM`],
      [
        { DATACRAWL_CONNECT_TLS_CERT_FILE: garbage, DATACRAWL_CONNECT_TLS_KEY_FILE: keyFile },
        `DATACRAWL_CONNECT_TLS_CERT_FILE is ${garbage}, which holds no certificate in PEM`,
      ],
      [
        { DATACRAWL_AGENT_CA_FILE: garbage, DATACRAWL_AGENT_SAN: "spiffe://a/{agent}" },
        `DATACRAWL_AGENT_CA_FILE is ${garbage}, which holds no certificate in PEM`,
      ],
    ];
    for (const [env, wanted] of cases) expect(refusal(["serve"], { ...good, ...env })).toContain(wanted);
  });

  test.each(["hmac.key", "grant-key-1.json", "audit-key-1.json", "webhook.secret"])(
    "by serve: %s of the keys directory",
    async (name) => {
      const keys = join(tempDir(), "keys");
      await cli(["keys", "init"], { DATACRAWL_KEYS_DIR: keys });
      writeFileSync(join(keys, name), GARBAGE);
      const data = tempDir();
      const said = refusal(["serve"], {
        DATACRAWL_KEYS_DIR: keys,
        DATACRAWL_DATA_DIR: data,
        DATACRAWL_WEBHOOK_URL: "https://localhost:1/",
      });
      expect(said).toContain(join(keys, name));
      expect(said).toContain(name === "webhook.secret" ? "DATACRAWL_WEBHOOK_SECRET_FILE" : "DATACRAWL_KEYS_DIR");
    },
  );

  test("by audit check-proof and check-export: public keys", () => {
    for (const command of ["check-proof", "check-export"]) {
      expect(refusal(["audit", command, garbage, "--public-key", garbage], {})).toContain(
        `--public-key ${garbage}, line 1: `,
      );
    }
  });

  test("in the log of serve: what an issuer answers instead of its keys", async () => {
    const answers = new Map([
      ["/text", GARBAGE],
      ["/json", '{"keys":"s3cret"}'],
    ]);
    const server = createServer((request, response) => response.end(answers.get(request.url ?? "")));
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const address = server.address();
    const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
    const service = await startService({
      DATACRAWL_OIDC_ISSUER: "https://issuer.test",
      DATACRAWL_OIDC_AUDIENCE: "operators",
      DATACRAWL_OIDC_JWKS_URL: `${url}/text`,
      DATACRAWL_AGENT_JWT_ISSUER: "https://issuer.test",
      DATACRAWL_AGENT_JWT_AUDIENCE: "agents",
      DATACRAWL_AGENT_JWT_JWKS_URL: `${url}/json`,
    });
    onTestFinished(() => discard(service));
    const lines = (): { settings?: string; cause?: string }[] =>
      service
        .output()
        .err.split("\n")
        .filter((line) => line.includes("the issuer's keys could not be read"))
        .map((line) => JSON.parse(line) as { settings?: string; cause?: string });
    await waitUntil(() => lines().length >= 2, 20_000, "it is not logged");
    expect(lines()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ settings: "DATACRAWL_OIDC_*", cause: `${url}/text did not answer with JSON.` }),
        expect.objectContaining({
          settings: "DATACRAWL_AGENT_JWT_*",
          cause: expect.stringContaining(`${url}/json did not answer with a set of keys (RFC 7517)`),
        }),
      ]),
    );
    expect(service.output().err).not.toContain("s3cret");
  });
});
