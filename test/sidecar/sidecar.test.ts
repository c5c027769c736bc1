import { mkdtemp, rm, stat } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import {
  AuthorizeRequestSchema,
  type AuthorizeResponse,
  AuthorizeResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { Decision, Reason, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { loadSidecarConfig } from "../../src/sidecar/config.ts";
import { runSidecar, type Sidecar } from "../../src/sidecar/sidecar.ts";
import { frame, http2, openStream } from "../server/raw.ts";
import {
  allowing,
  API_KEY,
  type Asked,
  denied,
  fail,
  reply,
  serveGrpc,
} from "../../clients/typescript/test/support/service.ts";

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

const yes = ({ stream, request }: Asked): void => reply(stream, allowing(request));

/** A service that answers as `respond` says, and a sidecar before it. */
async function start(respond: (asked: Asked) => void, env: Record<string, string> = {}) {
  let current = respond;
  const service = await serveGrpc((asked) => current(asked));
  opened.push(() => service.stop());
  const dir = await mkdtemp(join(tmpdir(), "datacrawl-sidecar-"));
  opened.push(() => rm(dir, { recursive: true }));
  const config = loadSidecarConfig(
    {
      DATACRAWL_URL: service.url.origin,
      DATACRAWL_API_KEY: API_KEY,
      DATACRAWL_DATA_DIR: dir,
      DATACRAWL_SIDECAR_GRPC_ADDR: "127.0.0.1:0",
      DATACRAWL_SIDECAR_CONNECT_ADDR: "127.0.0.1:0",
      DATACRAWL_SIDECAR_CIRCUIT_FAILURES: "2",
      DATACRAWL_LOG_LEVEL: "silent",
      ...env,
    },
    dir,
  );
  const sidecar = await runSidecar(config);
  opened.push(() => sidecar.stop());
  return { sidecar, service, dir, now: (next: (asked: Asked) => void) => void (current = next) };
}

const NONCE = Uint8Array.from({ length: 16 }, (_, n) => n + 1);
type Fields = MessageInitShape<typeof AuthorizeRequestSchema>;
const REQUEST: Fields = { tool: "mail.send", payload: { to: "a@example.com" }, idempotencyKey: "k-1", nonce: NONCE };

/** What a bare stub gets: the response, or the status' error. */
function stub({ grpc: address }: Pick<Sidecar, "grpc">, timeoutMs = 3000) {
  const target = address.kind === "unix" ? `unix:${address.path}` : `${address.host}:${address.port}`;
  const client = new grpc.Client(target, grpc.credentials.createInsecure());
  opened.push(() => client.close());
  return (fields: Fields = REQUEST): Promise<AuthorizeResponse> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        "/datacrawl.authz.v1.AuthorizeService/Authorize",
        (message: Fields) => Buffer.from(toBinary(AuthorizeRequestSchema, create(AuthorizeRequestSchema, message))),
        (bytes) => fromBinary(AuthorizeResponseSchema, bytes),
        fields,
        { deadline: Date.now() + timeoutMs },
        (error, response) => (error === null && response !== undefined ? resolve(response) : reject(error as Error)),
      );
    });
}

