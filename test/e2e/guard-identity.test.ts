import { execFile } from "node:child_process";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { AuthorizeService } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { Reason, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { DataCrawl, type DataCrawlOptions } from "@datacrawl/client";
import { type Certificate, certificate } from "../../conformance/src/certificates.ts";
import { loadConfig } from "../../src/config.ts";
import { type Running, serve } from "../../src/server/lifecycle/serve.ts";
import { type Issuer, startIssuer } from "../support/issuer.ts";
import { waitUntil } from "../support/net.ts";
import { writeReviewPolicies } from "../support/reviewers.ts";
import { startSidecar } from "../support/sidecar.ts";
import { cleanEnv } from "../support/service.ts";
import { migratedEmbedded } from "../support/embedded.ts";

const AGENTS = "agents";
const OPERATORS = "operators";
const URI = "spiffe://example.org/agent/";

/** Guards that prove their agent by a token or a certificate, at a real service with TLS and an issuer. */
describe("a guard", () => {
  const directory = mkdtempSync(join(tmpdir(), "datacrawl-guard-identity-"));
  const file = (name: string, text: string): string => {
    // As whoever replaces such files does it: nobody reads half a file.
    writeFileSync(join(directory, `${name}.new`), text);
    renameSync(join(directory, `${name}.new`), join(directory, name));
    return join(directory, name);
  };
  const authority = certificate(Date.now(), { name: "agents", authority: true });
  const server = certificate(Date.now(), { name: "localhost", hosts: ["localhost", "127.0.0.1"], usage: "server" });
  const issue = (agent: string, until = Date.now() + 3_600_000): Certificate =>
    certificate(Date.now(), { name: "client", issuer: authority, hosts: [`${URI}${agent}`], usage: "client", until });
  const writePair = (name: string, { certPem, keyPem }: Certificate) => ({
    certFile: file(`${name}.pem`, certPem),
    keyFile: file(`${name}.key`, keyPem),
  });

  let issuer: Issuer;
  let service: Running;
  let admin: Client<typeof AdminService>;
  beforeAll(async () => {
    issuer = await startIssuer();
    const jwt = (name: string, audience: string) => ({
      [`DATACRAWL_${name}_ISSUER`]: issuer.url,
      [`DATACRAWL_${name}_JWKS_URL`]: issuer.jwksUrl,
      [`DATACRAWL_${name}_AUDIENCE`]: audience,
    });
    const files = writePair("server", server);
    const policies = writeReviewPolicies(join(directory, "policies"));
    file("policies/notes.yaml", "rules:\n  - { id: notes, tools: [notes], effect: allow }\n");
    await migratedEmbedded(directory);
    service = await serve(
      loadConfig(
        {
          DATACRAWL_DATA_DIR: directory,
          DATACRAWL_POLICY_DIR: policies,
          DATACRAWL_GRPC_ADDR: "127.0.0.1:0",
          DATACRAWL_CONNECT_ADDR: "127.0.0.1:0",
          DATACRAWL_ADMIN_ADDR: "127.0.0.1:0",
          DATACRAWL_TLS_CERT_FILE: files.certFile,
          DATACRAWL_TLS_KEY_FILE: files.keyFile,
          DATACRAWL_AGENT_CA_FILE: file("authority.pem", authority.certPem),
          DATACRAWL_AGENT_SAN: `${URI}{agent}`,
          ...jwt("AGENT_JWT", AGENTS),
          ...jwt("OIDC", OPERATORS),
          DATACRAWL_LOG_LEVEL: "silent",
        },
        process.cwd(),
        true,
      ),
    );
    const baseUrl = `https://localhost:${portOf("admin")}`;
    const transport = createConnectTransport({
      baseUrl,
      httpVersion: "1.1",
      nodeOptions: { ca: server.certPem },
      interceptors: [
        (next) => async (request) => {
          const person = { sub: "ann", datacrawl_role: "operator", auth_time: seconds(), amr: ["pwd"] };
          request.header.set("authorization", `Bearer ${await sign(person, OPERATORS)}`);
          return await next(request);
        },
      ],
    });
    admin = createClient(AdminService, transport);
    for (const agentId of ["bot", "other"]) await admin.createAgent({ agentId, withoutKey: true });
  });
  const opened: DataCrawl[] = [];
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((dc) => dc.close()));
  });
  afterAll(async () => {
    await service.stop();
    await issuer.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const portOf = (which: "grpc" | "connect" | "admin"): number => (service[which] as { port: number }).port;
  const seconds = (): number => Math.floor(Date.now() / 1000);
  const sign = (claims: object, aud = AGENTS): Promise<string> =>
    issuer.sign({ iss: issuer.url, aud, sub: "bot", exp: seconds() + 600, ...claims });
  const open = (transport: "grpc" | "connect", identity: DataCrawlOptions): DataCrawl => {
    const url = `https://localhost:${portOf(transport)}`;
    const dc = new DataCrawl({ url, transport, ca: server.certPem, agentId: "bot", timeoutMs: 20_000, ...identity });
    opened.push(dc);
    return dc;
  };
  let keys = 0;
  const question = (tool = "notes") => ({ tool, payload: {}, idempotencyKey: `key-${keys++}` });
  const token = (): Promise<string> => sign({});

  const overTransport = (transport: "grpc" | "connect"): void => {
    test.each<[string, () => DataCrawlOptions, RegExp]>([
      ["a token", () => ({ token }), /^jwt:/],
      ["a certificate", () => ({ clientCertificate: writePair("bot", issue("bot")) }), /^cert:/],
    ])("asks, waits for people, uploads and gets its grants by %s", async (name, identity, credential) => {
      const dc = open(transport, { ...identity(), journalDir: join(directory, `${transport}-${name}`) });
      const allowed = await dc.authorize(question());
      expect(allowed).toMatchObject({ decision: "allow", source: "service" });
      const { decision } = await admin.getDecision({ decisionId: allowed.decisionId });
      expect([decision?.agentId, decision?.credentialId]).toEqual(["bot", expect.stringMatching(credential)]);

      const pending = await dc.authorize(question("refund"));
      const waiting = dc.waitForReview(pending.decisionId, { timeoutMs: 30_000 });
      const { reviewId } = (await admin.getDecision({ decisionId: pending.decisionId })).decision ?? {};
      await admin.approveReview({ reviewId: reviewId as string, comment: "fine" });
      expect(await waiting).toMatchObject({ decision: "allow", reason: "REVIEW_APPROVED" });

      const alone = await dc.authorize(question(), { signal: AbortSignal.abort() });
      expect(alone.source).toBe("guard");
      await admin.setCircuitBypass({ agentId: "bot", reason: name, tools: ["notes"] });
      const isSynced = (): boolean => dc.status?.journal.unsynced === 0 && dc.status.grant.grant?.reason === name;
      await waitUntil(isSynced, 30_000, "the guard does not sync");
      const uploaded = (await admin.getDecision({ decisionId: alone.decisionId })).decision;
      expect(uploaded).toMatchObject({ agentId: "bot", source: Source.GUARD, reason: Reason.DEADLINE_EXCEEDED });
      await admin.clearCircuitBypass({ agentId: "bot", reason: "over" });
    });

    test("goes on with the token of the moment", async () => {
      let claims: object = { exp: 1_000_000_000 };
      const dc = open(transport, { token: () => sign(claims) });
      expect(await dc.authorize(question())).toMatchObject({ decision: "deny", reason: "REQUEST_REFUSED" });
      claims = {};
      expect(await dc.authorize(question())).toMatchObject({ decision: "allow" });
    });

    test("goes on with the certificate of the moment, and never with half of a new one", async () => {
      const clientCertificate = writePair("rotating", issue("bot"));
      const dc = open(transport, { clientCertificate });
      expect(await dc.authorize(question())).toMatchObject({ decision: "allow" });
      const next = issue("other");
      file("rotating.pem", next.certPem);
      expect(await dc.authorize(question())).toMatchObject({ decision: "allow" });
      file("rotating.key", next.keyPem);
      // A read of the files that a sync began before the key was replaced may give the former pair once more.
      let refused = await dc.authorize(question());
      const isRefused = async (): Promise<boolean> => {
        refused = await dc.authorize(question());
        return refused.decision === "deny";
      };
      await waitUntil(isRefused, 30_000, "the guard does not use the new pair");
      expect(refused.reason).toBe("REQUEST_REFUSED");
      expect(refused.message).toContain("PERMISSION_DENIED");
    });

    test.each<[string, () => string | Promise<string>, string]>([
      [
        "throws",
        () => {
          throw new TypeError("s3cret");
        },
        "the token cannot be had (TypeError)",
      ],
      ["rejects", () => Promise.reject(new Error("s3cret")), "the token cannot be had (Error)"],
      ["brings nothing", () => "", "gave no token"],
      ["brings no token", () => "s3cret\r\nx: y", "gave no token"],
      ["brings no text", () => ({}) as string, "gave no token"],
      ["never comes", () => new Promise<string>(() => {}), "the token did not come in time"],
    ])("is denied when its token %s, and the service is not to blame", async (_, source, problem) => {
      const dc = open(transport, { token: source, timeoutMs: 2000, circuit: { failures: 1 } });
      const verdict = await dc.authorize(question());
      expect(verdict).toMatchObject({ decision: "deny", reason: "REQUEST_REFUSED", source: "guard" });
      expect(verdict.message).toContain(problem);
      expect(JSON.stringify([verdict, dc.circuit, dc.status])).not.toContain("s3cret");
      expect(dc.circuit).toMatchObject({ state: "closed", consecutiveFailures: 0 });
    });

    test("is denied what another agent's token or certificate brings", async () => {
      const others: DataCrawlOptions[] = [
        { token: () => sign({ sub: "other" }) },
        { clientCertificate: writePair("other", issue("other")) },
        { token, clientCertificate: writePair("other", issue("other")) },
      ];
      for (const identity of others) {
        const verdict = await open(transport, identity).authorize(question());
        expect(verdict).toMatchObject({ decision: "deny", reason: "REQUEST_REFUSED" });
        expect(verdict.message).toContain("PERMISSION_DENIED");
      }
    });
  };
  describe("over grpc", () => {
    overTransport("grpc");
  });
  describe("over connect", { tags: ["full"] }, () => {
    overTransport("connect");
  });

  test("in a sidecar reads its token and its certificate from files, anew when they change", async () => {
    const url = {
      DATACRAWL_URL: `https://localhost:${portOf("grpc")}`,
      DATACRAWL_CA_FILE: join(directory, "server.pem"),
    };
    const tokenFile = file("token", `${await token()}\n`);
    const { certFile, keyFile } = writePair("sidecar", issue("bot"));
    const identities = [
      { DATACRAWL_TOKEN_FILE: tokenFile },
      { DATACRAWL_CLIENT_CERT_FILE: certFile, DATACRAWL_CLIENT_KEY_FILE: keyFile },
    ];
    const sidecars = await Promise.all(
      identities.map((identity) => startSidecar(0, "", { ...url, ...identity, DATACRAWL_AGENT_ID: "bot" })),
    );
    const ask = ({ connectUrl: baseUrl }: { connectUrl: string }) =>
      createClient(AuthorizeService, createConnectTransport({ baseUrl, httpVersion: "1.1" })).authorize(question());
    try {
      for (const sidecar of sidecars) expect((await ask(sidecar)).reason).toBe(Reason.RULE_ALLOWED);
      file("token", await sign({ sub: "other" }));
      writePair("sidecar", issue("other"));
      for (const sidecar of sidecars) {
        await waitUntil(
          async () => (await ask(sidecar)).reason === Reason.REQUEST_REFUSED,
          20_000,
          "the file is not read again",
        );
      }
    } finally {
      await Promise.all(sidecars.map((sidecar) => sidecar.kill("SIGTERM")));
    }
  });

  test("is refused as a bare stub would be, on every method", async () => {
    const baseUrl = `https://localhost:${portOf("connect")}`;
    const nodeOptions = { ca: server.certPem };
    const stub = createClient(AuthorizeService, createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions }));
    const { decisionId } = await open("grpc", { token }).authorize(question());
    const call = async (claims: object): Promise<Record<string, Code | "ok">> => {
      const headers = { authorization: `Bearer ${await sign(claims)}` };
      const watch = async (): Promise<void> => {
        for await (const _ of stub.watchDecision({ decisionId, nonce: new Uint8Array(16) }, { headers })) break;
      };
      return {
        watch: await codeOf(watch()),
        sync: await codeOf(stub.syncGuard({ journalId: "00000000-0000-7000-8000-000000000000" }, { headers })),
      };
    };
    expect(await call({})).toEqual({ watch: "ok", sync: "ok" });
    expect(await call({ sub: "other" })).toEqual({ watch: Code.NotFound, sync: "ok" });
    for (const forged of [{ exp: 1 }, { aud: OPERATORS }, { sub: "stranger" }]) {
      expect(await call(forged)).toEqual({ watch: Code.Unauthenticated, sync: Code.Unauthenticated });
    }
  });

  test("at the command line is the same", async () => {
    const { certFile, keyFile } = writePair("cli", issue("bot"));
    const url = {
      DATACRAWL_URL: `https://localhost:${portOf("grpc")}`,
      DATACRAWL_CA_FILE: join(directory, "server.pem"),
    };
    const ask = (env: Record<string, string>) =>
      run(["authorize", "--timeout", "1m", "--tool", "notes", "--payload", "{}", "--json"], { ...url, ...env });
    const agent = { DATACRAWL_AGENT_ID: "bot" };
    const pair = { DATACRAWL_CLIENT_CERT_FILE: certFile, DATACRAWL_CLIENT_KEY_FILE: keyFile };
    const [byToken, byCertificate, bad] = await Promise.all([
      ask({ ...agent, DATACRAWL_TOKEN_FILE: file("cli-token", await token()) }),
      ask({ ...agent, ...pair }),
      ask({ ...pair, DATACRAWL_TOKEN_FILE: join(directory, "nowhere") }),
    ]);
    for (const { status, stdout } of [byToken, byCertificate]) {
      expect([status, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({ decision: "allow" })]);
    }
    expect([bad.status, bad.stdout]).toEqual([1, ""]);
    expect(bad.stderr).toContain("DATACRAWL_TOKEN_FILE) cannot be read (ENOENT)");
    expect(bad.stderr).toContain("DATACRAWL_AGENT_ID) must be the agent");
  });
});

async function codeOf(work: Promise<unknown>): Promise<Code | "ok"> {
  return await work.then(
    () => "ok" as const,
    (error: unknown) => ConnectError.from(error).code,
  );
}

/** Apart, for this process is the service. */
function run(
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ status: unknown; stdout: string; stderr: string }> {
  const main = join(import.meta.dirname, "../../src/main.ts");
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { env: cleanEnv(env), timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ status: error?.code ?? 0, stdout, stderr }),
    );
  });
}
