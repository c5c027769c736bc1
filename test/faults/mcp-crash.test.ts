import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXECUTION_FAILPOINTS, START_FAILPOINTS } from "../../src/core/failpoint.ts";
import { StdioClient } from "../mcp/support/stdio-client.ts";
import { cli } from "../support/cli.ts";
import { waitUntil } from "../support/net.ts";
import { demoKey, discard, type Env, type ServiceProcess, startService, tempDir } from "../support/service.ts";

const ALLOWED = { amount: 50, currency: "EUR" };
const TIMEOUT = { DATACRAWL_EXECUTION_TIMEOUT: "1s" };

interface Listed {
  readonly decisionId: string;
  readonly sessionId: string;
  readonly outcome: string | null;
  readonly errorCode: string | null;
  readonly durationMs: number | null;
}

/** The executions of one run of the proxy, as an operator sees them. */
async function executionsOf(sessionId: string, dataDir: string, ...flags: string[]): Promise<Listed[]> {
  const { status, stdout, stderr } = await cli(["execution", "list", "--json", ...flags], {
    DATACRAWL_DATA_DIR: dataDir,
  });
  expect(status, stderr).toBe(0);
  return (JSON.parse(stdout) as Listed[]).filter((one) => one.sessionId === sessionId);
}

const untilUnresolved = (sessionId: string, dataDir: string): Promise<void> =>
  waitUntil(
    async () => (await executionsOf(sessionId, dataDir, "--unresolved")).length === 1,
    30_000,
    "the start is not unresolved",
  );

function envOf(service: ServiceProcess): Env {
  return { DATACRAWL_URL: `http://127.0.0.1:${service.grpcPort}`, DATACRAWL_API_KEY: demoKey(service.dataDir) };
}

describe("an MCP proxy", () => {
  let service: ServiceProcess;
  beforeAll(async () => {
    service = await startService(TIMEOUT);
  });
  afterAll(() => discard(service));

  const open = (session: string, manner = "", failpoint?: string): StdioClient => {
    const test = failpoint === undefined ? {} : { DATACRAWL_TEST_FAILPOINT: failpoint };
    return new StdioClient({ ...envOf(service), ...test }, ["--session", session], manner);
  };

  test.each([
    ["", "succeeded", null],
    ["fails", "failed", "TOOL_ERROR"],
  ])("reports how each call ended (%j: %s)", async (manner, outcome, errorCode) => {
    const session = `ended-${manner}`;
    const client = open(session, manner);
    client.call(1, ALLOWED);
    await client.answer(1);
    client.child.stdin?.end();
    // A proxy that ends waits for its reports.
    expect(await client.exited).toEqual([0, null]);
    expect(await executionsOf(session, service.dataDir)).toMatchObject([
      { outcome, errorCode, durationMs: expect.any(Number) },
    ]);
  });

  test("reports that the end of a call is not known when its server is killed", async () => {
    const client = open("server-killed", "silent");
    client.call(1, ALLOWED);
    await waitUntil(() => client.received.length === 1, 30_000, "not forwarded");
    process.kill(await client.serverPid(), "SIGKILL");
    expect(await client.exited).toEqual([1, null]);
    const [execution] = await executionsOf("server-killed", service.dataDir);
    expect(execution).toMatchObject({ outcome: "unknown", errorCode: "SERVER_ENDED" });
  });

  /** Whether the server got the call, and whether an operator sees a start without an end, by where the proxy was killed. */
  const EXPECTED = {
    "begin-asking": { received: 0, starts: 0, unresolved: false },
    "begin-answered": { received: 0, starts: 1, unresolved: true },
    "report-sending": { received: 1, starts: 1, unresolved: true },
    "report-answered": { received: 1, starts: 1, unresolved: false },
  } as const satisfies Record<(typeof START_FAILPOINTS)[number], object>;

  test.each(START_FAILPOINTS)("killed at %s has run nothing without a start, and hides no start", async (failpoint) => {
    const client = open(failpoint, "", `${failpoint}:1`);
    client.call(1, ALLOWED);
    expect(await client.exited).toEqual([null, "SIGKILL"]);
    const { received, starts, unresolved } = EXPECTED[failpoint];
    expect(client.received).toHaveLength(received);
    expect(await executionsOf(failpoint, service.dataDir)).toHaveLength(starts);
    if (unresolved) await untilUnresolved(failpoint, service.dataDir);
    else expect(await executionsOf(failpoint, service.dataDir, "--unresolved")).toEqual([]);
  });

  test("killed while the server has the call leaves a start that an operator sees", async () => {
    const client = open("running", "silent");
    client.call(1, ALLOWED);
    await waitUntil(() => client.received.length === 1, 30_000, "not forwarded");
    client.child.kill("SIGKILL");
    await client.exited;
    await untilUnresolved("running", service.dataDir);
  });

  test("records nothing with --no-once", async () => {
    const client = new StdioClient(envOf(service), ["--session", "not-once", "--no-once"]);
    client.call(1, ALLOWED);
    await client.answer(1);
    client.child.stdin?.end();
    await client.exited;
    expect(client.received).toEqual([ALLOWED]);
    expect(await executionsOf("not-once", service.dataDir)).toEqual([]);
  });
});

