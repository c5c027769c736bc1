import { createClient, type Client } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { AuthorizeService } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { ExecutionStateSchema, Outcome } from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import { wordOf } from "../../src/cli/output.ts";
import { cli } from "../support/cli.ts";
import { allowed, callAgent, newNonce, reasonOf } from "../support/agent-calls.ts";
import { type Cluster, makeAgent, makeCluster } from "../support/cluster.ts";
import { waitUntil } from "../support/net.ts";
import { addReviewer, REVIEWER_PASSWORD } from "../support/reviewers.ts";
import { discard, type ServiceProcess, startService } from "../support/service.ts";

const RACERS = 64;

describe.skipIf(inject("postgresUrl") === null)("executions, over two replicas with Postgres and without Redis", () => {
  let cluster: Cluster;
  let database: pg.Client;
  let services: readonly [ServiceProcess, ServiceProcess];
  let stranger: string;
  let sequence = 0;

  beforeAll(async () => {
    cluster = (await makeCluster({ DATACRAWL_EXECUTION_TIMEOUT: "1s" })) as Cluster;
    database = new pg.Client(cluster.superUrl);
    await database.connect();
    await addReviewer("ann", cluster.env, "operator");
    stranger = await makeAgent("stranger", cluster.env);
    services = await Promise.all([startService(cluster.env), startService(cluster.env)]);
  });
  afterAll(async () => {
    await Promise.all((services ?? []).map(discard));
    await database?.end();
  });

  const decide = (): Promise<string> => allowed(services[0].connectUrl, cluster.agentKey, `execution-${++sequence}`);
  const call = (method: string, request: object, replica = 1, key = cluster.agentKey) =>
    callAgent((services[replica] as ServiceProcess).connectUrl, key, method, request);
  /** By name: the replicas that recorded them have clocks of their own, which differ by more than lies between two events. */
  const eventsAbout = async (decisionId: string): Promise<string[]> => {
    const { rows } = await database.query("SELECT kind FROM audit_events WHERE decision_id = $1", [decisionId]);
    return (rows as { kind: string }[]).map(({ kind }) => kind).toSorted();
  };
  const run = async (words: string, password?: string) => {
    const env = { ...cluster.env, DATACRAWL_DATA_DIR: services[0].dataDir };
    const { status, stdout, stderr } = await cli(words.split(" "), env, password);
    return { status, stderr, json: status === 0 ? (JSON.parse(stdout) as Record<string, unknown>[]) : [] };
  };

  test("of racers with a nonce each, over both replicas and both protocols, one starts", async () => {
    const decisionId = await decide();
    const overGrpc = services.map(({ grpcPort }) => grpcClient(grpcPort, cluster.agentKey));
    const answers = await Promise.all(
      Array.from({ length: RACERS }, async (_, n) => {
        if (n % 4 < 2) return (await call("BeginExecution", { decisionId, nonce: newNonce() }, n % 2)).body["state"];
        const client = overGrpc[n % 2] as Client<typeof AuthorizeService>;
        const { state } = await client.beginExecution({ decisionId, nonce: randomBytes(16) });
        return `EXECUTION_STATE_${wordOf(ExecutionStateSchema, state)}`;
      }),
    );
    expect(answers.filter((state) => state === "EXECUTION_STATE_STARTED")).toHaveLength(1);
    expect(answers.filter((state) => state === "EXECUTION_STATE_ALREADY_STARTED")).toHaveLength(RACERS - 1);
    expect(await eventsAbout(decisionId)).toEqual(["execution.started"]);
  });

  test("of racers with one nonce all are told of the same start", async () => {
    const [decisionId, nonce] = [await decide(), newNonce()];
    const answers = await Promise.all(
      Array.from({ length: RACERS }, (_, n) => call("BeginExecution", { decisionId, nonce }, n % 2)),
    );
    const [first] = answers;
    for (const { body } of answers) expect(body).toEqual(first?.body);
    expect(first?.body).toMatchObject({ state: "EXECUTION_STATE_STARTED", decisionId, nonce, agentId: "racer" });
    expect(await eventsAbout(decisionId)).toEqual(["execution.started"]);
  });

  test("what was started and reported is told on the other replica", async () => {
    const [decisionId, nonce] = [await decide(), newNonce()];
    const started = await call("BeginExecution", { decisionId, nonce }, 0);
    const { executionId, startedAt } = started.body;
    const elsewhere = await call("BeginExecution", { decisionId, nonce: newNonce() }, 1);
    expect(elsewhere.body).toMatchObject({ state: "EXECUTION_STATE_ALREADY_STARTED", startedAt });
    expect(elsewhere.body).not.toHaveProperty("executionId");
    expect(elsewhere.body).not.toHaveProperty("outcome");
    const report = { decisionId, executionId, outcome: "OUTCOME_SUCCEEDED", durationMs: 12 };
    const reports = await Promise.all([call("ReportOutcome", report, 0), call("ReportOutcome", report, 1)]);
    expect(reports.filter(({ body }) => body["replayed"] === true)).toHaveLength(1);
    expect((await call("BeginExecution", { decisionId, nonce: newNonce() })).body).toMatchObject({
      state: "EXECUTION_STATE_ALREADY_STARTED",
      outcome: "OUTCOME_SUCCEEDED",
    });
    const contradiction = await call("ReportOutcome", { ...report, outcome: "OUTCOME_FAILED" });
    expect([contradiction.status, reasonOf(contradiction)]).toEqual([400, "OUTCOME_CONTRADICTED"]);
    expect(await eventsAbout(decisionId)).toEqual(["execution.ended", "execution.report_refused", "execution.started"]);
  });

  test("another agent can neither start nor report", async () => {
    const [decisionId, nonce] = [await decide(), newNonce()];
    const begun = await call("BeginExecution", { decisionId, nonce }, 1, stranger);
    expect(begun.body).toMatchObject({
      state: "EXECUTION_STATE_REFUSED",
      reason: "EXECUTION_REFUSAL_UNKNOWN_DECISION",
    });
    const { executionId } = (await call("BeginExecution", { decisionId, nonce })).body;
    const report = { decisionId, executionId, outcome: "OUTCOME_FAILED" };
    expect(reasonOf(await call("ReportOutcome", report, 0, stranger))).toBe("EXECUTION_UNKNOWN");
    expect(await eventsAbout(decisionId)).toEqual([
      "execution.refused",
      "execution.report_refused",
      "execution.started",
    ]);
  });

  test("unknown fields in JSON are refused", async () => {
    const refused = await call("BeginExecution", { decisionId: await decide(), nonce: newNonce(), force: true });
    expect(refused.status).toBe(400);
  });

  test("what nobody reports is noted once, counted and listed, until an operator resolves it", async () => {
    const decisionId = await decide();
    await call("BeginExecution", { decisionId, nonce: newNonce() });
    await waitUntil(
      async () => (await eventsAbout(decisionId)).includes("execution.unresolved"),
      30_000,
      "the execution was not noted as unresolved",
    );
    const listed = (await run("execution list --unresolved --json")).json;
    expect(listed.find((one) => one["decisionId"] === decisionId)).toMatchObject({ unresolved: true, outcome: null });
    const decisions = (await run("decision list --unresolved --json")).json;
    expect(decisions.map((one) => one["decisionId"])).toContain(decisionId);
    await waitUntil(
      async () => /^datacrawl_executions_unresolved [1-9]/m.test(await metricsOf(services[0])),
      30_000,
      "unresolved executions were not counted",
    );
    const resolve = `execution resolve ${decisionId} --outcome failed --comment looked --json`;
    expect((await run(resolve)).stderr).toContain("resolveExecution needs a named operator");
    const resolved = await run(`${resolve} --as ann --password-stdin`, `${REVIEWER_PASSWORD}\n`);
    expect(resolved).toMatchObject({ status: 0, json: { outcome: "failed", resolvedBy: "ann", comment: "looked" } });
    const left = (await run("execution list --unresolved --json")).json;
    expect(left.map((one) => one["decisionId"])).not.toContain(decisionId);
    expect((await call("BeginExecution", { decisionId, nonce: newNonce() })).body).toMatchObject({
      outcome: "OUTCOME_FAILED",
    });
    expect(await eventsAbout(decisionId)).toEqual(["execution.ended", "execution.started", "execution.unresolved"]);
  });

  test("principals and sessions are recorded, listed and proven, and a principal is a part of the request", async () => {
    const claims = { principal: "Zoë \u202e", sessionId: `run-${++sequence}` };
    const question = { tool: "crm.get_contact", payload: { id: 7 }, idempotencyKey: `principal-${sequence}` };
    const { body: first } = await call("Authorize", { ...question, ...claims });
    expect(first).toMatchObject({ decision: "DECISION_ALLOW" });
    const { decisionId } = first;
    const again = { ...question, ...claims, sessionId: "another run" };
    expect((await call("Authorize", again, 0)).body).toMatchObject({ decisionId, replayed: true });
    for (const principal of ["Zoe", undefined])
      expect((await call("Authorize", { ...question, principal }, 0)).body).toMatchObject({
        reason: "REASON_IDEMPOTENCY_KEY_REUSED",
      });
    expect((await call("Authorize", { ...question, principal: "" })).status).toBe(400);

    const listed = (await run(`decision list --session ${claims.sessionId} --json`)).json;
    expect(listed).toMatchObject([{ decisionId, ...claims }]);
    const shown = await run(`decision show ${String(decisionId)} --json`);
    expect(shown).toMatchObject({ json: { hashMatches: true, row: { principal: claims.principal } } });
    expect((await run(`decision list --principal nobody --json`)).json).toEqual([]);

    await call("BeginExecution", { decisionId, nonce: newNonce() });
    const executions = (await run("execution list --json")).json;
    expect(executions.find((one) => one["decisionId"] === decisionId)).toMatchObject(claims);
    expect((await run("audit seal --json")).status).toBe(0);
    expect(await run("audit verify --json")).toMatchObject({ status: 0, json: { state: "passed", problems: 0 } });
  });

  test("gRPC takes reports, too", async () => {
    const client = grpcClient(services[1].grpcPort, cluster.agentKey);
    const decisionId = await decide();
    const { executionId } = await client.beginExecution({ decisionId, nonce: randomBytes(16) });
    const report = { decisionId, executionId, outcome: Outcome.UNKNOWN, summary: "The connection was lost." };
    expect(await client.reportOutcome(report)).toMatchObject({ outcome: Outcome.UNKNOWN, replayed: false });
    expect(await client.reportOutcome(report)).toMatchObject({ outcome: Outcome.UNKNOWN, replayed: true });
  });
});

function grpcClient(port: number, key: string): Client<typeof AuthorizeService> {
  const transport = createGrpcTransport({
    baseUrl: `http://127.0.0.1:${port}`,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${key}`);
        return next(request);
      },
    ],
  });
  return createClient(AuthorizeService, transport);
}

async function metricsOf({ connectUrl }: ServiceProcess): Promise<string> {
  return await (await fetch(`${connectUrl}/metrics`)).text();
}
