import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DataCrawl } from "@datacrawl/client";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { GUARD_FAILPOINTS, SYNC_FAILPOINTS } from "../../src/core/failpoint.ts";
import { readSegment } from "../../src/core/journal-format.ts";
import { cli } from "../support/cli.ts";
import { allowed, callAgent, newNonce } from "../support/agent-calls.ts";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { addReviewer, REVIEWER_PASSWORD } from "../support/reviewers.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { cleanEnv, discard, type ServiceProcess, startService, tempDir } from "../support/service.ts";
import type { ActorSpec } from "./guard-actor.ts";
import { ownProcess, showErrors } from "../support/owned.ts";
import { amount } from "../support/amount.ts";
import { chanceOf } from "../support/chance.ts";

/** Schedules a failpoint: a sample each time, chosen anew and named where it fails; whole runs take an hour or more. */
const SCHEDULES = amount(1, 100);
const chance = chanceOf("guard-crash");
const WISHES = 12;
const ACTOR = join(import.meta.dirname, "guard-actor.ts");
const AGENT = "racer";
const KILLED = { code: null, signal: "SIGKILL" };

type KeptStart = Record<"decisionId" | "executionId" | "startedBy" | "idempotencyKey", string> & {
  readonly end: object | null;
};

interface Actor {
  readonly child: ChildProcess;
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  /** Resolves when it has printed `word`, or when it has ended. */
  said(word: string): Promise<void>;
  upload(): void;
}

function startActor(spec: ActorSpec, failpoint?: string): Actor {
  const env = cleanEnv(failpoint === undefined ? {} : { DATACRAWL_TEST_FAILPOINT: failpoint });
  const child = showErrors(ownProcess(spawn(process.execPath, [ACTOR, JSON.stringify(spec)], { env })));
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  // It may be dead by the time that it is told to upload.
  child.stdin.on("error", () => {});
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  return {
    child,
    exited,
    said: async (word) => {
      while (!out.includes(word) && child.exitCode === null && child.signalCode === null) await sleep(5);
    },
    upload: () => void child.stdin.write("upload\n"),
  };
}

