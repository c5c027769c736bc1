import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { signAcknowledgement } from "../../src/audit/seal/acknowledgement.ts";
import { epochLine, formatCheckpoint } from "../../src/audit/log/checkpoint.ts";
import { makeEvent } from "../../src/audit/row/event.ts";
import type { Finding } from "../../src/audit/verify/findings.ts";
import { hashDecision } from "../../src/audit/row/hash.ts";
import { noteKeys, noteSigner } from "../../src/audit/log/keys.ts";
import { AUDIT_KEYS } from "../../src/keys/key-uses.ts";
import { rowLeaf } from "../../src/audit/log/leaf.ts";
import { CompactRange } from "../../src/audit/log/merkle.ts";
import { signNote } from "../../src/audit/log/note.ts";
import { CheckpointDirectory } from "../../src/audit/seal/published.ts";
import { DECISION_COLUMNS, EVENT_COLUMNS } from "../../src/audit/row/record.ts";
import { isStored } from "../../src/audit/seal/seal.ts";
import { verify } from "../../src/audit/verify/verify.ts";
import { planRun } from "../../src/audit/verify/plan.ts";
import { systemClock } from "../../src/core/clock.ts";
import { openOrMakeSigningKeys, openSigningKeys, type SigningKeys } from "../../src/keys/key-files.ts";
import { SqlDecisionReader } from "../../src/store/decisions.ts";
import { SqlPayloadStore } from "../../src/store/payloads.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { SqlSealStore } from "../../src/store/seals.ts";
import { SqlVerifyStore } from "../../src/store/verification.ts";
import { cli } from "../support/cli.ts";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { random } from "../support/entries.ts";
import { ask, discard, startService, tempDir } from "../support/service.ts";

/** What changes a column's value into another of its kind. */
const CHANGED = {
  text: (name: string) => `coalesce(${name}, '') || 'x'`,
  uuid: () => "gen_random_uuid()",
  bytes: (name: string) => `coalesce(${name}, '') || '\\x00'`,
  micros: (name: string) => `${name} + interval '1 microsecond'`,
  int: (name: string) => `coalesce(${name}, 0) + 1`,
} as const;
const IDENTITY = new Set(["decision_id", "event_id", "recorded_at"]);
const TABLES = ["audit_decisions", "audit_events", "audit_seals", "audit_nodes", "audit_checkpoints", "audit_epochs"];

