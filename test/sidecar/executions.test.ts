import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { ExecutionRefusal, ExecutionState } from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import { loadSidecarConfig } from "../../src/sidecar/config.ts";
import { runSidecar } from "../../src/sidecar/sidecar.ts";
import { reasonOf } from "../support/agent-calls.ts";
import {
  allowing,
  API_KEY,
  type AskedReport,
  type AskedStart,
  fail,
  recording,
  reply,
  serveGrpc,
  startedBefore,
  starting,
} from "../../clients/typescript/test/support/service.ts";

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

const DECISION = "0198c0de-0000-7000-8000-00000000c0de";
const EXECUTION = "0198c0de-0000-7000-8000-00000000e0e0";
const NONCE = Buffer.alloc(16, 7).toString("base64");
const bare = { executionId: "", startedBy: "", startedAt: undefined as never, reportDueAt: undefined as never };

interface Answered {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** A service that answers so, and a sidecar before it. @returns how to call the sidecar as JSON */
async function start(answers: { begin?: (asked: AskedStart) => void; report?: (asked: AskedReport) => void }) {
  const begun: string[] = [];
  const service = await serveGrpc(({ stream, request }) => reply(stream, allowing(request)), {
    begin: (asked) => {
      begun.push(Buffer.from(asked.request.nonce).toString("base64"));
      (answers.begin ?? (({ stream, request }) => reply(stream, starting(request))))(asked);
    },
    ...(answers.report !== undefined && { report: answers.report }),
  });
  opened.push(() => service.stop());
  const dir = await mkdtemp(join(tmpdir(), "datacrawl-sidecar-"));
  opened.push(() => rm(dir, { recursive: true }));
  const env = {
    DATACRAWL_URL: service.url.origin,
    DATACRAWL_API_KEY: API_KEY,
    DATACRAWL_DATA_DIR: dir,
    DATACRAWL_SIDECAR_GRPC_ADDR: "127.0.0.1:0",
    DATACRAWL_SIDECAR_CONNECT_ADDR: "127.0.0.1:0",
    DATACRAWL_SIDECAR_CIRCUIT_FAILURES: "2",
    DATACRAWL_SIDECAR_TIMEOUT_MS: "1200",
    DATACRAWL_LOG_LEVEL: "silent",
  };
  const sidecar = await runSidecar(loadSidecarConfig(env, dir));
  opened.push(() => sidecar.stop());
  const { connect } = sidecar;
  if (connect.kind !== "tcp") throw new Error("the sidecar does not listen on TCP");
  const call = async (method: string, body: Record<string, unknown>): Promise<Answered> => {
    const url = `http://${connect.host}:${connect.port}/datacrawl.authz.v1.AuthorizeService/${method}`;
    const headers = { "content-type": "application/json" };
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  return { call, begun };
}

describe("BeginExecution behind a sidecar", () => {
  test("is the service's answer, asked with the caller's own nonce", async () => {
    const { call, begun } = await start({});
    expect(await call("BeginExecution", { decisionId: DECISION.toUpperCase(), nonce: NONCE })).toMatchObject({
      status: 200,
      body: {
        state: "EXECUTION_STATE_STARTED",
        executionId: EXECUTION,
        decisionId: DECISION,
        agentId: "agent-1",
        nonce: NONCE,
        source: "SOURCE_SERVICE",
        startedBy: "0123456789ab",
      },
    });
    expect(begun).toEqual([NONCE]);
  });

  test("says who was first, and why not", async () => {
    const refusing = { ...bare, state: ExecutionState.REFUSED, reason: ExecutionRefusal.AGENT_FROZEN };
    const { call } = await start({
      begin: ({ stream, request, number }) => reply(stream, starting(request, number === 1 ? startedBefore : refusing)),
    });
    const before = await call("BeginExecution", { decisionId: DECISION, nonce: NONCE });
    expect(before.body).toMatchObject({ state: "EXECUTION_STATE_ALREADY_STARTED", startedBy: "0123456789ab" });
    expect(before.body).not.toHaveProperty("executionId");
    const refused = await call("BeginExecution", { decisionId: DECISION, nonce: NONCE });
    expect(refused.body).toMatchObject({ state: "EXECUTION_STATE_REFUSED", reason: "EXECUTION_REFUSAL_AGENT_FROZEN" });
  });

  test.each<[string, (asked: AskedStart) => void, number, string]>([
    ["fails", ({ stream }) => fail(stream, 13), 503, "unavailable"],
    [
      "answers another start",
      ({ stream, request }) => reply(stream, starting({ ...request, nonce: new Uint8Array(16) })),
      503,
      "unavailable",
    ],
    [
      "answers a start without an id",
      ({ stream, request }) => reply(stream, starting(request, { executionId: "" })),
      503,
      "unavailable",
    ],
    ["says nothing", () => {}, 504, "deadline_exceeded"],
    ["limits the rate", ({ stream }) => fail(stream, 8), 429, "resource_exhausted"],
    ["refuses the sidecar's credential", ({ stream }) => fail(stream, 16), 401, "unauthenticated"],
    ["refuses the call", ({ stream }) => fail(stream, 7), 403, "permission_denied"],
  ])("is an error where the service %s", async (_, begin, status, code) => {
    const { call } = await start({ begin });
    expect(await call("BeginExecution", { decisionId: DECISION, nonce: NONCE })).toMatchObject({
      status,
      body: { code },
    });
  });

  test("is UNAVAILABLE at once while the circuit is open", async () => {
    const { call, begun } = await start({ begin: ({ stream }) => fail(stream, 13) });
    for (let n = 0; n < 3; n++)
      expect(await call("BeginExecution", { decisionId: DECISION, nonce: NONCE })).toMatchObject({ status: 503 });
    expect(begun).toHaveLength(2);
  });

  test.each([
    [{ decisionId: "x", nonce: NONCE }, /^decision_id must be a UUID/],
    [{ decisionId: DECISION }, /^nonce must be 16 bytes/],
    [{ decisionId: DECISION, nonce: "AAAA" }, /^nonce must be 16 bytes/],
  ])("of %j is refused as by the service", async (body, problem) => {
    const { call, begun } = await start({});
    const answer = await call("BeginExecution", body);
    expect(answer).toMatchObject({
      status: 400,
      body: { code: "invalid_argument", message: expect.stringMatching(problem) },
    });
    expect(begun).toEqual([]);
  });
});

describe("ReportOutcome behind a sidecar", () => {
  const report = {
    decisionId: DECISION,
    executionId: EXECUTION,
    outcome: "OUTCOME_FAILED",
    errorCode: "E",
    durationMs: "7",
  };

  test("is passed on whole", async () => {
    const said: unknown[] = [];
    const { call } = await start({
      report: ({ stream, request }) => {
        said.push([request.outcome, request.errorCode, request.durationMs, request.summary]);
        reply(stream, recording(request));
      },
    });
    expect(await call("ReportOutcome", { ...report, summary: "no" })).toMatchObject({
      status: 200,
      body: { decisionId: DECISION, executionId: EXECUTION, outcome: "OUTCOME_FAILED" },
    });
    expect(said).toEqual([[2, "E", 7n, "no"]]);
  });

  test.each([
    ["that is contradicted", 9, "OUTCOME_CONTRADICTED"],
    ["of an unknown execution", 5, "EXECUTION_UNKNOWN"],
    ["that breaks the contract", 3, "REQUEST_MALFORMED"],
  ])("%s is the error that the service gives, with its reason", async (_, status, reason) => {
    const { call } = await start({ report: ({ stream }) => fail(stream, status, "It ended otherwise.") });
    const answer = await call("ReportOutcome", report);
    expect(answer.body["message"]).toContain("It ended otherwise");
    expect(reasonOf(answer)).toBe(reason);
  });

  test("is an error where it was not recorded", async () => {
    const { call } = await start({});
    expect(await call("ReportOutcome", { ...report, outcome: "OUTCOME_UNSPECIFIED" })).toMatchObject({ status: 400 });
  });
});
