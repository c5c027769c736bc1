// @module-tag full
import { spawnSync } from "node:child_process";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { cli } from "../support/cli.ts";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { waitUntil } from "../support/net.ts";
import { type PostgresServer, postgresProgram, startPostgres } from "../support/postgres.ts";
import {
  type Asked,
  ask,
  discard,
  type Env,
  isReady,
  type ServiceProcess,
  startService,
  tempDir,
} from "../support/service.ts";

describe.skipIf(inject("postgresUrl") === null || process.env["TEST_DATABASE_URL"] !== undefined)(
  "a dump that is restored into another cluster",
  () => {
    let cluster: Cluster;
    let elsewhere: PostgresServer;
    let env: Env;
    let superuser: pg.Client;
    let service: ServiceProcess;
    const decided: unknown[] = [];

    const there = (url: string): string => {
      const moved = new URL(url);
      moved.port = new URL(elsewhere.url).port;
      return moved.href;
    };
    const decide = (key: string): Promise<Asked> =>
      ask(service.connectUrl, cluster.agentKey, { tool: "gmail.send_email", payload: { to: [] }, idempotencyKey: key });
    const audit = (...args: string[]) => cli(["audit", ...args], { ...env, DATACRAWL_DATA_DIR: service.dataDir });
    const sealedRows = async (): Promise<number> => {
      const { stdout } = await audit("status", "--json");
      return (JSON.parse(stdout) as { sealedRows: number }).sealedRows;
    };
    const oldestWriter = async (): Promise<number> => {
      const page = await (await fetch(`${service.connectUrl}/metrics`)).text();
      return Number(/^datacrawl_audit_oldest_writer_seconds (\S+)$/m.exec(page)?.[1]);
    };

    beforeAll(async () => {
      cluster = (await makeCluster({ DATACRAWL_CHECKPOINT_DIR: tempDir() })) as Cluster;
      elsewhere = (await startPostgres(["max_prepared_transactions=2"])) as PostgresServer;
      env = cluster.env;
      service = await startService(env);
      for (let n = 0; n < 10; n++) decided.push((await decide(`key-${n}`)).body["decisionId"]);
      await audit("seal");
      await decide("not-sealed");
      await discard(service);

      const [name, login, owner] = [cluster.superUrl, env["DATABASE_URL"], env["DATABASE_OWNER_URL"]].map(
        (url, index) => {
          const { pathname, username } = new URL(url as string);
          return index === 0 ? pathname.slice(1) : username;
        },
      ) as [string, string, string];
      const server = new pg.Client(elsewhere.url);
      await server.connect();
      await server.query(`CREATE ROLE ${owner} LOGIN; CREATE ROLE ${login} LOGIN`);
      await server.query(`CREATE DATABASE ${name} OWNER ${owner}`);
      await server.end();
      const dump = spawnSync(postgresProgram("pg_dump"), [cluster.superUrl], { maxBuffer: 1 << 28 });
      if (dump.status !== 0) throw new Error(dump.stderr.toString());
      const restored = spawnSync(postgresProgram("psql"), ["-qX", "-v", "ON_ERROR_STOP=1", there(cluster.superUrl)], {
        input: dump.stdout,
      });
      if (restored.status !== 0) throw new Error(restored.stderr.toString());
      env = {
        ...env,
        DATABASE_URL: there(env["DATABASE_URL"] as string),
        DATABASE_OWNER_URL: there(env["DATABASE_OWNER_URL"] as string),
      };
      superuser = new pg.Client(there(cluster.superUrl));
      superuser.on("error", () => undefined);
      await superuser.connect();
      service = await startService(env);
    });
    afterAll(async () => {
      await superuser.end().catch(() => undefined);
      await discard(service);
      await elsewhere.stop();
    });

    test("goes on as before: the same decisions, the next place in the same tree, and nothing wrong", async () => {
      const before = await sealedRows();
      expect(before).toBeGreaterThanOrEqual(decided.length);
      expect((await audit("status")).stdout).not.toContain("PROBLEM");
      for (const [n, id] of decided.entries())
        expect((await decide(`key-${n}`)).body).toMatchObject({ decisionId: id, replayed: true });
      expect(await decide("new")).toMatchObject({ status: 200 });
      expect((await audit("seal")).status).toBe(0);
      expect(await sealedRows()).toBeGreaterThanOrEqual(before + 2);
      const { status, stdout } = await audit("verify", "--full");
      expect(stdout).toContain("nothing is wrong");
      expect(status).toBe(0);
    });

    test("a prepared transaction that survives a restart of Postgres is told of, and sealed when it ends", async () => {
      await superuser.query("BEGIN");
      await superuser.query(`INSERT INTO audit_events SELECT gen_random_uuid(), recorded_at - interval '1 minute',
        kind, actor, subject, decision_id, detail, hash FROM audit_events LIMIT 1`);
      const { rows } = await superuser.query<{ id: string }>(
        "SELECT event_id::text AS id FROM audit_events ORDER BY inserted_at DESC LIMIT 1",
      );
      await superuser.query("PREPARE TRANSACTION 'held'");
      await elsewhere.restart();
      await waitUntil(() => isReady(service.connectUrl), 60_000, "the service did not recover");
      expect((await decide("after-restart")).status).toBe(200);
      expect((await audit("seal")).status).toBe(0);
      expect((await audit("seal")).status).toBe(0);
      expect(await oldestWriter()).toBeGreaterThan(0);
      expect(await audit("verify", "--full")).toMatchObject({ status: 0 });
      const again = new pg.Client(there(cluster.superUrl));
      await again.connect();
      await again.query("COMMIT PREPARED 'held'");
      expect((await audit("seal")).status).toBe(0);
      const sealed = await again.query("SELECT 1 FROM audit_seals WHERE row_id = $1", [rows[0]?.id]);
      await again.end();
      expect(sealed.rows).toHaveLength(1);
      expect((await audit("seal")).status).toBe(0);
      expect(await oldestWriter()).toBe(0);
    });
  },
);
