import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { START_FAILPOINTS } from "../../src/core/failpoint.ts";
import { cli } from "../support/cli.ts";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { mailsIn, runMailAgent } from "../support/mail-agent.ts";
import { waitUntil } from "../support/net.ts";
import { demoKey, discard, type ServiceProcess, startService, tempDir } from "../support/service.ts";
import type { MailSpec } from "./mail-agent.ts";

interface Listed {
  readonly decisionId: string;
  readonly idempotencyKey: string;
  readonly outcome?: unknown;
}

/** How many mails there are, and what an agent that starts again is told, by where the first one was killed. */
const EXPECTED = {
  "begin-asking": { mails: 1, again: { sent: true }, started: true, unresolved: false },
  "begin-answered": {
    mails: 0,
    again: { error: "AlreadyStartedError", outcome: null },
    started: true,
    unresolved: true,
  },
  "report-sending": {
    mails: 1,
    again: { error: "AlreadyStartedError", outcome: null },
    started: true,
    unresolved: true,
  },
  "report-answered": {
    mails: 1,
    again: { error: "AlreadyStartedError", outcome: "succeeded" },
    started: true,
    unresolved: false,
  },
} as const satisfies Record<(typeof START_FAILPOINTS)[number], object>;

describe("an agent that is killed around its email, on the embedded store", () => {
  killedOn("the embedded store");
});

describe.skipIf(inject("postgresUrl") === null)(
  "an agent that is killed around its email, on Postgres",
  { tags: ["full"] },
  () => {
    killedOn("Postgres");
  },
);

function killedOn(store: "the embedded store" | "Postgres"): void {
  let service: ServiceProcess;
  let apiKey: string;
  let env: Record<string, string>;

  beforeAll(async () => {
    const timeout = { DATACRAWL_EXECUTION_TIMEOUT: "1s" };
    const cluster: Cluster | null = store === "Postgres" ? await makeCluster(timeout) : null;
    service = await startService(cluster?.env ?? timeout);
    apiKey = cluster?.agentKey ?? demoKey(service.dataDir);
    env = { ...cluster?.env, DATACRAWL_DATA_DIR: service.dataDir };
  });
  afterAll(() => discard(service));

  const runAgent = (spec: Omit<MailSpec, "url" | "apiKey">, failpoint?: string) =>
    runMailAgent({ url: `http://127.0.0.1:${service.grpcPort}`, apiKey, ...spec }, failpoint);
  const listed = async (...flags: string[]): Promise<Listed[]> => {
    const { status, stdout, stderr } = await cli(["execution", "list", "--json", ...flags], env);
    expect(status, stderr).toBe(0);
    return JSON.parse(stdout) as Listed[];
  };

  test.each(START_FAILPOINTS)("killed at %s and started again, it has sent one mail at most", async (failpoint) => {
    const [mailbox, key] = [join(tempDir(), "mailbox"), `mail-${failpoint}`];
    expect(runAgent({ mailbox, key }, failpoint)).toMatchObject({ signal: "SIGKILL" });
    const expected = EXPECTED[failpoint];
    expect(runAgent({ mailbox, key }).told).toMatchObject(expected.again);
    // However often: nothing more is sent.
    expect(runAgent({ mailbox, key }).told).toMatchObject({ error: "AlreadyStartedError" });
    const mails = mailsIn(mailbox);
    expect(mails).toHaveLength(expected.mails);
    const ofKey = (executions: readonly Listed[]) => executions.filter(({ idempotencyKey }) => idempotencyKey === key);
    const executions = ofKey(await listed());
    expect(executions).toHaveLength(1);
    // Never a run without a start.
    for (const decisionId of mails) expect(decisionId).toBe(executions[0]?.decisionId);
    const unresolved = async (): Promise<number> => ofKey(await listed("--unresolved")).length;
    if (expected.unresolved)
      await waitUntil(async () => (await unresolved()) === 1, 20_000, "the start is not unresolved");
    else expect(await unresolved()).toBe(0);
  });
}
