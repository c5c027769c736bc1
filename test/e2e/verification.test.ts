// @module-tag full
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { cli } from "../support/cli.ts";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { waitUntil } from "../support/net.ts";
import { Receiver } from "../support/receiver.ts";
import { ask, discard, type Env, type ServiceProcess, startService, tempDir } from "../support/service.ts";
import { recordDecisions } from "../support/trail.ts";

interface Run {
  readonly runId: string;
  readonly state: string;
  readonly rows: number;
  readonly totalRows: number;
  readonly scope: string;
  readonly startedAt: string;
  readonly finishedAt: string;
}

const AS_IF_A_MINUTE_LATER =
  "UPDATE audit_runs SET updated_at = updated_at - interval '2 minutes' WHERE state = 'running'";

describe.skipIf(inject("postgresUrl") === null)("verification with replicas", () => {
  let cluster: Cluster;
  let superuser: pg.Client;
  let receiver: Receiver;
  const services: ServiceProcess[] = [];

  beforeAll(async () => {
    receiver = await new Receiver().open();
    cluster = (await makeCluster({
      DATACRAWL_WEBHOOK_URL: receiver.url,
      DATACRAWL_CHECKPOINT_DIR: tempDir(),
    })) as Cluster;
    superuser = new pg.Client(cluster.superUrl);
    await superuser.connect();
  });
  afterAll(async () => {
    await Promise.all(services.map(discard));
    await superuser.end();
    await receiver.close();
  });

  const start = async (env: Env = {}): Promise<ServiceProcess> => {
    const service = await startService({ ...cluster.env, ...env });
    services.push(service);
    return service;
  };
  /** Through the service, or without one on the database itself. */
  const audit = (service: ServiceProcess | null, ...args: string[]) => {
    const env = { ...cluster.env, DATACRAWL_DATA_DIR: service?.dataDir ?? "/nonexistent/no-socket" };
    return cli(["audit", ...args], env);
  };
  const runs = async (): Promise<Run[]> => JSON.parse((await audit(null, "runs", "--json")).stdout) as Run[];
  /** As the superuser, who can switch the guards off. */
  const tamper = async (text: string, id: string): Promise<void> => {
    await superuser.query(`BEGIN; SET LOCAL session_replication_role = replica`);
    const { rows } = await superuser.query<{ name: string }>(
      "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit_decisions'::regclass",
    );
    for (const { name } of rows) await superuser.query(`ALTER TABLE ${name} DISABLE TRIGGER refuse_change`);
    await superuser.query(text, [id]);
    for (const { name } of rows) await superuser.query(`ALTER TABLE ${name} ENABLE ALWAYS TRIGGER refuse_change`);
    await superuser.query("COMMIT");
  };

  test("a row that was changed: exit status, its name, the metric, the webhook and the overview all tell", async () => {
    const service = await start();
    const request = { tool: "gmail.send_email", payload: { to: [] } };
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) {
      const { body } = await ask(service.connectUrl, cluster.agentKey, { ...request, idempotencyKey: `key-${n}` });
      ids.push(String(body["decisionId"]));
    }
    const overview = async (): Promise<{ ok: boolean; summary: string }> => {
      const { stdout } = await cli(["overview", "--json"], { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir });
      return (JSON.parse(stdout) as { lastVerification: { ok: boolean; summary: string } }).lastVerification;
    };
    const told = async (): Promise<string[]> => {
      const page = await (await fetch(`${service.connectUrl}/metrics`)).text();
      return page.split("\n").filter((line) => /^datacrawl_audit_verification_(failed|problems) /.test(line));
    };
    expect(await audit(service, "verify")).toMatchObject({ status: 0 });
    expect(await overview()).toMatchObject({ ok: true });

    const id = ids[2] as string;
    await tamper("UPDATE audit_decisions SET tool = tool || 'x' WHERE decision_id = $1", id);
    const { status, stdout } = await audit(service, "verify", "--full");
    expect(status).toBe(1);
    expect(stdout).toMatch(new RegExp(`^ROW_HASH audit_decisions ${id} recorded 20.*Z`, "m"));
    expect(stdout).toContain("1 PROBLEM");
    await waitUntil(async () => !(await overview()).ok, 20_000, "the overview does not tell of it");
    expect((await overview()).summary).toContain("1 problem");
    // The next night reads a part of the trail, and not this row.
    expect(await audit(service, "verify")).toMatchObject({ status: 0 });
    // An overview is kept for two seconds.
    await sleep(2500);
    expect((await overview()).ok).toBe(false);
    await waitUntil(async () => (await told()).join().includes("failed 1"), 30_000, "no metric tells of it");
    expect(await told()).toEqual(["datacrawl_audit_verification_failed 1", "datacrawl_audit_verification_problems 1"]);
    const isTold = (): boolean => receiver.received.some(({ type }) => type === "audit.verification_failed");
    await waitUntil(isTold, 20_000, "the webhook was not told");
    const message = receiver.received.find(({ type }) => type === "audit.verification_failed");
    expect(message?.data["detail"]).toMatchObject({ problems: 1, findings: [{ check: "row_hash", id }] });
    await expect.poll(() => service.output().err).toContain("THE AUDIT TRAIL IS NOT WHAT WAS RECORDED");

    // Nothing that was wrong is forgotten by itself; what is right again is told, too.
    await tamper("UPDATE audit_decisions SET tool = left(tool, -1) WHERE decision_id = $1", id);
    expect(await audit(service, "verify", "--full")).toMatchObject({ status: 0 });
    await waitUntil(async () => (await told()).join().includes("failed 0"), 30_000, "the metric stays");
    expect(receiver.received.filter(({ type }) => type === "audit.verification_failed")).toHaveLength(1);
    await discard(service);
  }, 120_000);

  test("of many who begin at once one has the run", async () => {
    // Two replicas whose schedules say the same second, and people beside them.
    const often = { DATACRAWL_AUDIT_VERIFY_AT: "* * * * * *" };
    const [one, two] = await Promise.all([start(often), start(often)]);
    const before = (await runs()).length;
    for (let round = 0; round < 2; round++) {
      const asked = [one, two, null, null, null, null].map((by) => audit(by, "verify", "--json"));
      for (const { status, stdout } of await Promise.all(asked)) {
        expect(status).toBe(0);
        expect(JSON.parse(stdout)).toMatchObject({ state: "passed" });
      }
    }
    await Promise.all([one, two].map((service) => service.kill("SIGTERM")));
    // What they were at is left to others, after a minute.
    await superuser.query(AS_IF_A_MINUTE_LATER);
    const { rows } = await superuser.query(
      `SELECT a.run_id, b.run_id FROM audit_runs a JOIN audit_runs b
       ON a.run_id < b.run_id AND tstzrange(a.started_at, a.finished_at) && tstzrange(b.started_at, b.finished_at)`,
    );
    expect(rows).toEqual([]);
    expect((await runs()).length).toBeGreaterThan(before);
  }, 120_000);

  test("a run that is killed goes on where it was, in whichever process asks for one", async () => {
    const database = new PostgresDatabase(cluster.env["DATABASE_URL"] as string, {
      connections: 2,
      onError: () => undefined,
    });
    for (let batch = 0; batch < 5; batch++) {
      await recordDecisions(database, `batch-${batch}`, 4000);
      expect((await audit(null, "seal")).status).toBe(0);
    }
    await database.close();
    const service = await start();
    const followed = audit(service, "verify", "--full");
    const isUnderWay = ({ scope, state, rows }: Run): boolean => scope === "full" && state === "running" && rows > 0;
    const progress = async (): Promise<Run> => (await runs())[0] as Run;
    await waitUntil(async () => isUnderWay(await progress()), 60_000, "no run");
    await service.kill("SIGKILL");
    expect((await followed).status).toBe(1);
    const killed = await progress();
    expect(killed).toMatchObject({ state: "running", scope: "full" });
    expect(killed.rows).toBeLessThan(killed.totalRows);
    // Nobody waited a minute: as if somebody had. Another scope is asked for, too: the one that is under way comes first.
    await superuser.query(AS_IF_A_MINUTE_LATER);
    const asked = await Promise.all([audit(null, "verify", "--full", "--json"), audit(null, "verify", "--json")]);
    expect(asked.map(({ status }) => status)).toEqual([0, 0]);
    const [full, incremental] = asked.map(({ stdout }) => JSON.parse(stdout) as Run);
    expect(full).toMatchObject({
      runId: killed.runId,
      startedAt: killed.startedAt,
      state: "passed",
      rows: killed.totalRows,
    });
    expect(incremental).toMatchObject({ scope: "incremental", state: "passed" });
  }, 120_000);
});
