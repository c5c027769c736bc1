import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { makeEvent } from "../../src/audit/row/event.ts";
import {
  consistencyProof,
  hashLeaf,
  inclusionProof,
  verifyConsistency,
  verifyInclusion,
} from "../../src/audit/log/merkle.ts";
import { rowLeaf } from "../../src/audit/log/leaf.ts";
import { checkCheckpoint } from "../../src/audit/proof/proof.ts";
import { noteKeys } from "../../src/audit/log/keys.ts";
import { SEAL_ROWS, Sealer, type SealStore } from "../../src/audit/seal/seal.ts";
import { systemClock } from "../../src/core/clock.ts";
import { SqlEventStore } from "../../src/store/events.ts";
import { migrate } from "../../src/store/migrate.ts";
import { MIGRATIONS } from "../../src/store/migrations/index.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { SqlSealStore } from "../../src/store/seals.ts";
import { random } from "../support/entries.ts";
import { makeDatabase, type PostgresServer, startPostgres } from "../support/postgres.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { openTestTrail, recordDecisions, type TestTrail } from "../support/trail.ts";
import { query, script } from "../support/sql.ts";

interface SealRow {
  readonly seq: string;
  readonly stream: number;
  readonly id: string;
  readonly leaf_hash: Uint8Array;
}

const sealRows = (store: TestStore): Promise<SealRow[]> =>
  query<SealRow>(
    store.database,
    "SELECT seq::text, stream, row_id::text AS id, leaf_hash FROM audit_seals s ORDER BY s.seq",
  );