describe.skipIf(inject("postgresUrl") === null)(
  "what the database's superuser does to a trail of real decisions",
  () => {
    const directory = new CheckpointDirectory(tempDir());
    let cluster: Cluster;
    let server: pg.Client;
    let keys: SigningKeys;
    let base: string;
    let early: string;
    let copies = 0;
    // The copy that a test tampers with.
    let url: string;
    let superuser: pg.Client;
    let database: PostgresDatabase;

    const nameOf = (of: string): string => new URL(of).pathname.slice(1);
    const copyOf = async (name: string): Promise<string> => {
      const copy = `${base}_${copies++}`;
      await server.query(`CREATE DATABASE ${copy} TEMPLATE ${name}`);
      return copy;
    };

    beforeAll(async () => {
      cluster = (await makeCluster({ DATACRAWL_CHECKPOINT_DIR: directory.path })) as Cluster;
      base = nameOf(cluster.superUrl);
      const admin = new URL(cluster.superUrl);
      admin.pathname = "/postgres";
      server = new pg.Client(admin.href);
      await server.connect();
      keys = await openSigningKeys(cluster.env["DATACRAWL_KEYS_DIR"] as string, AUDIT_KEYS);
      const live = async (round: number): Promise<void> => {
        const service = await startService(cluster.env);
        const request = {
          tool: "gmail.send_email",
          payload: { to: ["ann@example.com"], subject: "Hi", body: "Hello" },
        };
        for (let n = 0; n < 25; n++) {
          await ask(service.connectUrl, cluster.agentKey, { ...request, idempotencyKey: `${round}-${n}` });
          if (n % 12 === 0)
            expect((await cli(["audit", "seal"], { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir })).status).toBe(
              0,
            );
        }
        expect((await cli(["audit", "seal"], { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir })).status).toBe(0);
        await discard(service);
      };
      await live(1);
      early = await copyOf(base);
      await live(2);
    });
    afterAll(() => server.end());

    beforeEach(() => open(base));
    afterEach(close);

    async function open(name: string): Promise<void> {
      const to = new URL(cluster.superUrl);
      to.pathname = `/${await copyOf(name)}`;
      url = to.href;
      superuser = new pg.Client(url);
      await superuser.connect();
      const partitions = await superuser.query<{ name: string }>(
        "SELECT c.oid::regclass::text AS name FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relname ~ $1",
        [`^(${TABLES.join("|")})`],
      );
      for (const { name: table } of partitions.rows) await superuser.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
      database = new PostgresDatabase(url, { connections: 2, onError: () => undefined });
    }

    async function close(): Promise<void> {
      await superuser.end();
      await database.close();
      await server.query(`DROP DATABASE ${nameOf(url)} WITH (FORCE)`);
    }

    const sql = async <Row extends object = Record<string, unknown>>(
      text: string,
      values: unknown[] = [],
    ): Promise<Row[]> => (await superuser.query<Row>(text, values)).rows;

    const findings = async (outside: CheckpointDirectory | null = directory): Promise<readonly Finding[]> => {
      const store = new SqlVerifyStore(database);
      const trusted = noteKeys(await new SqlSealStore(database.kysely).origin(), keys);
      const begun = await planRun(store, { kind: "full" }, null, systemClock.now(), 30);
      const { settledAt: settled } = await new SqlSealStore(database.kysely).state();
      const pause = async (): Promise<boolean> => true;
      const ports = { store, keys: trusted, directory: outside, settled, pieceRows: 20, pause };
      return (await verify(ports, begun))?.findings ?? [];
    };
    const victim = async (key = "1-7"): Promise<string> =>
      (
        await sql<{ id: string }>("SELECT decision_id::text AS id FROM audit_decisions WHERE idempotency_key = $1", [
          key,
        ])
      )[0]?.id ?? "";

    /** As a forger who knows how: the row's hash, its leaf, every node and every checkpoint's columns follow the change. */
    async function rehash(id: string, stages: { leaf: boolean; tree: boolean; sign: boolean }): Promise<void> {
      const stored = await new SqlDecisionReader(database.kysely).find(id);
      if (stored === null) throw new Error("no such row");
      const hash = hashDecision(stored.row);
      await sql("UPDATE audit_decisions SET hash = $2 WHERE decision_id = $1", [id, hash]);
      if (stages.leaf)
        await sql("UPDATE audit_seals SET leaf_hash = $2 WHERE row_id = $1", [id, rowLeaf("decisions", hash)]);
      if (!stages.tree) return;
      const origin = await new SqlSealStore(database.kysely).origin();
      const tree = new CompactRange();
      const leaves = await sql<{ leaf_hash: Buffer }>("SELECT leaf_hash FROM audit_seals ORDER BY seq");
      const sizes = new Set(
        (await sql<{ size: string }>("SELECT size FROM audit_checkpoints")).map(({ size }) => Number(size)),
      );
      for (const { leaf_hash: leaf } of leaves) {
        const nodes: [number, number, Uint8Array][] = [];
        tree.append(leaf, (node, of) => {
          if (isStored(node)) nodes.push([node.level, node.index, of]);
        });
        for (const node of nodes) await sql("UPDATE audit_nodes SET hash = $3 WHERE level = $1 AND idx = $2", node);
        if (!sizes.has(tree.size)) continue;
        const root = Buffer.from(tree.root());
        await sql("UPDATE audit_checkpoints SET root = $2, peaks = $3 WHERE size = $1", [
          tree.size,
          root,
          Buffer.concat(tree.peaks),
        ]);
        if (!stages.sign) continue;
        const text = formatCheckpoint({ origin, size: tree.size, root, extensions: [epochLine(1)] });
        const note = signNote(text, [noteSigner(origin, keys)]);
        await sql("UPDATE audit_checkpoints SET signed_note = $2 WHERE size = $1", [tree.size, note]);
      }
    }

    test("nothing: nothing is found, in a database that was copied to elsewhere too", async () => {
      expect(await findings()).toEqual([]);
    });

    const COLUMNS = [
      { table: "audit_decisions", id: "decision_id", which: "idempotency_key = '1-7'", columns: DECISION_COLUMNS },
      { table: "audit_events", id: "event_id", which: "kind = 'agent.created'", columns: EVENT_COLUMNS },
    ] as const;
    test.each(COLUMNS)(
      "any column of a row of $table is changed: the row is named",
      async ({ table, id, which, columns }) => {
        const [row] = await sql<{ id: string }>(`SELECT ${id}::text AS id FROM ${table} WHERE ${which}`);
        await sql(`CREATE TABLE kept AS SELECT * FROM ${table} WHERE ${which}`);
        for (const { name, kind } of columns) {
          if (IDENTITY.has(name)) continue;
          await sql(`UPDATE ${table} SET ${name} = ${CHANGED[kind](name)} WHERE ${id} = $1`, [row?.id]);
          const found = await findings();
          expect(found, name).toContainEqual(expect.objectContaining({ check: "row_hash", id: row?.id }));
          expect(new Set(found.map((finding) => finding.id)), name).toEqual(new Set([row?.id]));
          await sql(`DELETE FROM ${table} WHERE ${id} = $1`, [row?.id]);
          await sql(`INSERT INTO ${table} SELECT * FROM kept`);
        }
        expect(await findings()).toEqual([]);
      },
    );

    test.each(["decision_id = gen_random_uuid()", "recorded_at = recorded_at + interval '1 microsecond'"])(
      "a row's identity is changed (%s): the one is missing, the other has no seal",
      async (change) => {
        const id = await victim();
        await sql(`UPDATE audit_decisions SET ${change} WHERE decision_id = $1`, [id]);
        const found = await findings();
        expect(found).toContainEqual(expect.objectContaining({ check: "row_missing", id }));
        expect(found.map(({ check }) => check).toSorted()).toEqual(["row_missing", "row_unsealed"]);
      },
    );

    test("a row is changed and rehashed: its seal names it", async () => {
      const id = await victim();
      await sql("UPDATE audit_decisions SET tool = 'shell.exec' WHERE decision_id = $1", [id]);
      await rehash(id, { leaf: false, tree: false, sign: false });
      expect(await findings()).toEqual([expect.objectContaining({ check: "leaf", id })]);
    });

    test("the seal is forged, too: the stored tree and the signed root name a few rows with it", async () => {
      const id = await victim();
      await sql("UPDATE audit_decisions SET tool = 'shell.exec' WHERE decision_id = $1", [id]);
      await rehash(id, { leaf: true, tree: false, sign: false });
      const found = await findings();
      expect(found.map(({ check }) => check)).toContain("node");
      expect(found.map(({ check }) => check)).toContain("root");
      for (const { detail } of found.filter(({ check }) => check === "node")) expect(detail).toContain(id);
    });

    test("everything is rehashed up to the checkpoints: their signatures do not hold", async () => {
      const id = await victim();
      await sql("UPDATE audit_decisions SET tool = 'shell.exec' WHERE decision_id = $1", [id]);
      await rehash(id, { leaf: true, tree: true, sign: false });
      const found = await findings(null);
      expect(found.length).toBeGreaterThan(0);
      for (const finding of found)
        expect(finding).toMatchObject({ check: "checkpoint", detail: "its columns are not what was signed" });
    });

    test("everything is rehashed and signed with the stolen key: only what was published before shows it", async () => {
      const id = await victim();
      await sql("UPDATE audit_decisions SET tool = 'shell.exec' WHERE decision_id = $1", [id]);
      await rehash(id, { leaf: true, tree: true, sign: true });
      expect(await findings(null)).toEqual([]);
      const found = await findings();
      expect(found.length).toBeGreaterThan(0);
      for (const finding of found) expect(finding).toMatchObject({ check: "published", detail: /another root/ });
    });

    test("a row is deleted: it is named; with its seal, its place is", async () => {
      const id = await victim();
      const [seal] = await sql<{ seq: string }>("SELECT seq FROM audit_seals WHERE row_id = $1", [id]);
      await sql("DELETE FROM audit_decisions WHERE decision_id = $1", [id]);
      expect(await findings()).toEqual([expect.objectContaining({ check: "row_missing", id })]);
      await sql("DELETE FROM audit_seals WHERE row_id = $1", [id]);
      expect(await findings()).toEqual([expect.objectContaining({ check: "seal_missing", seq: Number(seal?.seq) })]);
    });

    const insertCopy = (insertedAt: string) => {
      const names = DECISION_COLUMNS.map(({ name }) => name).filter((name) => name !== "decision_id");
      return sql<{ id: string }>(`INSERT INTO audit_decisions (decision_id, ${names.join(", ")}, hash, inserted_at)
      SELECT gen_random_uuid(), ${names.join(", ")}, hash, ${insertedAt} FROM audit_decisions LIMIT 1 RETURNING decision_id::text AS id`);
    };

    test("a row is slipped in with a right hash among the old ones: it has no seal", async () => {
      const [row] = await insertCopy("inserted_at");
      await rehash(row?.id ?? "", { leaf: false, tree: false, sign: false });
      expect(await findings()).toEqual([expect.objectContaining({ check: "row_unsealed", id: row?.id })]);
    });

    test("two rows are swapped: both are named; or their seals: the rows about them", async () => {
      const [one, other] = [await victim("1-7"), await victim("2-7")];
      const swap = (table: string, column: string, key: string) =>
        sql(
          `UPDATE ${table} t SET ${column} = o.${column} FROM ${table} o WHERE t.${key} IN ($1, $2) AND o.${key} IN ($1, $2) AND t.${key} <> o.${key}`,
          [one, other],
        );
      await swap("audit_decisions", "idempotency_key", "decision_id");
      const rows = await findings();
      expect(new Set(rows.map(({ id }) => id))).toEqual(new Set([one, other]));
      await swap("audit_decisions", "idempotency_key", "decision_id");
      expect(await findings()).toEqual([]);
      await swap("audit_seals", "seq", "row_id");
      const seals = await findings();
      expect(seals.map(({ check }) => check)).toContain("root");
      expect(seals.map(({ detail }) => detail).join()).toContain(one);
    });

    test("the tail is cut off with all that sealed it: only what is published shows it", async () => {
      const [before] = await sql<{ size: string }>(
        "SELECT previous_size AS size FROM audit_checkpoints ORDER BY size DESC LIMIT 1",
      );
      await cutAfter(before?.size);
      expect(await findings(null)).toEqual([]);
      expect(await findings()).toEqual([
        expect.objectContaining({ check: "published", detail: expect.stringMatching(/rolled back or truncated/) }),
      ]);
    });

    test("checkpoints alone are cut off: the seals after them show it", async () => {
      await sql("DELETE FROM audit_checkpoints WHERE size = (SELECT max(size) FROM audit_checkpoints)");
      expect(await findings(null)).toEqual([
        expect.objectContaining({ check: "checkpoint", detail: expect.stringMatching(/later ones are gone/) }),
      ]);
    });

    test("a checkpoint in the middle is removed: the next one does not continue the one before", async () => {
      const sizes = await sql<{ size: string }>("SELECT size FROM audit_checkpoints ORDER BY size");
      await sql("DELETE FROM audit_checkpoints WHERE size = $1", [sizes[1]?.size]);
      expect((await findings(null)).map(({ check }) => check)).toContain("checkpoint");
    });

    test("the whole database is rolled back with its checkpoints: what is published since is missing", async () => {
      await close();
      await open(early);
      expect(await findings(null)).toEqual([]);
      const found = await findings();
      expect(found.length).toBeGreaterThan(0);
      for (const finding of found) expect(finding.check).toBe("published");
    });

    /** Cuts everything after the checkpoint of `size` off, as a restored backup would. */
    async function cutAfter(size: string | undefined): Promise<void> {
      for (const table of ["decision", "event"])
        await sql(`DELETE FROM audit_${table}s WHERE ${table}_id IN (SELECT row_id FROM audit_seals WHERE seq >= $1)`, [
          size,
        ]);
      await sql("DELETE FROM audit_seals WHERE seq >= $1", [size]);
      await sql("DELETE FROM audit_nodes WHERE (idx + 1) << level > $1::bigint", [size]);
      await sql("DELETE FROM audit_checkpoints WHERE size > $1", [size]);
    }

    test("a rollback is passed off as acknowledged: without the audit key's signature it is not", async () => {
      const [newest, kept] = await sql<{ size: string; note: string; root: Buffer }>(
        "SELECT size, signed_note AS note, root FROM audit_checkpoints ORDER BY size DESC LIMIT 2",
      );
      await cutAfter(kept?.size);
      const origin = await new SqlSealStore(database.kysely).origin();
      const lost = { epoch: 1, size: Number(newest?.size), root: newest?.root ?? Buffer.alloc(0) };
      const loss = { epoch: 2, kept: { epoch: 1, size: Number(kept?.size) }, lost };
      const stranger = await openOrMakeSigningKeys(tempDir(), AUDIT_KEYS);
      const replayed = { ...loss, epoch: 3 };
      const forgeries = [
        null,
        newest?.note,
        signAcknowledgement(origin, loss, stranger),
        signAcknowledgement(origin, replayed, keys),
      ];
      const open =
        "INSERT INTO audit_epochs (epoch, opened_by, reason, lost_note, acknowledgement) VALUES (2, 'x', 'x', $1, $2)";
      for (const forgery of forgeries) {
        await sql(open, [newest?.note, forgery]);
        expect(await findings()).toEqual([
          expect.objectContaining({ check: "checkpoint", epoch: 2, detail: expect.stringMatching(/signed/) }),
          expect.objectContaining({ check: "published", epoch: 1, seq: Number(newest?.size) }),
        ]);
        await sql("DELETE FROM audit_epochs WHERE epoch = 2");
      }
      await sql(open, [newest?.note, signAcknowledgement(origin, loss, keys)]);
      expect(await findings()).toEqual([]);
      // Nor does a true one excuse more than what was lost then.
      const [before] = await sql<{ size: string }>(
        "SELECT size FROM audit_checkpoints ORDER BY size DESC OFFSET 1 LIMIT 1",
      );
      await cutAfter(before?.size);
      expect(await findings()).toEqual([
        expect.objectContaining({ check: "published", epoch: 1, seq: Number(kept?.size) }),
      ]);
    });

    test("a payload is changed or deleted: its row is named; erased, with its event: nothing is wrong", async () => {
      const id = await victim();
      await sql("UPDATE audit_payloads SET canonical = '{}' WHERE decision_id = $1", [id]);
      expect(await findings()).toEqual([expect.objectContaining({ check: "payload", id })]);
      await sql("CREATE TABLE kept AS SELECT * FROM audit_payloads WHERE decision_id = $1", [id]);
      await sql("DELETE FROM audit_payloads WHERE decision_id = $1", [id]);
      expect(await findings()).toEqual([
        expect.objectContaining({ check: "payload", id, detail: expect.stringMatching(/is gone/) }),
      ]);
      await sql("INSERT INTO audit_payloads SELECT * FROM kept");
      const facts = { kind: "payload.erased", actor: "socket", decisionId: id };
      await new SqlPayloadStore(database.kysely).erase(id, makeEvent(facts, systemClock.now(), random));
      expect(await findings()).toEqual([]);
    });

    test("a node of the stored tree is changed, or gone", async () => {
      await sql("UPDATE audit_nodes SET hash = '\\x00' WHERE level = 4 AND idx = 1");
      expect((await findings()).map(({ check }) => check)).toEqual(["node"]);
      await sql("DELETE FROM audit_nodes WHERE level = 4 AND idx = 1");
      expect((await findings()).map(({ check }) => check)).toEqual(["node"]);
    });
  },
);
