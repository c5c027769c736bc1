import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { SqlGuardRecords } from "../../src/store/guard-records.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { entryFor, guardEntryFor } from "../support/entries.ts";
import { waitUntil } from "../support/net.ts";
import { openPostgres, type TestStore } from "../support/stores.ts";

const CLAIM = `INSERT INTO idempotency_claims VALUES ('demo', $1, '', '', gen_random_uuid(), now(), now() + interval '1 day')`;
const KNOWN_RECORD = `INSERT INTO guard_records VALUES ('demo', $1, gen_random_uuid(), 1, gen_random_uuid(), now())`;

/**
 * Two batches that take the same locks in two orders can deadlock. They do not, since each takes them in the order of their keys,
 * whatever the order of its entries: a batch that waits for its first key holds none of the others.
 */
describe.skipIf(inject("postgresUrl") === null)("a batch that waits for the first of its keys", () => {
  let store: TestStore;
  let database: PostgresDatabase;
  const clients: pg.Client[] = [];

  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client(store.superUrl as string);
    await client.connect();
    clients.push(client);
    return client;
  };
  /** Whether the batch waits for a lock. The name of the connection tells, since a statement's text is cut off. */
  const isWaiting = async (client: pg.Client): Promise<boolean> => {
    const { rows } = await client.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'datacrawl' AND wait_event_type = 'Lock'`,
    );
    return rows.length > 0;
  };

  beforeAll(async () => {
    store = await openPostgres(inject("postgresUrl") as string);
    database = new PostgresDatabase(store.serviceUrl as string, { connections: 1, onError: () => undefined });
  });
  afterAll(async () => {
    for (const client of clients) await client.end();
    await database.close();
    await store.close();
  });

  test.each<[string, string, (keys: readonly string[]) => Promise<unknown>]>([
    [
      "of decisions",
      CLAIM,
      (keys) => new SqlRecordStore(database.kysely).recordBatch(keys.map((key) => entryFor(key))),
    ],
    [
      "of guards' records",
      KNOWN_RECORD,
      (keys) =>
        new SqlGuardRecords(database.kysely).recordGuardBatch(keys.map((key) => guardEntryFor(Buffer.from(key)))),
    ],
  ])("%s holds none of the others", async (_, insert, record) => {
    const [holder, observer] = [await connect(), await connect()];
    await holder.query("BEGIN");
    await holder.query(insert, ["a"]);
    const recorded = Promise.allSettled([record(["z", "m", "a", "q"])]);
    await waitUntil(() => isWaiting(observer), 20_000, "the batch does not wait");
    await observer.query("BEGIN");
    await observer.query("SET LOCAL lock_timeout = '1s'");
    for (const key of ["q", "m", "z"])
      await expect(observer.query(insert, [key]), `the lock on ${key}`).resolves.toMatchObject({ rowCount: 1 });
    await observer.query("ROLLBACK");
    await holder.query("ROLLBACK");
    await recorded;
  });

  test("is not held up by a purge of expired claims, nor the purge by it", async () => {
    const [holder, observer] = [await connect(), await connect()];
    const records = new SqlRecordStore(database.kysely);
    await records.recordBatch(["expired-1", "expired-2"].map((key) => entryFor(key)));
    await observer.query(
      "UPDATE idempotency_claims SET expires_at = now() - interval '1 hour' WHERE idempotency_key LIKE 'expired%'",
    );
    await holder.query("BEGIN");
    await holder.query("SELECT FROM idempotency_claims WHERE idempotency_key = 'expired-1' FOR UPDATE");
    expect(await records.purgeExpiredClaims()).toBe(1);
    await holder.query("ROLLBACK");
    expect(await records.purgeExpiredClaims()).toBe(1);
  });
});
