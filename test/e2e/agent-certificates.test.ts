import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { request as requestHttps } from "node:https";
import { text } from "node:stream/consumers";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { type Certificate, certificate, type CertificateOptions } from "../../conformance/src/certificates.ts";
import { loadConfig } from "../../src/config.ts";
import { type Running, serve } from "../../src/server/lifecycle/serve.ts";
import { askGrpc, QUESTION, type Reply } from "../support/agent-transports.ts";
import { waitUntil } from "../support/net.ts";
import { demoKey } from "../support/service.ts";
import { migratedEmbedded } from "../support/embedded.ts";

const PATH = "/datacrawl.authz.v1.AuthorizeService/Authorize";
const URI = "spiffe://example.org/agent/";

const authority = (name: string): Certificate => certificate(Date.now(), { name, authority: true });
const server = certificate(Date.now(), { name: "localhost", hosts: ["localhost", "127.0.0.1"], usage: "server" });

/** Asks with a client's certificate, a bearer, both or neither. */
type Ask = (client: Certificate | null, bearer: string | null) => Promise<Reply>;

describe("agents with certificates", () => {
  const directory = mkdtempSync(join(tmpdir(), "datacrawl-mtls-"));
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  let trusted = authority("agents");
  let service: Running;
  let admin: Client<typeof AdminService>;
  beforeAll(async () => {
    await migratedEmbedded(directory);
    service = await serve(
      loadConfig(
        {
          DATACRAWL_DATA_DIR: directory,
          DATACRAWL_GRPC_ADDR: "127.0.0.1:0",
          DATACRAWL_CONNECT_ADDR: "127.0.0.1:0",
          DATACRAWL_ADMIN_ADDR: "127.0.0.1:0",
          DATACRAWL_TLS_CERT_FILE: file("server.pem", server.certPem),
          DATACRAWL_TLS_KEY_FILE: file("server.key", server.keyPem),
          DATACRAWL_AGENT_CA_FILE: file("agents.pem", trusted.certPem),
          DATACRAWL_AGENT_SAN: `${URI}{agent}`,
          DATACRAWL_LOG_LEVEL: "silent",
        },
        process.cwd(),
        true,
      ),
    );
    const nodeOptions = { socketPath: service.adminSocket };
    const socket = createConnectTransport({ baseUrl: "http://admin.sock", httpVersion: "1.1", nodeOptions });
    admin = createClient(AdminService, socket);
    await admin.createAgent({ agentId: "bot", withoutKey: true });
  });
  afterAll(async () => {
    await service.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const issue = (hosts: readonly string[], more: Partial<CertificateOptions> = {}): Certificate =>
    certificate(Date.now(), { name: "client", issuer: trusted, hosts, usage: "client", ...more });
  let keys = 0;
  const newKey = (): string => `key-${keys++}`;
  const tls = (client: Certificate | null) => ({
    ca: server.certPem,
    ...(client === null ? {} : { cert: client.certPem, key: client.keyPem }),
  });
  const headersFor = (bearer: string | null): Record<string, string> => ({
    "content-type": "application/json",
    ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
  });
  const body = (): string => JSON.stringify({ ...QUESTION, idempotencyKey: newKey() });
  const portOf = (which: "grpc" | "connect"): number => (service[which] as { port: number }).port;
  const GONE: Reply = { status: "UNAVAILABLE" };

  const overGrpc: Ask = (client, bearer) => {
    const pem = client === null ? [] : [Buffer.from(client.keyPem), Buffer.from(client.certPem)];
    return askGrpc(portOf("grpc"), grpc.credentials.createSsl(Buffer.from(server.certPem), ...pem), bearer, newKey());
  };
  const overHttp1: Ask = (client, bearer) =>
    new Promise((resolve) => {
      const options = {
        port: portOf("connect"),
        path: PATH,
        method: "POST",
        headers: headersFor(bearer),
        agent: false,
      };
      const request = requestHttps({ host: "localhost", ...options, ...tls(client) }, (response) => {
        let received = "";
        response.on("data", (chunk: Buffer) => (received += chunk.toString()));
        response.on("end", () => resolve(replyOf(received)));
      });
      request.on("error", () => resolve(GONE));
      request.end(body());
    });
  const overHttp2: Ask = (client, bearer) =>
    new Promise((resolve) => {
      const session = connectHttp2(`https://localhost:${portOf("connect")}`, tls(client));
      const gone = (): void => resolve(GONE);
      session.on("error", gone).on("close", gone);
      const stream = session.request({ ":method": "POST", ":path": PATH, ...headersFor(bearer) });
      let received = "";
      stream.on("error", gone);
      stream.on("data", (chunk: Buffer) => (received += chunk.toString()));
      stream.on("end", () => {
        if (received !== "") resolve(replyOf(received));
        session.destroy();
      });
      stream.end(body());
    });

  describe.each<[string, Ask]>([
    ["gRPC", overGrpc],
    ["Connect on HTTP/1.1", overHttp1],
    ["Connect on HTTP/2", overHttp2],
  ])("over %s", (_, ask) => {
    test("are who it says, and the trail says by which", async () => {
      const client = issue(["localhost", `${URI}bot`]);
      const answer = await ask(client, null);
      expect(answer).toMatchObject({ reason: "RULE_ALLOWED" });
      const { decision } = await admin.getDecision({ decisionId: (answer as { decisionId: string }).decisionId });
      expect(decision?.agentId).toBe("bot");
      expect(decision?.credentialId).toMatch(/^cert:[0-9a-f]{16}$/);
    });

    test("come in without one, to show a key", async () => {
      expect(await ask(null, demoKey(directory))).toMatchObject({ reason: "RULE_ALLOWED" });
      expect(await ask(null, null)).toEqual({ status: "UNAUTHENTICATED" });
    });

    test("are refused in the handshake with one that does not verify, whatever their key", async () => {
      const stranger = authority("agents");
      const HOUR = 3_600_000;
      const wrong = [
        issue([`${URI}bot`], { issuer: stranger }),
        certificate(Date.now(), { name: "client", hosts: [`${URI}bot`], usage: "client" }),
        issue([`${URI}bot`], { from: Date.now() - 2 * HOUR, until: Date.now() - HOUR }),
        issue([`${URI}bot`], { usage: "server" }),
      ];
      for (const client of wrong) expect(await ask(client, demoKey(directory))).toEqual(GONE);
    });

    test.each<[string, readonly string[]]>([
      ["nobody", []],
      ["a host", ["bot"]],
      ["another trust domain", ["spiffe://example.com/agent/bot"]],
      ["more than an agent", [`${URI}bot/x`]],
      ["less than an agent", [URI]],
      ["what holds the name of one", [`x${URI}bot`]],
      ["a wildcard", [`${URI}*`]],
      ["capitals", [`${URI}BOT`]],
      ["two agents", [`${URI}bot`, `${URI}demo`]],
      ["one agent twice", [`${URI}bot`, `${URI}bot`]],
      ["two in one name", [`spiffe://x, URI:${URI}bot`]],
      ["two in one name, quoted", [`spiffe://x", URI:${URI}bot`]],
      ["an agent that nobody created", [`${URI}stranger`]],
    ])("are nobody with one that names %s", async (_name, hosts) => {
      expect(await ask(issue(hosts), null)).toEqual({ status: "UNAUTHENTICATED" });
    });

    test.each<[string, readonly string[], Partial<CertificateOptions>]>([
      ["has a foreign URI beside the agent's", [`${URI}bot`, "spiffe://example.com/other"], {}],
      ["has a foreign URI before the agent's", ["https://example.com/x", `${URI}bot`], {}],
      ["is an authority's", [`${URI}bot`], { authority: true, keyUsage: 0x86 }],
      ["is an authority's that may sign connections alone", [`${URI}bot`], { authority: true, keyUsage: 0x80 }],
      ["may sign certificates", [`${URI}bot`], { keyUsage: 0x84 }],
      ["may sign lists of revoked ones", [`${URI}bot`], { keyUsage: 0x82 }],
    ])("are nobody with one that %s, whatever their key", async (_name, hosts, more) => {
      expect(await ask(issue(hosts, more), null)).toEqual({ status: "UNAUTHENTICATED" });
      expect(await ask(issue(hosts, more), demoKey(directory))).toEqual({ status: "UNAUTHENTICATED" });
    });

    test("may show a key as well, if it is the same agent's", async () => {
      const key = demoKey(directory);
      expect(await ask(issue([`${URI}demo`]), key)).toMatchObject({ reason: "RULE_ALLOWED" });
      expect(await ask(issue(["mesh.example.org"]), key)).toMatchObject({ reason: "RULE_ALLOWED" });
      expect(await ask(issue([`${URI}bot`]), key)).toEqual({ status: "PERMISSION_DENIED" });
      expect(await ask(issue([`${URI}demo`]), `${key.slice(0, -1)}x`)).toEqual({ status: "UNAUTHENTICATED" });
    });

    test("are revoked as others are", async () => {
      const agentId = `gone-${newKey()}`;
      await admin.createAgent({ agentId, withoutKey: true });
      const client = issue([`${URI}${agentId}`]);
      expect(await ask(client, null)).toMatchObject({ reason: "RULE_ALLOWED" });
      await admin.revokeAgent({ agentId });
      expect(await ask(client, null)).toEqual({ status: "UNAUTHENTICATED" });
    });
  });

  test("are nobody any more when theirs expires, also on a connection that is open", { tags: ["full"] }, async () => {
    const session = connectHttp2(
      `https://localhost:${portOf("connect")}`,
      tls(issue([`${URI}bot`], { until: Date.now() + 8000 })),
    );
    const ask = async (): Promise<Reply> => {
      const stream = session.request({ ":method": "POST", ":path": PATH, ...headersFor(null) });
      stream.end(body());
      return replyOf(await text(stream));
    };
    expect(await ask()).toMatchObject({ reason: "RULE_ALLOWED" });
    await waitUntil(async () => "status" in (await ask()), 20_000, "the certificate does not expire");
    expect(await ask()).toEqual({ status: "UNAUTHENTICATED" });
    session.destroy();
  });

  test("come by other authorities after a reload", async () => {
    const [old, next] = [issue([`${URI}bot`]), authority("next")];
    file("agents.pem", next.certPem);
    await service.reload();
    trusted = next;
    for (const ask of [overGrpc, overHttp1, overHttp2]) {
      expect(await ask(old, null)).toEqual(GONE);
      expect(await ask(issue([`${URI}bot`]), null)).toMatchObject({ reason: "RULE_ALLOWED" });
    }
  });
});

function replyOf(received: string): Reply {
  const answer = JSON.parse(received) as { code?: string; reason?: string; decisionId?: string };
  if (answer.code !== undefined) return { status: answer.code.toUpperCase() };
  return { reason: (answer.reason ?? "").replace("REASON_", ""), decisionId: answer.decisionId ?? "" };
}
