// @module-tag full
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { noteKeys } from "../../src/audit/log/keys.ts";
import { AUDIT_KEYS } from "../../src/keys/key-uses.ts";
import { ChangeDirectory } from "../../src/audit/seal/change-directory.ts";
import { ACCESS_CHANGES, changeListIn } from "../../src/audit/seal/change-list.ts";
import { CheckpointDirectory } from "../../src/audit/seal/published.ts";
import { type Failpoint, FAILPOINTS, SEAL_FAILPOINTS } from "../../src/core/failpoint.ts";
import { openSigningKeys } from "../../src/keys/key-files.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { cli } from "../support/cli.ts";
import { type Cluster, makeAgent, makeCluster } from "../support/cluster.ts";
import { ask, cleanEnv, discard, type Env, isReady, runCli, startService, tempDir } from "../support/service.ts";
import { recordDecisions } from "../support/trail.ts";
import { ownProcess } from "../support/owned.ts";
import { amount } from "../support/amount.ts";
import { chanceOf } from "../support/chance.ts";

/** A thousand crashes take a quarter of an hour. */
const CRASHES = amount(8, 1000);
/** Crashes between two looks at the trail. */
const ROUND = amount(8, 25);
const REPLICAS = 2;
const SEALERS = 2;
const MAIN = join(import.meta.dirname, "../../src/main.ts");

const chance = chanceOf("seal-crash");