describe.each(storeKinds())("sealing on $name", ({ open }) => {
  let store: TestStore;
  let trail: TestTrail;

  beforeAll(async () => {
    store = await open();
    trail = await openTestTrail(store.database);
  });
  afterAll(() => store.close());

  test("gives every committed row of both tables one place, without gaps, and signs over them", async () => {
    const sealer = trail.newSealer();
    expect(await sealer.sealAll()).toBe(0);
    const ids = await recordDecisions(store.database, "first", 20);
    const event = makeEvent({ kind: "test.happened", actor: "service" }, systemClock.now(), random);
    await new SqlEventStore(store.database.kysely).append(event);
    expect(await sealer.sealAll()).toBe(21);
    expect(await sealer.sealAll()).toBe(0);

    const rows = await sealRows(store);
    expect(rows.map(({ seq }) => Number(seq))).toEqual(rows.map((_, index) => index));
    expect(new Set(rows.filter(({ stream }) => stream === 1).map(({ id }) => id))).toEqual(new Set(ids));
    const told = rows.find(({ stream }) => stream === 2);
    expect(told?.id).toBe(event.row.eventId);
    // The layout of docs/audit.md: one byte for the table, then the row's hash.
    const leaf = hashLeaf(Buffer.concat([Buffer.of(2), event.hash]));
    expect(Buffer.from(told?.leaf_hash as Uint8Array)).toEqual(leaf);
    expect(rowLeaf("events", event.hash)).toEqual(leaf);

    const state = await trail.seals.state();
    const keys = noteKeys(trail.origin, await trail.keys());
    expect(checkCheckpoint(state.note as string, keys)).toMatchObject({ epoch: 1, size: 21 });
  });

  test("stores what every proof needs", async () => {
    for (const [name, count] of [
      ["more", 70],
      ["most", 300],
      ["last", 1],
    ] as const) {
      await recordDecisions(store.database, name, count);
      await trail.newSealer().sealAll();
    }
    const checkpoints = await trail.seals.checkpointsAfter({ epoch: 0, size: 0 }, 100);
    const last = checkpoints.at(-1);
    if (last === undefined) throw new Error("nothing is sealed");
    const read = trail.seals.nodes(1);
    const rows = await sealRows(store);
    expect(rows).toHaveLength(last.size);
    for (const index of [0, 1, 15, 16, 20, 21, 90, 255, 256, 390, 391]) {
      const leafHash = rows[index]?.leaf_hash as Uint8Array;
      const path = await inclusionProof(index, last.size, read);
      expect(verifyInclusion({ leafHash, index, size: last.size, root: last.root }, path), String(index)).toBe(true);
    }
    for (const first of checkpoints) {
      const proof = await consistencyProof(first.size, last.size, read);
      expect(verifyConsistency(first, last, proof), String(first.size)).toBe(true);
    }
    await expect(trail.seals.nodes(1)([{ level: 4, index: 1000 }])).rejects.toThrow("not stored");
  });

  test("by two sealers at once seals each row once", async () => {
    for (let round = 0; round < 4; round++) {
      await recordDecisions(store.database, `race-${round}`, 50);
      const sealers = [trail.newSealer(), trail.newSealer(), trail.newSealer()];
      const sealed = await Promise.all(sealers.map((sealer) => sealer.sealAll()));
      expect(sealed.reduce((sum, n) => sum + n, 0)).toBe(50);
    }
    const rows = await sealRows(store);
    expect(rows.map(({ seq }) => Number(seq))).toEqual(rows.map((_, index) => index));
    expect(await trail.seals.countUnsealed(0, 1000)).toBe(0);
  });

  test("reads no row of a backlog again for each seal of it", async () => {
    await recordDecisions(store.database, "backlog", SEAL_ROWS + 500);
    const begun: number[] = [];
    const watched = {
      observe: () => trail.seals.observe(),
      state: () => trail.seals.state(),
      seal: (work) =>
        trail.seals.seal((transaction) =>
          work({
            ...transaction,
            sealRows: (stretch) => {
              begun.push(stretch.since);
              return transaction.sealRows(stretch);
            },
          }),
        ),
    } satisfies SealStore;
    const sealer = new Sealer({ store: watched, origin: trail.origin, keys: trail.keys });
    expect(await sealer.sealAll()).toBe(SEAL_ROWS + 500);
    const [sealedLast] = await query<{ at: string }>(
      store.database,
      `SELECT (extract(epoch FROM d.inserted_at) * 1000000)::bigint::text AS at
       FROM audit_decisions d JOIN audit_seals s ON s.row_id = d.decision_id ORDER BY s.seq DESC OFFSET 500 LIMIT 1`,
    );
    expect(begun).toEqual([expect.any(Number), Number(sealedLast?.at)]);
    expect(await trail.seals.countUnsealed(0, 1000)).toBe(0);
  });

  test("takes up where another process left off, and counts what has no seal", async () => {
    await recordDecisions(store.database, "left", 3);
    expect(await trail.seals.countUnsealed(0, 1000)).toBe(3);
    expect(await trail.newSealer().sealAll()).toBe(3);
    expect(await trail.seals.countUnsealed(0, 1000)).toBe(0);
    // A million of them must not be counted one by one: the newest tell enough.
    await recordDecisions(store.database, "waiting", 5);
    for (const limit of [4, 5, 6]) expect(await trail.seals.countUnsealed(0, limit)).toBe(Math.min(limit, 5));
    await trail.newSealer().sealAll();
  });

  test.each(["audit_seals", "audit_nodes", "audit_checkpoints", "audit_epochs", "audit_log"])(
    "%s refuses changes",
    async (table) => {
      const column = { audit_seals: "seq", audit_nodes: "idx", audit_checkpoints: "size", audit_log: "log_id" }[table];
      for (const statement of [
        `UPDATE ${table} SET ${column ?? "epoch"} = ${column ?? "epoch"}`,
        `DELETE FROM ${table}`,
        `TRUNCATE ${table}`,
      ]) {
        await expect(query(store.database, statement), statement).rejects.toThrow(/append-only|permission denied/);
        await expect(query(store.owner, statement), statement).rejects.toThrow(/append-only/);
      }
    },
  );

  test("goes on from nothing but what the newest checkpoint signs", async () => {
    const state = await trail.seals.state();
    const forged = { ...state, peaks: state.peaks.map((peak, index) => (index === 0 ? Buffer.alloc(32) : peak)) };
    const { seals } = trail;
    const broken: SealStore = {
      state: async () => forged,
      observe: () => seals.observe(),
      seal: (work) => seals.seal((transaction) => work({ ...transaction, state: async () => forged })),
    };
    await recordDecisions(store.database, "forged", 1);
    const sealer = new Sealer({ store: broken, origin: trail.origin, keys: trail.keys });
    await expect(sealer.sealAll()).rejects.toThrow("its root is not that of the stored peaks");
    expect((await trail.seals.state()).size).toBe(state.size);
    await trail.newSealer().sealAll();
  });
});

