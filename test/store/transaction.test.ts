import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { SqlError } from "../../src/store/dialect/sql-error.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { openPostgres, storeKinds, type TestStore } from "../support/stores.ts";
import { query } from "../support/sql.ts";

describe.each(storeKinds())("a transaction on $name", ({ open }) => {
  let store: TestStore;

  beforeAll(async () => {
    store = await open();
    await query(store.owner, "CREATE TABLE kept (n int PRIMARY KEY)");
    await query(store.owner, "GRANT ALL ON kept TO PUBLIC");
  });
  afterAll(() => store.close());
  beforeEach(async () => void (await query(store.owner, "DELETE FROM kept")));

  const kept = async (): Promise<number[]> =>
    (await query<{ n: number }>(store.database, "SELECT n FROM kept ORDER BY n")).map(({ n }) => n);

  test("commits all of it, and gives what its work gives", async () => {
    const seen = await store.database.kysely.transaction().execute(async (transaction) => {
      await query(transaction, "INSERT INTO kept VALUES ($1::int)", [1]);
      await query(transaction, "INSERT INTO kept VALUES ($1::int)", [2], { name: "keep" });
      return await query<{ n: number }>(transaction, "SELECT count(*)::int AS n FROM kept");
    });
    expect(seen).toEqual([{ n: 2 }]);
    expect(await kept()).toEqual([1, 2]);
  });

  test("leaves nothing if its work rejects, or a statement fails", async () => {
    const failing = store.database.kysely.transaction().execute(async (transaction) => {
      await query(transaction, "INSERT INTO kept VALUES (1)");
      throw new Error("enough");
    });
    await expect(failing).rejects.toThrow("enough");
    const refused = store.database.kysely.transaction().execute(async (transaction) => {
      await query(transaction, "INSERT INTO kept VALUES (1)");
      await query(transaction, "INSERT INTO kept VALUES (1)");
    });
    await expect(refused).rejects.toMatchObject({ sqlState: "23505", outcome: "rolled_back" });
    expect(await kept()).toEqual([]);
  });

  test("does not call committed what a swallowed failure rolled back", async () => {
    const swallowing = store.database.kysely.transaction().execute(async (transaction) => {
      await query(transaction, "INSERT INTO kept VALUES (1)");
      await query(transaction, "SELECT 1/0").catch(() => undefined);
    });
    await expect(swallowing).rejects.toThrow(SqlError);
    expect(await kept()).toEqual([]);
  });

  test("has no other's statements in it, however many there are at once", async () => {
    const [inside, outside] = [
      [1, 2, 3, 4],
      [11, 12, 13, 14],
    ] as const;
    const failing = inside.map(async (n) => {
      const rolledBack = store.database.kysely.transaction().execute(async (transaction) => {
        await query(transaction, `INSERT INTO kept VALUES (${n})`);
        await query(transaction, "SELECT pg_sleep(0.02)");
        throw new Error("rolled back");
      });
      await expect(rolledBack).rejects.toThrow("rolled back");
    });
    const single = outside.map((n) => query(store.database, `INSERT INTO kept VALUES (${n})`));
    const whole = store.database.kysely
      .transaction()
      .execute((transaction) => query(transaction, "INSERT INTO kept VALUES (21)"));
    await Promise.all([...failing, ...single, whole]);
    expect(await kept()).toEqual([...outside, 21]);
  });
});

describe.skipIf(inject("postgresUrl") === null)("a transaction on Postgres, among others", () => {
  let store: TestStore;

  beforeAll(async () => {
    store = await openPostgres(inject("postgresUrl") as string);
    await query(store.owner, "CREATE TABLE kept (n int PRIMARY KEY)");
    await query(store.owner, "GRANT ALL ON kept TO PUBLIC");
  });
  afterAll(() => store.close());
  beforeEach(async () => void (await query(store.owner, "DELETE FROM kept")));

  const count = async (db: Parameters<typeof query>[0]): Promise<number | undefined> =>
    (await query<{ n: number }>(db, "SELECT count(*)::int AS n FROM kept"))[0]?.n;

  test("sees before each statement what they have committed, whatever the server's default", async () => {
    const url = new URL(store.serviceUrl as string);
    await query(
      store.owner,
      `ALTER DATABASE ${url.pathname.slice(1)} SET default_transaction_isolation = 'serializable'`,
    );
    await using stack = new AsyncDisposableStack();
    const fresh = new PostgresDatabase(url.href, { connections: 1, onError: () => undefined });
    stack.defer(() => fresh.close());
    expect(await query(fresh, "SHOW default_transaction_isolation")).toEqual([
      { default_transaction_isolation: "serializable" },
    ]);
    const seen = await fresh.kysely.transaction().execute(async (transaction) => {
      const before = await count(transaction);
      await query(store.owner, "INSERT INTO kept VALUES (1)");
      return [before, await count(transaction)];
    });
    expect(seen).toEqual([0, 1]);
  });

  test("ends with its locks if its process is paused", { tags: ["full"], timeout: 30_000 }, async () => {
    const locked = Promise.withResolvers<void>();
    const waited = Promise.withResolvers<void>();
    const paused = store.database.kysely.transaction().execute(async (transaction) => {
      await query(transaction, "SELECT pg_advisory_xact_lock(77)");
      locked.resolve();
      await waited.promise;
      await query(transaction, "INSERT INTO kept VALUES (1)");
    });
    paused.catch(() => undefined);
    await locked.promise;
    await store.database.kysely
      .transaction()
      .execute((transaction) => query(transaction, "SELECT pg_advisory_xact_lock(77)", [], { timeoutMs: 20_000 }));
    waited.resolve();
    await expect(paused).rejects.toThrow(SqlError);
    expect(await count(store.owner)).toBe(0);
  });
});
