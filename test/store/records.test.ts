import fc from "fast-check";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hashDecision } from "../../src/audit/row/hash.ts";
import { PoisonedBatch } from "../../src/audit/write/group-writer.ts";
import { FIRST } from "../../src/idempotency/ledger.ts";
import { SqlDecisionReader } from "../../src/store/decisions.ts";
import { migrate } from "../../src/store/migrate.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { entryFor } from "../support/entries.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { query } from "../support/sql.ts";

describe.each(storeKinds())("recording on $name", ({ name, open }) => {
  let store: TestStore;
  let records: SqlRecordStore;

  beforeAll(async () => {
    store = await open();
    records = new SqlRecordStore(store.database.kysely);
  });
  afterAll(() => store.close());

  const countRows = async (key: string): Promise<number> => {
    const text = "SELECT count(*)::int AS n FROM audit_decisions WHERE idempotency_key = $1";
    return (await query<{ n: number }>(store.database, text, [key]))[0]?.n ?? -1;
  };

  test("the first to claim a key is written, and the second is not", async () => {
    const [first, second] = [entryFor("one"), entryFor("one")];
    expect([...(await records.recordBatch([first])).keys()]).toEqual([first.row.decisionId]);
    expect((await records.recordBatch([second])).size).toBe(0);
    expect(await countRows("one")).toBe(1);
    expect((await records.findClaim("demo", "one", FIRST))?.decisionId).toBe(first.row.decisionId);
  });

  test("a loser does not keep its neighbours from being written", async () => {
    await records.recordBatch([entryFor("taken")]);
    const [loser, free] = [entryFor("taken"), entryFor("free")];
    expect([...(await records.recordBatch([loser, free])).keys()]).toEqual([free.row.decisionId]);
  });

  test("variants of a key are claims of their own, and a row without a claim is always written", async () => {
    const variant = Buffer.alloc(32, 9);
    expect((await records.recordBatch([entryFor("v"), entryFor("v", {}, variant)])).size).toBe(2);
    expect((await records.recordBatch([entryFor("v", {}, variant)])).size).toBe(0);
    expect((await records.recordBatch([entryFor("v", {}, null)])).size).toBe(1);
    expect(await countRows("v")).toBe(3);
  });

  test("an expired claim is won by the next, and its expiry is a day away by the store's clock", async () => {
    await records.recordBatch([entryFor("old")]);
    await query(store.database, "UPDATE idempotency_claims SET expires_at = now() WHERE idempotency_key = 'old'");
    expect(await records.findClaim("demo", "old", FIRST)).toBeNull();
    const next = entryFor("old");
    const written = (await records.recordBatch([next])).get(next.row.decisionId);
    const day = 24 * 3600 * 1e6;
    expect(Math.abs((written?.claimExpiresAt ?? 0) - next.row.recordedAt - day)).toBeLessThan(60e6);
    expect(await countRows("old")).toBe(2);
  });

  test("what is read back is what was written, and hashes the same", async () => {
    const text = fc.string({ unit: "binary", maxLength: 40 }).filter((s) => s.isWellFormed() && !s.includes("\0"));
    const reader = new SqlDecisionReader(store.database.kysely);
    let n = 0;
    await fc.assert(
      fc.asyncProperty(
        text,
        text,
        fc.option(text, { nil: null }),
        fc.option(fc.uint8Array({ maxLength: 40 }), { nil: null }),
        async (tool, message, ruleId, digest) => {
          const entry = entryFor(`r${n++}`, {
            tool,
            message,
            ruleId,
            payloadDigest: digest,
            detail: ruleId,
            guardSequence: n,
          });
          await records.recordBatch([entry]);
          const stored = await reader.find(entry.row.decisionId);
          expect(Buffer.from(stored?.storedHash as Uint8Array)).toEqual(hashDecision(entry.row));
          expect(hashDecision(stored?.row as typeof entry.row)).toEqual(hashDecision(entry.row));
          expect(stored?.payload?.canonical).toBe(entry.payload?.canonical);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("a poisoned row fails its batch as such, and nothing of the batch is written", async () => {
    const poisoned = entryFor("poisoned", { message: "NUL \0 is refused by Postgres" });
    await expect(records.recordBatch([entryFor("innocent"), poisoned])).rejects.toThrow(PoisonedBatch);
    expect(await countRows("innocent")).toBe(0);
  });

  test("a decision is found again by its id, with what it is about, by its own agent alone and while its claim lasts", async () => {
    const entry = entryFor("watched");
    const { decisionId } = entry.row;
    await records.recordBatch([entry]);
    expect(await records.findClaimOf("demo", decisionId)).toMatchObject({
      decisionId,
      reason: "RULE_ALLOWED",
      tool: "stripe.refund",
      idempotencyKey: "watched",
    });
    expect(await records.findClaimOf("another", decisionId)).toBeNull();
    expect(await records.findClaimOf("demo", entryFor("unknown").row.decisionId)).toBeNull();
    await query(store.database, "UPDATE idempotency_claims SET expires_at = now() WHERE idempotency_key = 'watched'");
    expect(await records.findClaimOf("demo", decisionId)).toBeNull();
  });

  test("a claim is found by its own agent, key and variant alone", async () => {
    const variant = Buffer.alloc(32, 7);
    await records.recordBatch([entryFor("mine", {}, variant)]);
    expect(await records.findClaim("demo", "mine", variant)).not.toBeNull();
    expect(await records.findClaim("another", "mine", variant)).toBeNull();
    expect(await records.findClaim("demo", "theirs", variant)).toBeNull();
    expect(await records.findClaim("demo", "mine", FIRST)).toBeNull();
  });

  test("expired claims are purged, others stay", async () => {
    await records.recordBatch([entryFor("gone"), entryFor("stays")]);
    await query(
      store.database,
      "UPDATE idempotency_claims SET expires_at = now() - interval '1 hour' WHERE idempotency_key = 'gone'",
    );
    expect(await records.purgeExpiredClaims()).toBe(1);
    expect(await records.findClaim("demo", "stays", FIRST)).not.toBeNull();
  });

  test.each(["UPDATE audit_decisions SET message = 'x'", "DELETE FROM audit_decisions", "TRUNCATE audit_decisions"])(
    "the trail refuses: %s",
    async (statement) => {
      await records.recordBatch([entryFor(`guarded ${statement}`)]);
      await expect(query(store.database, statement)).rejects.toThrow(/append-only|permission denied/);
      await expect(query(store.owner, statement)).rejects.toThrow(/append-only/);
    },
  );

  test("migrating again, and several at once, changes nothing", async () => {
    await Promise.all([migrate(store.owner, null), migrate(store.owner, null)]);
    expect(await countRows("one")).toBe(1);
  });

  // The embedded store has one session, and so no logins to keep apart.
  if (name !== "Postgres") return;

  describe("with two logins", () => {
    const partitions = async (client: pg.Client): Promise<string[]> => {
      const found = await client.query(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit_decisions'::regclass",
      );
      return found.rows.map((row) => (row as { name: string }).name);
    };

    test("the service's login can neither change a partition nor become its owner", async () => {
      const client = new pg.Client(store.serviceUrl as string);
      await client.connect();
      for (const partition of await partitions(client)) {
        for (const statement of [
          `UPDATE ${partition} SET message = ''`,
          `DELETE FROM ${partition}`,
          `TRUNCATE ${partition}`,
          `DROP TABLE ${partition}`,
        ]) {
          await expect(client.query(statement), statement).rejects.toThrow(/permission denied|must be owner/);
        }
      }
      await expect(client.query("SET session_replication_role = replica")).rejects.toThrow(/permission denied/);
      await client.end();
    });

    test("not even a superuser who mutes ordinary triggers changes a row by accident", async () => {
      const client = new pg.Client(store.superUrl as string);
      await client.connect();
      await client.query("SET session_replication_role = replica");
      for (const partition of [...(await partitions(client)), "audit_decisions"]) {
        await expect(client.query(`TRUNCATE ${partition}`), partition).rejects.toThrow(/append-only/);
      }
      await expect(client.query("DELETE FROM audit_decisions")).rejects.toThrow(/append-only/);
      await client.end();
    });

    test("overlapping batches from 16 clients neither deadlock nor write a key twice", async () => {
      const clients = Array.from(
        { length: 16 },
        () => new PostgresDatabase(store.serviceUrl as string, { connections: 1, onError: () => undefined }),
      );
      const keys = Array.from({ length: 40 }, (_, index) => `race${index}`);
      const shuffled = (seed: number): string[] => keys.toSorted((a, b) => hashOf(a, seed) - hashOf(b, seed));
      const results = await Promise.all(
        clients.map((client, seed) =>
          new SqlRecordStore(client.kysely).recordBatch(shuffled(seed).map((key) => entryFor(key))),
        ),
      );
      expect(results.reduce((sum, written) => sum + written.size, 0)).toBe(keys.length);
      for (const key of keys) expect(await countRows(key)).toBe(1);
      await Promise.all(clients.map((client) => client.close()));
    });
  });
});

function hashOf(text: string, seed: number): number {
  return [...text].reduce((hash, char) => (hash * 31 + char.charCodeAt(0) * (seed + 7)) % 1_000_003, seed);
}