describe.skipIf(inject("postgresUrl") === null)("kill -9 around a bypassed action, on Postgres", () => {
  let cluster: Cluster;
  let database: pg.Client;
  let service: ServiceProcess;
  let proxy: TcpProxy;
  /** A journal directory that knows the grant, as each process finds it. */
  const granted = tempDir();

  beforeAll(async () => {
    cluster = (await makeCluster()) as Cluster;
    database = new pg.Client(cluster.superUrl);
    await database.connect();
    service = await startService(cluster.env);
    const env = { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir };
    await addReviewer("alice", env, "operator");
    const set = ["bypass", "set", AGENT, "--as", "alice", "--password-stdin", "--all-tools", "--for", "12h"];
    await cli([...set, "--reason", "a drill"], env, REVIEWER_PASSWORD);
    proxy = await startTcpProxy(service.grpcPort);
    const seed = startActor(specOf({ journalDir: granted, wishes: 0, port: service.grpcPort }));
    await seed.said("acted");
    seed.upload();
    await seed.exited;
  }, 90_000);
  afterAll(async () => {
    await proxy?.close();
    await discard(service);
    await database?.end();
  });

  function specOf(given: Partial<ActorSpec> & { readonly journalDir: string; readonly port: number }): ActorSpec {
    const { port, ...rest } = given;
    const actions = join(given.journalDir, "actions");
    return {
      url: `http://127.0.0.1:${port}`,
      apiKey: cluster.agentKey,
      actions,
      name: "none",
      wishes: WISHES,
      ...rest,
    };
  }

  function newJournal(): string {
    const journalDir = tempDir();
    cpSync(granted, journalDir, { recursive: true });
    return journalDir;
  }

  /** The next guard of the agent, on the same disk, with the service well: it uploads what it finds. */
  async function inherit(journalDir: string): Promise<void> {
    const { url, apiKey } = specOf({ journalDir, port: service.grpcPort });
    const heir = new DataCrawl({ url, apiKey, journalDir });
    await heir.ready();
    await heir.close();
  }

  /** Each action has its record in the trail; each record is one row; and nothing stays behind. */
  async function check(journalDir: string, keptAtDeath: readonly Buffer[], name: string): Promise<number> {
    const actions = existsSync(join(journalDir, "actions"))
      ? readFileSync(join(journalDir, "actions"), "utf8").split("\n").filter(Boolean)
      : [];
    const started = startsIn(journalDir);
    for (const id of actions) {
      expect(
        started.map(({ decisionId }) => decisionId),
        `${name}: action ${id} has a start`,
      ).toContain(id);
      const { rows } = await database.query<{ source: string; reason: string; decided: boolean }>(
        `SELECT source, reason, decided_at <= recorded_at AND grant_id IS NOT NULL AS decided
         FROM audit_decisions WHERE decision_id = $1`,
        [id],
      );
      expect(rows, `${name}: action ${id}`).toEqual([{ source: "guard", reason: "CIRCUIT_BYPASS", decided: true }]);
    }
    // Also of those that a crash kept from running, or from being reported: they will be unresolved.
    for (const { decisionId, executionId, end } of started) {
      const { rows } = await database.query(
        `SELECT e.execution_id AS "executionId", e.source, o.outcome, r.decision_id IS NOT NULL AS due,
           (SELECT json_agg(kind ORDER BY kind) FROM audit_events v WHERE v.decision_id = e.decision_id) AS events
         FROM executions e LEFT JOIN execution_outcomes o USING (decision_id)
         LEFT JOIN execution_reports_due r USING (decision_id) WHERE e.decision_id = $1`,
        [decisionId],
      );
      const isEnded = end !== null;
      const events = [...(isEnded ? ["execution.ended"] : []), "execution.started"];
      const outcome = isEnded ? "succeeded" : null;
      expect(rows, `${name}: start ${decisionId}`).toEqual([
        { executionId, source: "guard", outcome, due: !isEnded, events },
      ]);
    }
    for (const hash of keptAtDeath) {
      const { rows } = await database.query("SELECT 1 FROM guard_records WHERE record_hash = $1", [hash]);
      expect(rows, `${name}: record ${hash.toString("hex")}`).toHaveLength(1);
    }
    const { rows: journals } = await database.query<{ journal: string; sequences: string[] }>(
      `SELECT journal_id AS journal, array_agg(sequence ORDER BY sequence) AS sequences FROM guard_records GROUP BY 1`,
    );
    // By rows: a record that came twice, or one that was skipped, would show here.
    for (const { journal, sequences } of journals)
      expect(sequences.map(Number), `${name}: journal ${journal}`).toEqual(sequences.map((_, index) => index + 1));
    expect(files(journalDir), name).toEqual([]);
    return actions.length;
  }

  function startsIn(journalDir: string): KeptStart[] {
    const dir = join(journalDir, AGENT, "starts");
    const names = existsSync(dir) ? readdirSync(dir).filter((name) => /^[0-9a-f]{64}$/.test(name)) : [];
    return names.map((name) => JSON.parse(readFileSync(join(dir, name), "utf8")) as KeptStart);
  }

  function files(journalDir: string): string[] {
    return readdirSync(join(journalDir, AGENT)).filter((file) => file.includes(".log"));
  }

  /** The hashes of the records that a dead process has left, which must be a sound chain up to a torn end. */
  function recordsIn(journalDir: string): Buffer[] {
    return files(journalDir).flatMap((file) => {
      const { entries, end } = readSegment(readFileSync(join(journalDir, AGENT, file)), file.slice(0, 36), AGENT);
      expect(end).not.toBe("damaged");
      return entries.map(({ hash }) => Buffer.from(hash));
    });
  }

  /** An outage, in which the actor acts under its grant; then the service is back, and the actor uploads. */
  async function act(journalDir: string, name: string, failpoint?: string): Promise<Actor> {
    await proxy.setListening(false);
    const actor = startActor(specOf({ journalDir, name, port: proxy.port }), failpoint);
    await actor.said("acted");
    await proxy.setListening(true);
    actor.upload();
    return actor;
  }

  test.each(GUARD_FAILPOINTS)("the guard dies at %s", { timeout: 60_000 * SCHEDULES }, async (failpoint) => {
    for (let schedule = 0; schedule < SCHEDULES; schedule++) {
      const hits = failpoint.startsWith("upload") ? 1 : chance.int(1, WISHES / 2 + 1);
      const name = `${failpoint}-${hits}-${schedule}`;
      const journalDir = newJournal();
      const actor = await act(journalDir, name, `${failpoint}:${hits}`);
      expect(await actor.exited, name).toEqual(KILLED);
      const kept = recordsIn(journalDir);
      await inherit(journalDir);
      const actions = await check(journalDir, kept, name);
      // The control: by then it had acted, under the grant.
      if (failpoint.startsWith("upload")) expect(actions).toBe(WISHES);
    }
  });

  test("the guard dies at any moment of its upload", { tags: ["full"], timeout: 60_000 * SCHEDULES }, async () => {
    for (let schedule = 0; schedule < 2 * SCHEDULES; schedule++) {
      const delay = chance.int(0, 80);
      const name = `moment-${delay}-${schedule}`;
      const journalDir = newJournal();
      const actor = await act(journalDir, name);
      await sleep(delay);
      const kept = recordsIn(journalDir);
      actor.child.kill("SIGKILL");
      await actor.exited;
      await inherit(journalDir);
      expect(await check(journalDir, kept, name), name).toBe(WISHES);
    }
  });

  test.each(SYNC_FAILPOINTS)(
    "the service dies at %s",
    { tags: ["full"], timeout: 90_000 * SCHEDULES },
    async (failpoint) => {
      for (let schedule = 0; schedule < SCHEDULES; schedule++) {
        const name = `${failpoint}-${schedule}`;
        const doomed = await startService({ ...cluster.env, DATACRAWL_TEST_FAILPOINT: `${failpoint}:1` });
        const toDoomed = await startTcpProxy(doomed.grpcPort);
        await toDoomed.setListening(false);
        const journalDir = newJournal();
        const actor = startActor(specOf({ journalDir, name, port: toDoomed.port }));
        await actor.said("acted");
        const kept = recordsIn(journalDir);
        await toDoomed.setListening(true);
        actor.upload();
        expect(await doomed.kill("SIGCONT"), name).toEqual(KILLED);
        expect((await actor.exited).code).toBe(0);
        expect(recordsIn(journalDir).length, "the guard keeps what nobody has acknowledged").toBe(kept.length);
        await inherit(journalDir);
        expect(await check(journalDir, kept, name)).toBe(WISHES);
        await toDoomed.close();
        await discard(doomed);
      }
    },
  );

  test("what was started is not started again through the service, neither as that decision nor under its key", async () => {
    const journalDir = newJournal();
    const actor = await act(journalDir, "again");
    expect((await actor.exited).code).toBe(0);
    const [start] = startsIn(journalDir);
    const begin = async (decisionId: string | undefined): Promise<Record<string, unknown>> =>
      (await callAgent(service.connectUrl, cluster.agentKey, "BeginExecution", { decisionId, nonce: newNonce() })).body;
    const started = {
      state: "EXECUTION_STATE_ALREADY_STARTED",
      startedBy: start?.startedBy,
      outcome: "OUTCOME_SUCCEEDED",
    };
    expect(await begin(start?.decisionId)).toMatchObject({ ...started, decisionId: start?.decisionId });
    const decided = await allowed(service.connectUrl, cluster.agentKey, String(start?.idempotencyKey));
    expect(await begin(decided)).toMatchObject({ ...started, decisionId: decided });
    const free = await allowed(service.connectUrl, cluster.agentKey, "a key of its own");
    expect(await begin(free)).toMatchObject({ state: "EXECUTION_STATE_STARTED" });
  });

  test("and the trail is whole", async () => {
    const env = { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir };
    const verified = await cli(["audit", "verify"], env);
    expect(verified.status, verified.stdout + verified.stderr).toBe(0);
  });
});
