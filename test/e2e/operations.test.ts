// @module-tag full
import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:http2";
import { request as httpsRequest } from "node:https";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { RetryInfoSchema } from "@datacrawl/proto/google/rpc/error_details_pb";
import { type Cluster, makeAgent, makeCluster } from "../support/cluster.ts";
import { waitUntil } from "../support/net.ts";
import { ask, discard, type ServiceProcess, startService, tempDir } from "../support/service.ts";

const [postgresUrl, redisUrl] = [inject("postgresUrl"), inject("redisUrl")];
const PATH = "/datacrawl.authz.v1.AuthorizeService/Authorize";

const request = (idempotencyKey: string, change: Record<string, unknown> = {}): Record<string, unknown> => ({
  tool: "gmail.send_email",
  payload: { to: ["ann@example.com"], subject: "Hi", body: "Hello" },
  idempotencyKey,
  ...change,
});

describe.skipIf(postgresUrl === null || redisUrl === null)("a service in operation", () => {
  const policyDir = join(tempDir(), "policies");
  let cluster: Cluster;
  let otherKey: string;
  let database: pg.Client;
  let service: ServiceProcess;

  beforeAll(async () => {
    cpSync("policies", policyDir, { recursive: true });
    cluster = (await makeCluster({ REDIS_URL: redisUrl as string })) as Cluster;
    otherKey = await makeAgent("other", cluster.env);
    database = new pg.Client(cluster.superUrl);
    await database.connect();
    service = await startService({ ...cluster.env, DATACRAWL_POLICY_DIR: policyDir, DATACRAWL_LOG_LEVEL: "debug" });
  });
  afterAll(async () => {
    await discard(service);
    await database.end();
    rmSync(policyDir, { recursive: true });
  });

  const page = async (path: string): Promise<string> => await (await fetch(`${service.connectUrl}${path}`)).text();
  const metric = async (line: string): Promise<number> => {
    const found = (await page("/metrics")).split("\n").find((one) => one.startsWith(`${line} `));
    return Number(found?.slice(line.length));
  };

  test("counts decisions, replays, refusals, steps, batches and the queue", async () => {
    const allowed = 'datacrawl_decisions_total{decision="allow",reason="RULE_ALLOWED"}';
    await ask(service.connectUrl, cluster.agentKey, request("first"));
    const before = await metric(allowed);
    await ask(service.connectUrl, cluster.agentKey, request("counted"));
    await ask(service.connectUrl, cluster.agentKey, request("counted"));
    await ask(service.connectUrl, cluster.agentKey, request("nothing", { tool: "no.such_tool" }));
    await ask(service.connectUrl, cluster.agentKey, request("bad", { tool: "" }));
    await ask(service.connectUrl, "sesame", request("stranger"));
    expect((await metric(allowed)) - before).toBe(2);
    expect(await metric('datacrawl_decisions_total{decision="deny",reason="NO_MATCHING_RULE"}')).toBeGreaterThan(0);
    expect(await metric("datacrawl_replays_total")).toBeGreaterThan(0);
    expect(await metric('datacrawl_refused_total{code="FIELD_INVALID"}')).toBeGreaterThan(0);
    expect(await metric('datacrawl_authentication_failures_total{code="CREDENTIAL_UNKNOWN"}')).toBeGreaterThan(0);
    for (const step of ["authenticate", "parse", "replay", "evaluate", "record"]) {
      expect(await metric(`datacrawl_step_seconds_count{step="${step}"}`), step).toBeGreaterThan(0);
    }
    expect(await metric("datacrawl_batch_rows_sum")).toBeGreaterThan(1);
    expect(await metric("datacrawl_queue_depth")).toBe(0);
    expect(await metric("datacrawl_store_errors_total")).toBe(0);
  });

  test("keeps the caller's trace id with the row", async () => {
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    await ask(service.connectUrl, cluster.agentKey, request("traced"), {
      traceparent: `00-${traceId}-b7ad6b7169203331-01`,
    });
    await ask(service.connectUrl, cluster.agentKey, request("untraced"), { traceparent: "00-'; DROP TABLE x" });
    const { rows } = await database.query(
      "SELECT trace_id FROM audit_decisions WHERE idempotency_key IN ('traced', 'untraced') ORDER BY idempotency_key",
    );
    expect(rows).toEqual([{ trace_id: traceId }, { trace_id: null }]);
  });

  test("answers an agent while another one loops", async () => {
    const enough = new AbortController();
    const looped = { requests: 0 };
    const loop = async (client: number): Promise<void> => {
      for (let n = 0; !enough.signal.aborted; n++) {
        await ask(service.connectUrl, cluster.agentKey, request(`loop-${client}-${n}`));
        looped.requests++;
      }
    };
    const loops = Array.from({ length: 64 }, (_, client) => loop(client));
    const answers = [];
    for (let n = 0; n < 20 || looped.requests < 1000; n++)
      answers.push(await ask(service.connectUrl, otherKey, request(`calm-${n}`)));
    enough.abort();
    await Promise.all(loops);
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  });

  test("follows its policy files, and keeps to the last good ones", async () => {
    const decision = async (key: string): Promise<unknown> =>
      (await ask(service.connectUrl, otherKey, request(key, { tool: "new.tool" }))).body["decision"];
    const rule = (effect: string): string => `rules:\n  - id: new-tool\n    tools: [new.tool]\n    effect: ${effect}\n`;
    const file = join(policyDir, "new.yaml");
    let asked = 0;
    const becomes = (wanted: string): Promise<void> =>
      waitUntil(async () => (await decision(`policy-${asked++}`)) === wanted, 20_000, `it does not become ${wanted}`);

    expect(await decision("policy-before")).toBe("DECISION_DENY");
    writeFileSync(file, rule("allow"));
    await becomes("DECISION_ALLOW");

    // Broken, beside a change that would deny: not even the half that is whole comes into force.
    writeFileSync(file, `${rule("deny")}  - id: broken\n`);
    service.child.kill("SIGHUP");
    await waitUntil(async () => (await page("/readyz")).includes("ok, but"), 20_000, "/readyz does not tell");
    expect((await fetch(`${service.connectUrl}/readyz`)).status).toBe(200);
    expect(await page("/metrics")).toContain("\ndatacrawl_policies_refused 1\n");
    expect(await decision("policy-broken")).toBe("DECISION_ALLOW");

    writeFileSync(file, rule("needs_review"));
    service.child.kill("SIGHUP");
    await becomes("DECISION_NEEDS_REVIEW");
    await waitUntil(async () => !(await page("/readyz")).includes("ok, but"), 20_000, "/readyz still complains");
    expect(await page("/metrics")).toContain("\ndatacrawl_policies_refused 0\n");
  });

  describe("with TLS and a rate", () => {
    const directory = tempDir();
    const [certFile, keyFile] = [join(directory, "cert.pem"), join(directory, "key.pem")];
    let secure: ServiceProcess;

    beforeAll(async () => {
      const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
      const args = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
      ];
      const made = spawnSync("openssl", [...args, ...subject, "-keyout", keyFile, "-out", certFile], {
        encoding: "utf8",
      });
      if (made.status !== 0) throw new Error(made.stderr);
      const tls = { DATACRAWL_TLS_CERT_FILE: certFile, DATACRAWL_TLS_KEY_FILE: keyFile };
      secure = await startService(
        { ...cluster.env, ...tls, DATACRAWL_AGENT_RATE: "1", DATACRAWL_AGENT_BURST: "3" },
        { ready: false },
      );
      await waitUntil(async () => (await overHttp1("/readyz")).status === 200, 60_000, secure.output().err);
    });
    afterAll(() => discard(secure));

    interface Got {
      readonly status: number;
      readonly body: string;
    }
    const headersFor = (key: string) => ({ "content-type": "application/json", authorization: `Bearer ${key}` });
    const overHttp1 = (path: string, key = "", body?: unknown): Promise<Got> =>
      new Promise((resolve) => {
        const options = {
          port: secure.connectPort,
          path,
          method: body === undefined ? "GET" : "POST",
          rejectUnauthorized: false,
        };
        const sent = httpsRequest({ ...options, agent: false, headers: headersFor(key) }, (response) => {
          let text = "";
          response.on("data", (chunk: Buffer) => (text += chunk.toString()));
          response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }));
        });
        sent.on("error", (error) => resolve({ status: 0, body: String(error) }));
        sent.end(body === undefined ? undefined : JSON.stringify(body));
      });
    const overHttp2 = async (key: string, body: unknown): Promise<Got & { alpn: string | undefined }> => {
      const session = connect(`https://localhost:${secure.connectPort}`, { rejectUnauthorized: false });
      const stream = session.request({ ":method": "POST", ":path": PATH, ...headersFor(key) });
      stream.end(JSON.stringify(body));
      let status = 0;
      stream.on("response", (headers) => (status = headers[":status"] ?? 0));
      let text = "";
      for await (const chunk of stream) text += String(chunk);
      const alpn = session.alpnProtocol;
      session.close();
      return { status, body: text, alpn };
    };

    test("speaks HTTP/2 and HTTP/1.1 on the Connect port, and HTTP/2 on the gRPC port", async () => {
      const two = await overHttp2(otherKey, request("tls-2"));
      expect(two).toMatchObject({ status: 200, alpn: "h2" });
      const one = await overHttp1(PATH, otherKey, request("tls-2"));
      expect(JSON.parse(one.body)).toMatchObject({ decision: "DECISION_ALLOW", replayed: true });

      const client = new grpc.Client(
        `localhost:${secure.grpcPort}`,
        grpc.credentials.createSsl(readFileSync(certFile)),
      );
      const health = await new Promise<Buffer>((resolve, reject) => {
        const path = "/grpc.health.v1.Health/Check";
        const bytes = (value: Buffer): Buffer => value;
        client.makeUnaryRequest(path, bytes, bytes, Buffer.alloc(0), (error, answer) => {
          if (error === null && answer !== undefined) resolve(answer);
          else reject(error ?? new Error("no answer"));
        });
      });
      client.close();
      // status = SERVING
      expect([...health]).toEqual([0x08, 0x01]);
    });

    test("tells an agent that asks too often how long to wait, and no other", async () => {
      const answers = [];
      for (let n = 0; n < 8; n++) answers.push(await overHttp2(cluster.agentKey, request(`rate-${n}`)));
      const refused = answers.filter(({ status }) => status === 429);
      expect(refused.length).toBeGreaterThan(0);
      expect(refused.length).toBeLessThanOrEqual(5);
      const error = JSON.parse(refused[0]?.body ?? "") as { code: string; details: { type: string; value: string }[] };
      expect(error.code).toBe("resource_exhausted");
      const detail = error.details.find(({ type }) => type === "google.rpc.RetryInfo");
      const { retryDelay } = fromBinary(RetryInfoSchema, Buffer.from(detail?.value ?? "", "base64"));
      expect(retryDelay === undefined ? 0 : durationMs(retryDelay)).toBeGreaterThan(0);
      expect((await overHttp2(otherKey, request("rate-other"))).status).toBe(200);
    });
  });

  test("keeps payloads and credentials out of its log, which is JSON and names decisions", async () => {
    const payload = { to: ["ann@example.com"], subject: "needle-value", "needle-name": 1 };
    const { body } = await ask(service.connectUrl, cluster.agentKey, request("logged", { payload }));
    await ask(service.connectUrl, cluster.agentKey, request("bad", { payload: { "needle-name": "\0" } }));
    await ask(service.connectUrl, cluster.agentKey, request("bad", { "needle-field": 1 }));
    await ask(service.connectUrl, `${cluster.agentKey}f`, request("bad"));
    await waitUntil(
      () => service.output().err.includes(String(body["decisionId"])),
      20_000,
      "the decision is not logged",
    );
    await waitUntil(() => service.output().err.includes("CREDENTIAL_UNKNOWN"), 20_000, "the refusal is not logged");
    const { err } = service.output();
    for (const line of err.trim().split("\n")) expect(() => JSON.parse(line), line).not.toThrow();
    expect(err).not.toContain("needle");
    expect(err).not.toContain(cluster.agentKey.slice(-64));
  });

  test("finishes what is under way when it is told to stop, records what it refused, and ends with status 0", async () => {
    const stopped = new AbortController();
    const answered: { key: string; status: number; id: unknown }[] = [];
    const client = async (name: number): Promise<void> => {
      for (let n = 0; !stopped.signal.aborted; n++) {
        const key = `stop-${name}-${n}`;
        const { status, body } = await ask(service.connectUrl, otherKey, request(key));
        answered.push({ key, status, id: body["decisionId"] });
        if (status !== 200) return;
      }
    };
    const clients = Array.from({ length: 32 }, (_, name) => client(name));
    await waitUntil(() => answered.length > 200, 20_000, "nothing is answered");
    expect(await service.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    stopped.abort();
    await Promise.all(clients);

    const { rows } = await database.query(
      "SELECT idempotency_key AS key, decision_id::text AS id FROM audit_decisions WHERE idempotency_key LIKE 'stop-%'",
    );
    const recorded = new Map((rows as { key: string; id: string }[]).map(({ key, id }) => [key, id]));
    const decided = answered.filter(({ status }) => status === 200);
    expect(decided.filter(({ key, id }) => recorded.get(key) !== id)).toEqual([]);
    // Nothing was recorded whose caller was left without an answer.
    expect(recorded.size).toBe(decided.length);
    // The others were told to go elsewhere, or found nobody listening.
    expect(answered.filter(({ status }) => ![200, 503, 0].includes(status))).toEqual([]);

    const events = await database.query("SELECT detail FROM audit_events WHERE kind = 'authentication.refused'");
    const details = (events.rows as { detail: string }[]).map(({ detail }) => detail);
    expect(details.join()).toContain('"code":"CREDENTIAL_UNKNOWN"');
    expect(details.join()).not.toContain(cluster.agentKey.slice(-64));
  });
});
