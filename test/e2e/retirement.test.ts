// @module-tag full
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { cli } from "../support/cli.ts";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { entryFor } from "../support/entries.ts";
import { tempDir } from "../support/service.ts";

const dir = mkdtempSync(join(tmpdir(), "datacrawl-retirement-"));
const file = (name: string): string => join(dir, name);
const today = new Date();
/** The first day of the month half a year ago, and of the one after it. */
const [first, after] = [6, 5].map((ago) => new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth() - ago)));
const [month, before] = [first, after].map((day) => (day as Date).toISOString().slice(0, 10)) as [string, string];

describe.skipIf(inject("postgresUrl") === null)("a month is exported, retired, and the rest is verified", () => {
  let cluster: Cluster;
  let superuser: pg.Client;
  let old: string[];

  const audit = (...args: string[]) =>
    cli(["audit", ...args], { ...cluster.env, DATACRAWL_DATA_DIR: "/nonexistent/no-socket" });
  const sql = async <Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> =>
    (await superuser.query<Row>(text, values)).rows;
  const verified = async (): Promise<{ status: number; stdout: string }> => audit("verify", "--full");
  /** Runs `look` while a superuser's change stands. */
  async function changed(table: string, change: string, undo: string, look: () => Promise<void>): Promise<void> {
    const asSuperuser = async (text: string): Promise<void> => {
      await sql(`ALTER TABLE ${table} DISABLE TRIGGER refuse_change`);
      await sql(text);
      await sql(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER refuse_change`);
    };
    await asSuperuser(change);
    await look();
    await asSuperuser(undo);
  }

  beforeAll(async () => {
    cluster = (await makeCluster({ DATACRAWL_CHECKPOINT_DIR: tempDir() })) as Cluster;
    superuser = new pg.Client(cluster.superUrl);
    await superuser.connect();
    const owner = new pg.Client(cluster.env["DATABASE_OWNER_URL"]);
    await owner.connect();
    for (const parent of ["audit_decisions", "audit_events", "audit_payloads", "audit_seals"])
      await owner.query(`SELECT datacrawl_make_partition($1, $2, $3)`, [parent, month, parent !== "audit_payloads"]);
    await owner.end();
    const at = (first as Date).getTime() * 1000;
    const entries = Array.from({ length: 30 }, (_, index) =>
      entryFor(`old-${index}`, index % 3 === 2 ? {} : { recordedAt: at + index * 1_000_000 }),
    );
    old = entries.filter((_, index) => index % 3 !== 2).map(({ row }) => row.decisionId);
    const database = new PostgresDatabase(cluster.env["DATABASE_URL"] as string, {
      connections: 1,
      onError: () => undefined,
    });
    await new SqlRecordStore(database.kysely).recordBatch(entries);
    await database.close();
  });
  afterAll(async () => {
    await superuser.end();
    rmSync(dir, { recursive: true });
  });

  test("nothing is missed, and what was handed out before still holds", async () => {
    writeFileSync(file("kept.checkpoint"), (await audit("seal")).stdout);
    writeFileSync(file("keys"), (await audit("key")).stdout);
    writeFileSync(file("proof.json"), (await audit("prove", old[3] as string)).stdout);
    expect(await audit("export", "--month", month.slice(0, 7), "--out", file("month.jsonl"))).toMatchObject({
      status: 0,
    });
    expect(await audit("retire", "--before", before)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining(`${month.slice(0, 7)} is retired`) as string,
    });
    expect(await sql("SELECT 1 FROM audit_decisions WHERE decision_id = $1", [old[3]])).toEqual([]);
    const { status, stdout } = await verified();
    expect(stdout).toContain("nothing is wrong");
    expect(status).toBe(0);
    writeFileSync(file("since.json"), (await audit("prove-consistency", file("kept.checkpoint"))).stdout);
    for (const name of ["proof.json", "since.json"])
      expect(await audit("check-proof", file(name), "--key", file("keys"))).toMatchObject({ status: 0, stderr: "" });
    expect(await audit("check-export", file("month.jsonl"), "--key", file("keys"))).toMatchObject({ status: 0 });
  });

  test("a leaf that was kept of a retired row is changed: the rows below its root are named", async () => {
    const [seal] = await sql<{ table: string; leaf: string }>(
      `SELECT tableoid::regclass::text AS "table", encode(leaf_hash, 'hex') AS leaf FROM audit_seals WHERE row_id = $1`,
      [old[5]],
    );
    const set = (leaf: string): string => `UPDATE audit_seals SET leaf_hash = ${leaf} WHERE row_id = '${old[5]}'`;
    await changed(seal?.table as string, set("sha256('forged')"), set(`'\\x${seal?.leaf}'`), async () => {
      const { status, stdout } = await verified();
      expect(status).toBe(1);
      expect(stdout).toMatch(/^ROOT .*the signed root is not that of/m);
      expect(stdout).toContain(old[5]);
    });
    expect((await verified()).status).toBe(0);
  });

  test("the record of the retirement is changed, or moved to another month: its rows are missed, each by its id", async () => {
    const moved = (to: string): string => `UPDATE audit_retired SET month = '${to}'`;
    const spoilt = (by: string): string => `UPDATE audit_retired SET event_hash = ${by}`;
    const cases = [
      [moved("2020-01-01"), moved(month)],
      [
        spoilt("sha256(event_hash)"),
        spoilt("(SELECT hash FROM audit_events e WHERE e.event_id = audit_retired.event_id)"),
      ],
    ] as const;
    for (const [change, undo] of cases) {
      await changed("audit_retired", change, undo, async () => {
        const { status, stdout } = await verified();
        expect(status).toBe(1);
        for (const id of old) expect(stdout).toContain(`ROW_MISSING audit_decisions ${id}`);
        expect(stdout).toContain(`${old.length} PROBLEMS`);
      });
    }
    expect((await verified()).status).toBe(0);
  });
});