describe("a bare stub behind the sidecar", () => {
  it("gets what the service decides, with its own question's echoes and no credential of its own", async () => {
    const { sidecar, service } = await start(({ stream, request }) =>
      reply(stream, allowing(request, request.tool === "mail.send" ? {} : denied)),
    );
    const ask = stub(sidecar);
    const answer = await ask();
    expect(answer).toMatchObject({
      decision: Decision.ALLOW,
      reason: Reason.RULE_ALLOWED,
      source: Source.SERVICE,
      decisionId: "0198c0de-0000-7000-8000-00000000c0de",
      agentId: "agent-1",
      tool: "mail.send",
      idempotencyKey: "k-1",
      decidedAt: { seconds: 1_780_000_000n, nanos: 123_456_000 },
    });
    expect(Buffer.from(answer.nonce)).toEqual(Buffer.from(NONCE));
    expect(Buffer.from(service.requests[0]?.nonce ?? [])).not.toEqual(Buffer.from(NONCE));
    expect(await ask({ ...REQUEST, tool: "mail.delete", agentId: "agent-1", nonce: new Uint8Array(0) })).toMatchObject({
      decision: Decision.DENY,
      reason: Reason.RULE_DENIED,
      source: Source.SERVICE,
      nonce: new Uint8Array(0),
    });
  });

  it("gets OK and DENY for whatever goes wrong with the service; and at once when the circuit is open", async () => {
    const { sidecar, service } = await start(({ stream }) => fail(stream, 13));
    const ask = stub(sidecar);
    const denial = { decision: Decision.DENY, source: Source.GUARD, policyVersion: "", tool: "mail.send" };
    expect(await ask()).toMatchObject({ ...denial, reason: Reason.SERVICE_UNAVAILABLE });
    expect(await ask()).toMatchObject({ ...denial, reason: Reason.SERVICE_UNAVAILABLE });
    expect(await ask()).toMatchObject({ ...denial, reason: Reason.CIRCUIT_OPEN });
    expect(service.requests).toHaveLength(2);
  });

  it("gets a DENY for a refused credential, and for a spoiled answer", async () => {
    const { sidecar, now } = await start(({ stream }) => fail(stream, 16));
    const ask = stub(sidecar);
    expect(await ask()).toMatchObject({ decision: Decision.DENY, reason: Reason.REQUEST_REFUSED });
    now(({ stream, request }) => reply(stream, allowing(request, { idempotencyKey: "k-2" })));
    expect(await ask()).toMatchObject({ decision: Decision.DENY, reason: Reason.MALFORMED_RESPONSE });
  });

  it("gets a DENY before its own deadline", async () => {
    const { sidecar } = await start(() => {});
    // Without a client's own timer, which on a slow machine may fire before it has read what is there.
    const session = http2(sidecar.grpc.kind === "tcp" ? sidecar.grpc.port : 0);
    opened.push(() => session.destroy());
    const stream = openStream(session, { "grpc-timeout": "500m" });
    stream.end(frame(Buffer.from(toBinary(AuthorizeRequestSchema, create(AuthorizeRequestSchema, REQUEST)))));
    const answer = fromBinary(AuthorizeResponseSchema, Buffer.concat(await stream.toArray()).subarray(5));
    expect(answer).toMatchObject({ decision: Decision.DENY, reason: Reason.DEADLINE_EXCEEDED });
  });

  it.each<[string, Fields, number, RegExp]>([
    ["another agent", { ...REQUEST, agentId: "agent-2" }, grpc.status.PERMISSION_DENIED, /agent_id/],
    ["no tool", { ...REQUEST, tool: "" }, grpc.status.INVALID_ARGUMENT, /tool/],
    ["no key", { ...REQUEST, idempotencyKey: "" }, grpc.status.INVALID_ARGUMENT, /idempotency_key/],
    ["a short nonce", { ...REQUEST, nonce: NONCE.subarray(1) }, grpc.status.INVALID_ARGUMENT, /nonce/],
    ["NUL", { ...REQUEST, payload: { a: "\0" } }, grpc.status.INVALID_ARGUMENT, /payload\.a/],
  ])("is refused in the service's words: %s", async (_, fields, code, details) => {
    const { sidecar, service } = await start(yes);
    await expect(stub(sidecar)(fields)).rejects.toMatchObject({ code, details: expect.stringMatching(details) });
    expect(service.requests).toHaveLength(0);
  });
});

it("does not serve SyncGuard, and says so", async () => {
  const { sidecar } = await start(yes);
  const { connect } = sidecar;
  const origin = `http://127.0.0.1:${connect.kind === "tcp" ? connect.port : 0}`;
  const response = await fetch(`${origin}/datacrawl.authz.v1.AuthorizeService/SyncGuard`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  expect([response.status, await response.json()]).toMatchObject([501, { code: "unimplemented" }]);
});

it("speaks JSON over Connect, with health, readiness and metrics", async () => {
  const { sidecar } = await start(yes);
  const { connect } = sidecar;
  const origin = `http://127.0.0.1:${connect.kind === "tcp" ? connect.port : 0}`;
  const response = await fetch(`${origin}/datacrawl.authz.v1.AuthorizeService/Authorize`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ tool: "mail.send", payload: { to: "a" }, idempotencyKey: "k" }),
  });
  expect(await response.json()).toMatchObject({
    decision: "DECISION_ALLOW",
    source: "SOURCE_SERVICE",
    agentId: "agent-1",
    idempotencyKey: "k",
  });
  expect((await fetch(`${origin}/healthz`)).status).toBe(200);
  expect((await fetch(`${origin}/readyz`)).status).toBe(200);
  const metrics = await (await fetch(`${origin}/metrics`)).text();
  expect(metrics).toContain(
    'datacrawl_sidecar_answers_total{decision="allow",reason="RULE_ALLOWED",source="service"} 1',
  );
  expect(metrics).toContain('datacrawl_sidecar_circuit_state{state="closed"} 1');
});