describe.skipIf(inject("postgresUrl") === null || process.env["TEST_DATABASE_URL"] !== undefined)(
  "sealing on Postgres, where others write",
  () => {
    let server: PostgresServer;
    let store: TestStore;
    let trail: TestTrail;
    let other: pg.Client;

    beforeAll(async () => {
      server = (await startPostgres(["max_prepared_transactions=5"])) as PostgresServer;
      const { ownerUrl, serviceUrl, superUrl } = await makeDatabase(server.url);
      const loud = (error: Error): void => console.error(error.message);
      const owner = new PostgresDatabase(ownerUrl, { connections: 1, onError: loud });
      await migrate(owner, decodeURIComponent(new URL(serviceUrl).username));
      const database = new PostgresDatabase(serviceUrl, { connections: 4, onError: loud });
      store = { database, owner, serviceUrl, ownerUrl, superUrl, close: async () => undefined };
      trail = await openTestTrail(database);
      other = new pg.Client(superUrl);
      await other.connect();
    });
    afterAll(async () => {
      await other.end();
      await store.database.close();
      await store.owner.close();
      await server.stop();
    });

    /** A row that another transaction writes; its time is long past, as after a long pause. */
    const insertElsewhere = (key: string) =>
      other.query(`INSERT INTO audit_decisions SELECT gen_random_uuid(), recorded_at - interval '2 hours', source, agent_id,
        credential_id, tool, '${key}', decision, reason, message, rule_id, policy_version, request_digest, payload_digest,
        decided_at, linked_decision_id, review_id, grant_id, guard_journal_id, guard_sequence, guard_record_hash, trace_id,
        detail, hash FROM audit_decisions LIMIT 1`);

    test("a transaction that commits long after others are sealed is sealed, and noticed while it lasts", async () => {
      const sealer = trail.newSealer();
      await recordDecisions(store.database, "before", 10);
      await sealer.sealAll();
      await other.query("BEGIN");
      await insertElsewhere("late");
      await recordDecisions(store.database, "meanwhile", 10);
      expect(await sealer.sealAll()).toBe(10);
      await recordDecisions(store.database, "later", 10);
      expect(await sealer.sealAll()).toBe(10);
      expect(sealer.oldestWriter).toBeGreaterThan(0);
      await other.query("COMMIT");
      expect(await sealer.sealAll()).toBe(1);
      await sealer.sealAll();
      expect(sealer.oldestWriter).toBe(0);
    });

    test("a prepared transaction that survives a restart of the sealer is sealed when it commits", async () => {
      const before = trail.newSealer();
      await other.query("BEGIN");
      await insertElsewhere("prepared");
      await other.query("PREPARE TRANSACTION 'held'");
      await recordDecisions(store.database, "beside", 5);
      expect(await before.sealAll()).toBe(5);
      await recordDecisions(store.database, "after", 5);
      const reborn = trail.newSealer();
      expect(await reborn.sealAll()).toBe(5);
      await other.query("COMMIT PREPARED 'held'");
      // Not the process that saw it begin, nor the one that saw it held.
      expect(await trail.newSealer().sealAll()).toBe(1);
    });

    test("the rows of an older layout are sealed, and their months have partitions for seals", async () => {
      const { ownerUrl } = await makeDatabase(server.url);
      const owner = new PostgresDatabase(ownerUrl, { connections: 2, onError: () => undefined });
      const older = Object.entries(MIGRATIONS).filter(([name]) => name < "0007");
      await script(
        owner,
        [
          "CREATE TABLE schema_migrations (id int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());",
          ...older.map(
            ([name, sql]) =>
              `${sql}; INSERT INTO schema_migrations (id, name) VALUES (${Number(name.slice(0, 4))}, '${name.slice(5)}');`,
          ),
          "SELECT datacrawl_make_partition('audit_decisions', '2025-02-01', true);",
          "SELECT datacrawl_make_partitions();",
        ].join("\n"),
      );
      const event = makeEvent({ kind: "test.old", actor: "service" }, systemClock.now(), random);
      await new SqlEventStore(owner.kysely).append(event);
      await migrate(owner, null);
      expect(await query(owner, "SELECT to_regclass('audit_seals_y2025m02') IS NOT NULL AS made")).toEqual([
        { made: true },
      ]);
      const old = await openTestTrail(owner);
      expect(await old.newSealer().sealAll()).toBe(1);
      expect(await old.newSealer().sealAll()).toBe(0);
      expect(await new SqlSealStore(owner.kysely).countUnsealed(0, 10)).toBe(0);
      await owner.close();
    });
  },
);