/** By where the service was killed: whether a start is on record, and whether the server got the call. */
const SERVICE_KILLED = {
  "before-start-commit": { started: false, received: false },
  "after-start-commit": { started: true, received: false },
  "before-begin-answer": { started: true, received: false },
  "before-report-commit": { started: true, received: true },
  "after-report-commit": { started: true, received: true },
  "before-report-answer": { started: true, received: true },
} as const satisfies Record<(typeof EXECUTION_FAILPOINTS)[number], object>;
/** A start whose answer is lost, and a report that is not made. */
const QUICK: readonly string[] = ["after-start-commit", "before-report-commit"];

describe("an MCP proxy whose service is killed", () => {
  const killedAt = async (failpoint: (typeof EXECUTION_FAILPOINTS)[number]): Promise<void> => {
    const dead = await startService({ ...TIMEOUT, DATACRAWL_TEST_FAILPOINT: `${failpoint}:1` });
    const { dataDir, grpcPort } = dead;
    const { started, received } = SERVICE_KILLED[failpoint];
    const flags = ["--session", failpoint, "--journal-dir", tempDir(), "--timeout", "2s"];
    const client = new StdioClient(envOf(dead), flags);
    client.call(1, ALLOWED);
    const { result } = await client.answer(1);
    // What becomes of the report changes nothing for the client.
    expect(result?.isError).toBe(received ? undefined : true);
    expect(client.received).toEqual(received ? [ALLOWED] : []);
    expect(await dead.kill("SIGKILL")).toEqual({ code: null, signal: "SIGKILL" });
    if (received)
      await waitUntil(() => client.stderr.includes("will be sent later"), 30_000, "the report was not kept");

    const addresses = { DATACRAWL_DATA_DIR: dataDir, DATACRAWL_GRPC_ADDR: `127.0.0.1:${grpcPort}` };
    const reborn = await startService({ ...TIMEOUT, ...addresses });
    client.child.stdin?.end();
    expect(await client.exited).toEqual([0, null]);
    // If the first one has not come to it, the next one sends what it kept.
    const heir = received ? new StdioClient(envOf(reborn), flags) : null;
    if (received)
      await waitUntil(
        async () => (await executionsOf(failpoint, dataDir))[0]?.outcome === "succeeded",
        30_000,
        "the kept report was not sent",
      );
    else if (started) await untilUnresolved(failpoint, dataDir);
    expect(await executionsOf(failpoint, dataDir)).toHaveLength(started ? 1 : 0);
    heir?.child.kill("SIGKILL");
    await discard(reborn);
  };

  const others = EXECUTION_FAILPOINTS.filter((failpoint) => !QUICK.includes(failpoint));
  test.each(EXECUTION_FAILPOINTS.filter((failpoint) => QUICK.includes(failpoint)))(
    "at %s forwards nothing without a start, and loses no report",
    killedAt,
  );
  test.each(others)("at %s forwards nothing without a start, and loses no report", { tags: ["full"] }, killedAt);
});