it("listens on Unix sockets that only their owner can open", async () => {
  const dir = await mkdtemp(join(tmpdir(), "datacrawl-sidecar-socket-"));
  opened.push(() => rm(dir, { recursive: true }));
  const { sidecar } = await start(yes, {
    DATACRAWL_SIDECAR_GRPC_ADDR: `unix:${join(dir, "grpc.sock")}`,
    DATACRAWL_SIDECAR_CONNECT_ADDR: `unix:${join(dir, "connect.sock")}`,
  });
  expect(await stub(sidecar)()).toMatchObject({ decision: Decision.ALLOW });
  expect((await stat(join(dir, "grpc.sock"))).mode & 0o777).toBe(0o600);
  const status = await new Promise((resolve, reject) => {
    http
      .get({ socketPath: join(dir, "connect.sock"), path: "/readyz" }, (response) => resolve(response.statusCode))
      .on("error", reject);
  });
  expect(status).toBe(200);
});

it("finishes what is under way when it is told to stop", async () => {
  const { sidecar, service } = await start((asked) => setTimeout(() => yes(asked), 300));
  const asking = stub(sidecar)();
  await expect.poll(() => service.requests.length).toBe(1);
  await sidecar.stop();
  expect(await asking).toMatchObject({ decision: Decision.ALLOW });
});

describe("its configuration", () => {
  const load = (env: Record<string, string>) => loadSidecarConfig({ DATACRAWL_API_KEY: API_KEY, ...env }, "/work");

  it("has defaults", () => {
    expect(load({})).toMatchObject({
      transport: "grpc",
      agentId: "agent-1",
      timeoutMs: 5000,
      circuit: { failures: 5, probeAfterMs: 30_000 },
      journalDir: "/work/data/guard",
      grpc: { kind: "tcp", host: "127.0.0.1", port: 7443 },
      connect: { kind: "tcp", host: "127.0.0.1", port: 7444 },
      redisUrl: null,
    });
    expect(load({ DATACRAWL_SIDECAR_TRANSPORT: "connect" }).endpoint.url.origin).toBe("http://127.0.0.1:7441");
  });

  it("is refused with every problem at once, by the variables' names, without secrets", () => {
    const bad = {
      DATACRAWL_API_KEY: "dc_agent_s3cret",
      DATACRAWL_URL: "http://authz.example.com:7440",
      DATACRAWL_SIDECAR_GRPC_ADDR: "0.0.0.0:7443",
      DATACRAWL_SIDECAR_CONNECT_ADDR: "nonsense",
      DATACRAWL_SIDECAR_TRANSPORT: "udp",
      DATACRAWL_SIDECAR_TIMEOUT_MS: "soon",
      DATACRAWL_SIDECAR_CIRCUIT_FAILURES: "0",
      DATACRAWL_SIDECAR_CIRCUIT_PROBE_AFTER_MS: "-1",
      DATACRAWL_CA_FILE: "/nowhere/ca.pem",
      DATACRAWL_LOG_LEVEL: "loud",
      DATACRAWL_BYPASS: "true",
      REDIS_URL: "http://:pa55word@redis",
    };
    let message = "";
    try {
      load(bad);
    } catch (error) {
      message = (error as Error).message;
    }
    for (const variable of Object.keys(bad)) expect(message).toContain(`${variable} `);
    expect(message.split("\n")).toHaveLength(Object.keys(bad).length);
    expect(message).not.toMatch(/s3cret|pa55word/);
  });
});
