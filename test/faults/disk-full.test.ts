// @module-tag full
import { spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { CheckpointDirectory } from "../../src/audit/seal/published.ts";
import { cli } from "../support/cli.ts";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { waitUntil } from "../support/net.ts";
import { type Asked, ask, discard, isReady, type ServiceProcess, startService, tempDir } from "../support/service.ts";

/** A file system of its own that is small, and can be filled. */
class SmallDisk {
  readonly path: string;
  readonly #filler: string;

  private constructor(path: string) {
    this.path = path;
    this.#filler = join(path, "filler");
  }

  /** Null where this user may not mount one. */
  static mount(): SmallDisk | null {
    const path = tempDir();
    const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=32m", "tmpfs", path]);
    return status === 0 ? new SmallDisk(path) : null;
  }

  fill(): void {
    for (let bytes = 1 << 20; bytes >= 4096; ) {
      try {
        appendFileSync(this.#filler, Buffer.alloc(bytes));
      } catch {
        bytes /= 2;
      }
    }
    if (statfsSync(this.path).bavail > 0) throw new Error(`${this.path} is not full`);
  }

  empty(): void {
    rmSync(this.#filler);
  }

  /** A directory in which Postgres may keep a tablespace: it runs as its own user where the tests run as root. */
  directoryForPostgres(): string {
    const directory = join(this.path, "space");
    mkdirSync(directory);
    if (process.getuid?.() === 0) {
      spawnSync("chown", ["postgres", directory]);
      spawnSync("chmod", ["755", this.path]);
    }
    return directory;
  }

  unmount(): void {
    spawnSync("umount", ["--lazy", this.path]);
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** One for each thing that can lack space, so that filling one fails nothing else. */
interface Disks {
  readonly checkpoints: SmallDisk;
  readonly seals: SmallDisk;
  /** The other tables. */
  readonly rows: SmallDisk;
}

function mountDisks(): Disks | null {
  const checkpoints = SmallDisk.mount();
  if (checkpoints === null) return null;
  return { checkpoints, seals: SmallDisk.mount() as SmallDisk, rows: SmallDisk.mount() as SmallDisk };
}

const mounted = inject("postgresUrl") === null || process.env["TEST_DATABASE_URL"] !== undefined ? null : mountDisks();
if (mounted === null)
  process.stderr.write("\nSKIPPED: full disks, for they need Postgres and the right to mount one\n\n");

describe.skipIf(mounted === null)("a full disk", () => {
  const disks = mounted as Disks;
  const checkpoints = join(mounted?.checkpoints.path ?? "", "checkpoints");
  let cluster: Cluster;
  let superuser: pg.Client;
  /** Of the superuser, to the service's database. */
  let database: pg.Client;
  let service: ServiceProcess;
  let name: string;
  let keys = 0;
  const answered = new Map<string, unknown>();

  beforeAll(async () => {
    cluster = (await makeCluster({ DATACRAWL_CHECKPOINT_DIR: checkpoints })) as Cluster;
    name = new URL(cluster.superUrl).pathname.slice(1);
    superuser = new pg.Client(new URL("/postgres", cluster.superUrl).href);
    await superuser.connect();
    for (const kind of ["seals", "rows"] as const)
      await superuser.query(`CREATE TABLESPACE ${name}_${kind} LOCATION '${disks[kind].directoryForPostgres()}'`);
    database = new pg.Client(cluster.superUrl);
    await database.connect();
    // Not the whole database: where its catalogs lie on a full disk, Postgres refuses each new connection as soon as it has vacuumed one
    // of them ("could not write init file").
    for (const table of ["audit_seals", "audit_nodes", "audit_checkpoints"])
      await database.query(`ALTER TABLE ${table} SET TABLESPACE ${name}_seals`);
    for (const kind of ["TABLE", "INDEX"])
      await database.query(`ALTER ${kind} ALL IN TABLESPACE pg_default SET TABLESPACE ${name}_rows`);
    service = await startService(cluster.env);
  });
  afterAll(async () => {
    await discard(service);
    await database.end();
    await superuser.query(`DROP DATABASE ${name} WITH (FORCE)`);
    for (const kind of ["seals", "rows"]) await superuser.query(`DROP TABLESPACE ${name}_${kind}`);
    await superuser.end();
    for (const disk of Object.values(disks)) disk.unmount();
  });

  const audit = (...args: string[]) => cli(["audit", ...args], { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir });
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
  /** Checkpoints as notes, oldest first: those outside, and those in the database. */
  const published = async (): Promise<string[]> =>
    (await Array.fromAsync(new CheckpointDirectory(checkpoints).all())).map((one) =>
      "note" in one ? one.note : one.unreadable,
    );
  const committed = async (): Promise<string[]> => {
    const { rows } = await database.query<{ note: string }>(
      "SELECT signed_note AS note FROM audit_checkpoints ORDER BY epoch, size",
    );
    return rows.map(({ note }) => note);
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
    const { rows } = await database.query<{ key: string; id: string }>(
      "SELECT idempotency_key AS key, decision_id::text AS id FROM audit_decisions JOIN audit_seals ON row_id = decision_id",
    );
    const sealed = new Map(rows.map(({ key, id }) => [key, id]));
    for (const [key, id] of answered) expect(sealed.get(key), key).toBe(id);
    // The service goes on sealing: one may be in the database and not outside yet.
    await expect.poll(async () => isDeepStrictEqual(await published(), await committed())).toBe(true);
  };

  test("where checkpoints are published: decisions and seals go on, and it is told of until there is space", async () => {
    expect(await decide()).toMatchObject({ status: 200 });
    expect((await audit("seal")).status).toBe(0);
    expect(await published()).not.toEqual([]);
    disks.checkpoints.fill();
    expect(await decide()).toMatchObject({ status: 200 });
    expect(await audit("seal")).toMatchObject({ status: 0 });
    const told = await audit("status");
    expect(told, told.stderr).toMatchObject({ status: 1 });
    expect(told.stdout, told.stderr).toMatch(/PROBLEM .*checkpoints cannot be published: ENOSPC/);
    expect(await problems()).toBe(1);
    // Only now: the service may have published one while the disk was being filled.
    const before = await published();
    expect(await decide()).toMatchObject({ status: 200 });
    expect(await audit("seal")).toMatchObject({ status: 0 });
    await waitUntil(() => service.output().err.includes("ENOSPC"), 30_000, "the log does not tell of it");
    const readiness = async (): Promise<string> => await (await fetch(`${service.connectUrl}/readyz`)).text();
    await expect.poll(readiness).toContain("ENOSPC");
    expect(await published()).toEqual(before);
    disks.checkpoints.empty();
    await expectHealthy();
  }, 120_000);

  test("of the trail's seals: decisions go on, nothing is sealed by half, and it is told of until there is space", async () => {
    disks.seals.fill();
    // The last pages have room for a few more.
    const sealed = async (): Promise<boolean> => {
      expect(await decide()).toMatchObject({ status: 200 });
      return (await audit("seal")).status === 0;
    };
    await waitUntil(async () => !(await sealed()), 60_000, "seals still find space");
    const told = await audit("status");
    expect(told, told.stderr).toMatchObject({ status: 1 });
    expect(told.stdout, told.stderr).toMatch(/PROBLEM .*cannot be sealed: .*No space left on device/);
    expect(await problems()).toBe(1);
    disks.seals.empty();
    await expectHealthy();
  }, 180_000);

  test("of the database: nothing is answered that is not recorded, and all of it goes on later", async () => {
    disks.rows.fill();
    const refused: string[] = [];
    for (let n = 0; refused.length < 3; n++) {
      if (n > 500) throw new Error("the disk is not full");
      const key = `key-${keys++}`;
      const { status, body } = await decide(key);
      if (status === 200) continue;
      expect(body["code"]).toBe("unavailable");
      refused.push(key);
    }
    // The last page of events has room for a few more calls.
    let told = await audit("status");
    for (let n = 0; told.status === 0 && n < 500; n++) told = await audit("status");
    expect(told).toMatchObject({ status: 1, stdout: "" });
    expect(told.stderr).toContain("The call could not be recorded in the database, so it is not answered");
    disks.rows.empty();
    await waitUntil(() => isReady(service.connectUrl), 30_000, "the service did not recover");
    for (const key of refused) expect(await decide(key)).toMatchObject({ status: 200 });
    await expectHealthy();
  }, 180_000);
});
