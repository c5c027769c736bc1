import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { type Failpoint, FAILPOINTS } from "../../src/core/failpoint.ts";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { migratedEmbedded } from "../support/embedded.ts";
import { type Asked, ask, demoKey, discard, type ServiceProcess, startService, tempDir } from "../support/service.ts";
import { amount } from "../support/amount.ts";
import { chanceOf } from "../support/chance.ts";

/** Schedules a failpoint. */
const SCHEDULES = amount(1, 1112);
const chance = chanceOf("crash");
const CLIENTS = 12;
/** Where a crash could lose a decision that was answered, or answer one that was not recorded. */
const AROUND_COMMIT: readonly Failpoint[] = ["before-commit", "after-commit"];

interface Attempt {
  readonly key: string;
  readonly answer: Asked;
}

const request = (idempotencyKey: string) => ({
  tool: "gmail.send_email",
  payload: { to: ["ann@example.com"], subject: idempotencyKey, body: "Hello" },
  idempotencyKey,
});

/** Several clients ask until the service is dead; then a new one answers every retry. */
async function crashSchedule(
  start: (extra: Record<string, string>) => Promise<ServiceProcess>,
  keyOf: () => string,
  failpoint: string,
  name: string,
): Promise<{ dead: ServiceProcess; answered: Attempt[]; keys: string[]; hits: number }> {
  const hits = chance.int(1, 60);
  const dead = await start({ DATACRAWL_TEST_FAILPOINT: `${failpoint}:${hits}` });
  const agentKey = keyOf();
  const answered: Attempt[] = [];
  const keys: string[] = [];
  const client = async (number: number): Promise<void> => {
    for (let n = 0; n < 40; n++) {
      const key = `${name}-${number}-${n}`;
      keys.push(key);
      const answer = await ask(dead.connectUrl, agentKey, request(key));
      if (answer.status === 0) return;
      answered.push({ key, answer });
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
  return { dead, answered, keys, hits };
}

describe.skipIf(inject("postgresUrl") === null)("SIGKILL of the real process at a named failpoint, on Postgres", () => {
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
    await database.end();
  });

  const survives = async (failpoint: Failpoint): Promise<void> => {
    for (let schedule = 0; schedule < SCHEDULES; schedule++) {
      const name = `${failpoint}-${schedule}`;
      const start = (extra: Record<string, string>) => startService({ ...cluster.env, ...extra });
      const { dead, answered, keys, hits } = await crashSchedule(start, () => cluster.agentKey, failpoint, name);
      expect(await dead.kill("SIGKILL"), `${name} after ${hits} hits`).toEqual({ code: null, signal: "SIGKILL" });
      for (const { key, answer } of answered) {
        const { rows } = await database.query(
          "SELECT decision_id::text AS id FROM audit_decisions WHERE idempotency_key = $1",
          [key],
        );
        expect(rows, `${name} ${key}`).toEqual([{ id: answer.body["decisionId"] }]);
      }
      for (const key of keys) {
        const retry = await ask(survivor.connectUrl, cluster.agentKey, request(key));
        expect(retry.body["decision"]).toBe("DECISION_ALLOW");
        const before = answered.find((attempt) => attempt.key === key);
        if (before !== undefined) expect(retry.body["decisionId"]).toBe(before.answer.body["decisionId"]);
        const { rows } = await database.query("SELECT 1 FROM audit_decisions WHERE idempotency_key = $1", [key]);
        expect(rows).toHaveLength(1);
      }
      await discard(dead);
    }
  };

  test.each(AROUND_COMMIT)(
    "%s: no answer without a row, and the retry is the same decision",
    { timeout: 30_000 * SCHEDULES },
    survives,
  );

  test.each(FAILPOINTS.filter((failpoint) => !AROUND_COMMIT.includes(failpoint)))(
    "%s: no answer without a row, and the retry is the same decision",
    { tags: ["full"], timeout: 30_000 * SCHEDULES },
    survives,
  );
});

describe("SIGKILL of the real process at a named failpoint, on the embedded store", { tags: ["full"] }, () => {
  const failpoints = amount(AROUND_COMMIT, FAILPOINTS);

  test.each(failpoints)("%s: what was answered is there after the restart", async (failpoint) => {
    const dataDir = tempDir();
    await migratedEmbedded(dataDir);
    const first = await startService({ DATACRAWL_DATA_DIR: dataDir });
    await first.kill("SIGTERM");
    const start = (extra: Record<string, string>) => startService({ DATACRAWL_DATA_DIR: dataDir, ...extra });
    const { dead, answered } = await crashSchedule(start, () => demoKey(dataDir), failpoint, failpoint);
    expect(await dead.kill("SIGKILL")).toEqual({ code: null, signal: "SIGKILL" });
    const reborn = await startService({ DATACRAWL_DATA_DIR: dataDir });
    for (const { key, answer } of answered) {
      const retry = await ask(reborn.connectUrl, demoKey(dataDir), request(key));
      expect(retry.body).toMatchObject({ decisionId: answer.body["decisionId"], replayed: true });
    }
    await discard(reborn);
  });
});