describe.skipIf(inject("postgresUrl") === null)("writers and sealers are killed under load", () => {
  let cluster: Cluster;
  let directory: CheckpointDirectory;
  let database: pg.Client;
  let env: Env;
  let [crashes, keys] = [0, 0];
  /** Decisions that were answered, by key. */
  const answered = new Map<string, unknown>();

  beforeAll(async () => {
    directory = new CheckpointDirectory(tempDir());
    cluster = (await makeCluster({ DATACRAWL_CHECKPOINT_DIR: directory.path })) as Cluster;
    // Half of a start is spent on compiling.
    env = { ...cluster.env, NODE_COMPILE_CACHE: tempDir() };
    runCli(["audit", "seal"], { ...env, DATACRAWL_DATA_DIR: tempDir() });
    const warm = await startService(env);
    await warm.kill("SIGTERM");
    await discard(warm);
    database = new pg.Client(cluster.superUrl);
    await database.connect();
  });
  afterAll(() => database.end());

  /** One life of a replica that decides and seals as fast as it can, until it dies of a failpoint or at some moment. */
  async function replica(): Promise<void> {
    const dies = `${chance.one<Failpoint>([...FAILPOINTS, ...SEAL_FAILPOINTS])}:${chance.int(1, 40)}`;
    const service = await startService({ ...env, DATACRAWL_TEST_FAILPOINT: dies }, { ready: false });
    const isAlive = (): boolean => service.child.exitCode === null && service.child.signalCode === null;
    const kill = async (): Promise<void> => {
      // Some die while they start.
      if (chance.int(0, 5) > 0) while (isAlive() && !(await isReady(service.connectUrl))) await sleep(20);
      await sleep(chance.int(0, 2000));
      await service.kill("SIGKILL");
    };
    const decide = async (): Promise<void> => {
      while (isAlive()) {
        const request = { tool: "gmail.send_email", payload: { to: [] }, idempotencyKey: `key-${keys++}` };
        const { status, body } = await ask(service.connectUrl, cluster.agentKey, request);
        if (status === 200) answered.set(request.idempotencyKey, body["decisionId"]);
        else await sleep(100);
      }
    };
    const seal = async (): Promise<void> => {
      for (; isAlive(); await sleep(chance.int(0, 600)))
        if (await isReady(service.connectUrl))
          await cli(["audit", "seal"], { ...env, DATACRAWL_DATA_DIR: service.dataDir });
    };
    await Promise.all([decide(), decide(), decide(), seal(), kill()]);
    crashes++;
    await discard(service);
  }

  /** One life of `datacrawl audit seal`; it dies at the failpoint if there is something to seal. */
  async function sealer(
    failpoint: string = chance.one(SEAL_FAILPOINTS),
    killAfterMs = chance.int(400, 2000),
  ): Promise<void> {
    const variables = cleanEnv({
      ...env,
      DATACRAWL_DATA_DIR: "/nonexistent/no-socket",
      DATACRAWL_TEST_FAILPOINT: `${failpoint}:1`,
    });
    const child = ownProcess(spawn(process.execPath, [MAIN, "audit", "seal"], { env: variables, stdio: "ignore" }));
    const killed = setTimeout(() => child.kill("SIGKILL"), killAfterMs);
    const signal = await new Promise((resolve) => child.once("exit", (_, by) => resolve(by)));
    clearTimeout(killed);
    if (signal === "SIGKILL") crashes++;
  }

  async function verify(): Promise<unknown> {
    const { stdout, stderr } = await cli(["audit", "verify", "--full", "--json"], {
      ...env,
      DATACRAWL_DATA_DIR: "/nonexistent/no-socket",
    });
    return stdout === "" ? stderr : JSON.parse(stdout);
  }

  /** Everything dies until there were so many crashes; verifications go on among it. */
  async function round(until: number): Promise<void> {
    const lives = async (life: () => Promise<void>): Promise<void> => {
      while (crashes < until) await life();
    };
    await Promise.all([
      lives(async () => expect(await verify()).toMatchObject({ state: "passed", findings: [] })),
      ...Array.from({ length: REPLICAS }, () => lives(replica)),
      ...Array.from({ length: SEALERS }, () => lives(() => sealer())),
    ]);
  }

  async function one<Row extends object>(text: string): Promise<Row> {
    return (await database.query<Row>(text)).rows[0] as Row;
  }

  async function expectWholeTrail(): Promise<void> {
    expect(await verify()).toMatchObject({ state: "passed", findings: [] });
    const { rows } = await database.query<{ key: string; ids: string[] }>(
      "SELECT idempotency_key AS key, array_agg(decision_id::text) AS ids FROM audit_decisions GROUP BY 1",
    );
    const stored = new Map(rows.map(({ key, ids }) => [key, ids]));
    for (const [key, id] of answered) expect(stored.get(key), key).toEqual([id]);
    // The verification's own event is the only row that may wait for its seal.
    expect(
      await one(`SELECT count(*) = max(seq) + 1 AND min(seq) = 0 AS gapless, count(DISTINCT seq) = count(*) AS once,
        (SELECT count(*) FROM audit_decisions d LEFT JOIN audit_seals s ON s.row_id = d.decision_id WHERE s IS NULL)::int AS unsealed,
        (SELECT count(*) FROM audit_events WHERE kind IN ('audit.rollback_detected', 'audit.verification_failed'))::int AS alarms
        FROM audit_seals`),
    ).toEqual({ gapless: true, once: true, unsealed: 0, alarms: 0 });
    const checkpoints = await database.query<{ size: string; continues: boolean; note: string }>(
      `SELECT size, previous_size = coalesce(lag(size) OVER (ORDER BY size), 0) AS continues, signed_note AS note
       FROM audit_checkpoints ORDER BY size`,
    );
    expect(checkpoints.rows.filter(({ continues }) => !continues)).toEqual([]);
    const outside = await Array.fromAsync(directory.all(), (one) => ("note" in one ? one.note : one.unreadable));
    expect(outside).toEqual(checkpoints.rows.map(({ note }) => note));
    expect((await directory.latest())?.note).toBe(outside.at(-1));
    const changes = await database.query<{ id: string }>(
      `SELECT event_id::text AS id FROM audit_events JOIN audit_seals ON row_id = event_id
       WHERE kind = ANY ($1) AND seq < (SELECT max(size) FROM audit_checkpoints) ORDER BY seq`,
      [ACCESS_CHANGES],
    );
    expect(await publishedChanges()).toEqual(changes.rows.map(({ id }) => id));
  }

  /** The ids of the changes that are published, in their order. */
  async function publishedChanges(): Promise<string[]> {
    const keys = await openSigningKeys(env["DATACRAWL_KEYS_DIR"] as string, AUDIT_KEYS);
    const trusted = noteKeys((await directory.latest())?.origin ?? "", keys);
    const lists = await Array.fromAsync(new ChangeDirectory(directory.path).newestFirst());
    expect(lists.map(({ number }) => number)).toEqual(lists.map((_, index) => lists.length - index));
    return lists.reverse().flatMap(({ note }) => changeListIn(note, trusted).changes.map(({ eventId }) => eventId));
  }

  test.each(SEAL_FAILPOINTS)("a sealer alone dies at %s", async (failpoint) => {
    const writer = new PostgresDatabase(cluster.env["DATABASE_URL"] as string, {
      connections: 1,
      onError: console.error,
    });
    await recordDecisions(writer, failpoint, 5);
    await writer.close();
    // A change of who may do what: it is published beside the checkpoint.
    await makeAgent(`dies-at-${failpoint}`, cluster.env);
    const before = crashes;
    await sealer(failpoint, 30_000);
    expect(crashes).toBe(before + 1);
    await expectWholeTrail();
  });

  test("nothing is lost, everything is sealed once, and there is never a false alarm", {
    timeout: 10_000 * CRASHES,
  }, async () => {
    for (const before = crashes; crashes < before + CRASHES; ) {
      await round(crashes + ROUND);
      await expectWholeTrail();
    }
    expect(answered.size).toBeGreaterThan(0);
  });
});
