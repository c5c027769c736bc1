import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { EXECUTION_FAILPOINTS } from "../../src/core/failpoint.ts";
import { allowed, callAgent, newNonce } from "../support/agent-calls.ts";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { migratedEmbedded } from "../support/embedded.ts";
import { type Asked, demoKey, discard, type ServiceProcess, startService, tempDir } from "../support/service.ts";
import { amount } from "../support/amount.ts";
import { chanceOf } from "../support/chance.ts";

const SCHEDULES = amount(1, 100);
const chance = chanceOf("execution-crash");
const AGENTS = 6;
/** Without a commit, with one, and with both. The other places differ in what the agent has heard. */
const QUICK: readonly string[] = ["before-start-commit", "after-start-commit", "after-report-commit"];

/** What one agent did with one decision, as far as it heard of it. */
interface Attempt {
  readonly decisionId: string;
  readonly nonce: string;
  /** The answers to begin and report; null where none came. */
  begun: Asked | null;
  reported: Asked | null;
}

/** Agents ask, begin, run and report until the service is dead. */
async function work(dead: ServiceProcess, key: string, name: string): Promise<Attempt[]> {
  const attempts: Attempt[] = [];
  const agent = async (n: number): Promise<void> => {
    for (let round = 0; round < 30; round++) {
      const decisionId = await allowed(dead.connectUrl, key, `${name}-${n}-${round}`).catch(() => null);
      if (decisionId === null) return;
      const attempt: Attempt = { decisionId, nonce: newNonce(), begun: null, reported: null };
      attempts.push(attempt);
      attempt.begun = await answered(dead, key, "BeginExecution", { decisionId, nonce: attempt.nonce });
      if (attempt.begun === null) return;
      const { executionId } = attempt.begun.body;
      const report = { decisionId, executionId, outcome: "OUTCOME_SUCCEEDED" };
      attempt.reported = await answered(dead, key, "ReportOutcome", report);
      if (attempt.reported === null) return;
    }
  };
  await Promise.all(Array.from({ length: AGENTS }, (_, n) => agent(n)));
  return attempts;
}

async function answered(service: ServiceProcess, key: string, method: string, request: object): Promise<Asked | null> {
  const answer = await callAgent(service.connectUrl, key, method, request);
  return answer.status === 200 ? answer : null;
}

/** Whatever was answered holds on the survivor, and what was not is begun once, and ended once. */
async function checkOn(survivor: ServiceProcess, key: string, attempts: readonly Attempt[]): Promise<void> {
  const call = async (method: string, request: object) =>
    (await callAgent(survivor.connectUrl, key, method, request)).body;
  for (const { decisionId, nonce, begun, reported } of attempts) {
    const again = await call("BeginExecution", { decisionId, nonce });
    expect(again).toMatchObject({ state: "EXECUTION_STATE_STARTED" });
    if (begun !== null) {
      expect(begun.body["state"]).toBe("EXECUTION_STATE_STARTED");
      expect(again["executionId"]).toBe(begun.body["executionId"]);
    }
    const other = await call("BeginExecution", { decisionId, nonce: newNonce() });
    expect(other["state"]).toBe("EXECUTION_STATE_ALREADY_STARTED");
    if (reported !== null) expect(other["outcome"]).toBe("OUTCOME_SUCCEEDED");
    const report = { decisionId, executionId: again["executionId"], outcome: "OUTCOME_SUCCEEDED" };
    expect(await call("ReportOutcome", report)).toMatchObject({ outcome: "OUTCOME_SUCCEEDED" });
  }
}

describe.skipIf(inject("postgresUrl") === null)(
  "SIGKILL while executions are started and reported, on Postgres",
  () => {
    let cluster: Cluster;
    let database: pg.Client;
    let survivor: ServiceProcess;

    beforeAll(async () => {
      cluster = (await makeCluster()) as Cluster;
      database = new pg.Client(cluster.superUrl);
      await database.connect();
      survivor = await startService(cluster.env);
    });
    afterAll(async () => {
      await discard(survivor);
      await database?.end();
    });

    const killedAt = async (failpoint: string): Promise<void> => {
      for (let schedule = 0; schedule < SCHEDULES; schedule++) {
        const hits = chance.int(1, 60);
        const name = `${failpoint}:${hits}-${schedule}`;
        const dead = await startService({ ...cluster.env, DATACRAWL_TEST_FAILPOINT: `${failpoint}:${hits}` });
        const attempts = await work(dead, cluster.agentKey, name);
        expect(await dead.kill("SIGKILL"), name).toEqual({ code: null, signal: "SIGKILL" });
        expect(
          attempts.some(({ reported }) => reported === null),
          name,
        ).toBe(true);
        await checkOn(survivor, cluster.agentKey, attempts);
        const { rows } = await database.query(
          "SELECT kind, count(*)::int AS n FROM audit_events WHERE decision_id = ANY ($1::uuid[]) GROUP BY kind ORDER BY kind",
          [attempts.map(({ decisionId }) => decisionId)],
        );
        expect(rows, name).toEqual([
          { kind: "execution.ended", n: attempts.length },
          { kind: "execution.started", n: attempts.length },
        ]);
        await discard(dead);
      }
    };

    test.each(QUICK)(
      "%s: one start and one outcome, and each that was answered is there",
      { timeout: 60_000 * SCHEDULES },
      killedAt,
    );
    const others = EXECUTION_FAILPOINTS.filter((failpoint) => !QUICK.includes(failpoint));
    test.each(others)(
      "%s: one start and one outcome, and each that was answered is there",
      { timeout: 60_000 * SCHEDULES, tags: ["full"] },
      killedAt,
    );
  },
);

describe("SIGKILL while executions are started and reported, on the embedded store", { tags: ["full"] }, () => {
  const failpoints = amount<readonly string[]>(["after-start-commit", "before-report-commit"], EXECUTION_FAILPOINTS);

  test.each(failpoints)("%s: what was answered is there after the restart", async (failpoint) => {
    const dataDir = tempDir();
    await migratedEmbedded(dataDir);
    await (await startService({ DATACRAWL_DATA_DIR: dataDir })).kill("SIGTERM");
    const failing = { DATACRAWL_TEST_FAILPOINT: `${failpoint}:${chance.int(1, 30)}` };
    const dead = await startService({ DATACRAWL_DATA_DIR: dataDir, ...failing });
    const attempts = await work(dead, demoKey(dataDir), failpoint);
    expect(await dead.kill("SIGKILL")).toEqual({ code: null, signal: "SIGKILL" });
    const reborn = await startService({ DATACRAWL_DATA_DIR: dataDir });
    await checkOn(reborn, demoKey(dataDir), attempts);
    await discard(reborn);
  });
});
