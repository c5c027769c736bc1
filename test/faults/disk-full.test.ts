// @module-tag full
import { spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { CheckpointDirectory } from "../../src/audit/seal/published.ts";
import { cli } from "../support/cli.ts";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { waitUntil } from "../support/net.ts";
import { type Asked, ask, discard, isReady, type ServiceProcess, startService, tempDir } from "../support/service.ts";

/** A small file system of its own; null where this user may not mount one. */
function mountSmall(megabytes: number): string | null {
  const path = tempDir();
  return spawnSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", path]).status === 0 ? path : null;
}

const disk = inject("postgresUrl") === null || process.env["TEST_DATABASE_URL"] !== undefined ? null : mountSmall(96);
if (disk === null) process.stderr.write("\nSKIPPED: full disks, for they need Postgres and the right to mount one\n\n");

describe.skipIf(disk === null)("a full disk", () => {
  const path = disk as string;
  const checkpoints = join(path, "checkpoints");
  const filler = join(path, "filler");
  let cluster: Cluster;
  let superuser: pg.Client;
  let service: ServiceProcess;
  let name: string;
  let keys = 0;
  const answered = new Map<string, unknown>();

  beforeAll(async () => {
    cluster = (await makeCluster({ DATACRAWL_CHECKPOINT_DIR: checkpoints })) as Cluster;
    name = new URL(cluster.superUrl).pathname.slice(1);
    mkdirSync(join(path, "space"));
    // Postgres runs as its own user where the tests run as root.
    if (process.getuid?.() === 0) spawnSync("chown", ["postgres", join(path, "space")]);
    if (process.getuid?.() === 0) spawnSync("chmod", ["755", path]);
    superuser = new pg.Client(new URL("/postgres", cluster.superUrl).href);
    await superuser.connect();
    await superuser.query(`CREATE TABLESPACE ${name}_small LOCATION '${join(path, "space")}'`);
    await superuser.query(`ALTER DATABASE ${name} SET TABLESPACE ${name}_small`);
    service = await startService(cluster.env);
  });
  afterAll(async () => {
    await discard(service);
    await superuser.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await superuser.query(`DROP TABLESPACE ${name}_small`);
    await superuser.end();
    spawnSync("umount", ["--lazy", path]);
    rmSync(path, { recursive: true, force: true });
  });

  const audit = (...args: string[]) => cli(["audit", ...args], { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir });
  const free = (): number => statfsSync(path).bavail * statfsSync(path).bsize;
  const fill = (): void => {
    for (let bytes = 1 << 20; bytes >= 4096; ) {
      try {
        appendFileSync(filler, Buffer.alloc(bytes));
      } catch {
        bytes /= 2;
      }
    }
    expect(free()).toBe(0);
  };
  const decide = async (key = `key-${keys++}`): Promise<Asked> => {
    // Large enough to need new pages soon.
    const payload = { to: [], subject: "x".repeat(20_000) };
    const answer = await ask(service.connectUrl, cluster.agentKey, {
      tool: "gmail.send_email",
      payload,
      idempotencyKey: key,
    });
    if (answer.status === 200) answered.set(key, answer.body["decisionId"]);
    return answer;
  };
  const problems = async (): Promise<number> => {
    const page = await (await fetch(`${service.connectUrl}/metrics`)).text();
    return Number(/^datacrawl_audit_problems (\d+)$/m.exec(page)?.[1]);
  };
  const expectHealthy = async (): Promise<void> => {
    await waitUntil(() => isReady(service.connectUrl), 30_000, "the service did not recover");
    await waitUntil(
      async () => (await audit("seal")).status === 0 && (await problems()) === 0,
      30_000,
      "still not well",
    );
    const { status, stdout } = await audit("verify", "--full");
    expect(stdout).toContain("nothing is wrong");
    expect(status).toBe(0);
    const database = new pg.Client(cluster.superUrl);
    await database.connect();
    const { rows } = await database.query<{ key: string; id: string }>(
      "SELECT idempotency_key AS key, decision_id::text AS id FROM audit_decisions JOIN audit_seals ON row_id = decision_id",
    );
    const checkpointed = await database.query<{ note: string }>(
      "SELECT signed_note AS note FROM audit_checkpoints ORDER BY epoch, size",
    );
    await database.end();
    const sealed = new Map(rows.map(({ key, id }) => [key, id]));
    for (const [key, id] of answered) expect(sealed.get(key), key).toBe(id);
    const outside = await Array.fromAsync(new CheckpointDirectory(checkpoints).all());
    expect(outside.map((one) => ("note" in one ? one.note : one.unreadable))).toEqual(
      checkpointed.rows.map(({ note }) => note),
    );
  };

  test("where checkpoints are published: decisions and seals go on, and it is told of until there is space", async () => {
    await decide();
    expect((await audit("seal")).status).toBe(0);
    // Space that the database has already is enough for a few more rows.
    const before = await Array.fromAsync(new CheckpointDirectory(checkpoints).all());
    writeFileSync(filler, "");
    fill();
    const { status } = await ask(service.connectUrl, cluster.agentKey, {
      tool: "no.such_tool",
      payload: {},
      idempotencyKey: "small",
    });
    expect(status).toBe(200);
    expect(await audit("seal")).toMatchObject({ status: 0 });
    const told = await audit("status");
    expect(told, told.stderr).toMatchObject({ status: 1 });
    expect(told.stdout, told.stderr).toMatch(/PROBLEM .*checkpoints cannot be published: ENOSPC/);
    expect(await problems()).toBe(1);
    await waitUntil(() => service.output().err.includes("ENOSPC"), 30_000, "the log does not tell of it");
    expect(await (await fetch(`${service.connectUrl}/readyz`)).text()).toContain("ENOSPC");
    expect(await Array.fromAsync(new CheckpointDirectory(checkpoints).all())).toEqual(before);
    rmSync(filler);
    await expectHealthy();
  }, 120_000);

  test("of the database: nothing is answered that is not recorded, nothing is sealed by half, and all of it goes on later", async () => {
    writeFileSync(filler, "");
    fill();
    const refused: string[] = [];
    for (let n = 0; refused.length < 3; n++) {
      if (n > 500) throw new Error("the disk is not full");
      const key = `key-${keys++}`;
      const { status, body } = await decide(key);
      if (status === 200) continue;
      expect(body["code"]).toBe("unavailable");
      refused.push(key);
    }
    // A seal is smaller than a decision: what is left in the last pages may do for it.
    const sealed = async (): Promise<boolean> => {
      await ask(service.connectUrl, cluster.agentKey, { tool: "no.tool", payload: {}, idempotencyKey: `s-${keys++}` });
      return (await audit("seal")).status === 0;
    };
    await waitUntil(async () => !(await sealed()), 60_000, "seals still find space");
    // The command's call is recorded, too. When not even its row finds space, it is not answered.
    const status = await audit("status");
    expect(status.stdout + status.stderr).toMatch(
      /PROBLEM .*cannot be sealed: .*No space left on device|The call could not be recorded in the database, so it is not answered/,
    );
    expect(await problems()).toBeGreaterThan(0);
    rmSync(filler);
    await waitUntil(() => isReady(service.connectUrl), 30_000, "the service did not recover");
    for (const key of refused) expect(await decide(key)).toMatchObject({ status: 200 });
    await expectHealthy();
  }, 180_000);
});
