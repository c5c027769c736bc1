import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { makeEvent } from "../../src/audit/row/event.ts";
import { systemClock } from "../../src/core/clock.ts";
import { changeWithEvent, SqlEventStore } from "../../src/store/events.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { prepared, run, runScript, textOf } from "../../src/store/dialect/statements.ts";
import { random } from "../support/entries.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { script } from "../support/sql.ts";

describe.each(storeKinds())("statements through Kysely on $name", ({ name, open }) => {
  let store: TestStore;

  beforeAll(async () => {
    store = await open();
    await script(store.owner, "CREATE TABLE kept (n int PRIMARY KEY); GRANT ALL ON kept TO PUBLIC");
  });
  afterAll(() => store.close());
  beforeEach(() => script(store.owner, "DELETE FROM kept"));

  const insert = (n: number) => sql`INSERT INTO kept VALUES (${n}::int)`;
  const kept = async (): Promise<number[]> =>
    (await sql<{ n: number }>`SELECT n FROM kept ORDER BY n`.execute(store.database.kysely)).rows.map(({ n }) => n);

  test("a prepared statement gets its parameters by name, also those within another, and keeps what is the same each time", async () => {
    const statement = prepared((params: { a: number; deep: { b: string } }) => {
      return sql<object>`SELECT ${params.a}::int AS a, ${params.deep.b}::text AS b, ${"same"}::text AS c, ${params.a}::int AS d`;
    });
    for (const b of ["x'; --", 'y"\\'])
      expect(await statement.execute(store.database.kysely, { a: b.length, deep: { b } })).toEqual([
        { a: b.length, b, c: "same", d: b.length },
      ]);
  });

  test("a prepared statement is refused that takes parameters without their names", () => {
    const spread = () => prepared((params: { a: number }) => sql`SELECT ${{ ...params }.a}::int`);
    expect(spread).toThrow("a placeholder cannot list its members");
  });

  test.runIf(name === "Postgres")("a prepared statement is prepared on the server, and others are not", async () => {
    const statement = prepared((params: { n: number }) => sql<object>`SELECT ${params.n}::int AS prepared_here`);
    const names = await store.database.kysely.transaction().execute(async (transaction) => {
      await statement.execute(transaction, { n: 1 });
      await statement.execute(transaction, { n: 2 });
      await sql`SELECT ${1}::int AS not_prepared_here`.execute(transaction);
      const found = sql<{
        statement: string;
      }>`SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%_here'`;
      return (await found.execute(transaction)).rows.map(({ statement: text }) => text);
    });
    expect(names).toEqual(["SELECT $1::int AS prepared_here"]);
  });

  test("a transaction at another isolation level is refused, before it begins", async () => {
    const serializable = store.database.kysely.transaction().setIsolationLevel("serializable");
    await expect(serializable.execute((transaction) => insert(1).execute(transaction))).rejects.toThrow(
      "READ COMMITTED",
    );
    expect(await kept()).toEqual([]);
  });

  test("how many rows a statement changed is told", async () => {
    for (const n of [1, 2, 3]) await insert(n).execute(store.database.kysely);
    const { numAffectedRows } = await sql`DELETE FROM kept WHERE n > 1`.execute(store.database.kysely);
    expect(numAffectedRows).toBe(2n);
  });

  test("a script may be of several statements", async () => {
    await runScript(store.database.kysely, "INSERT INTO kept VALUES (1); INSERT INTO kept VALUES (2)");
    expect(await kept()).toEqual([1, 2]);
  });

  test("an event beside a change is recorded with it, once, and never without it", async () => {
    const event = makeEvent({ kind: "test.changed", actor: "service", subject: "x" }, systemClock.now(), random);
    const change = (n: number) =>
      changeWithEvent(
        store.database.kysely,
        event,
        () => sql<{ n: number }>`(INSERT INTO kept VALUES (${n}::int) ON CONFLICT DO NOTHING RETURNING n)`,
      );
    const recorded = () =>
      store.database.kysely.selectFrom("audit_events").selectAll().where("event_id", "=", event.row.eventId).execute();
    await insert(1).execute(store.database.kysely);
    expect(await change(1)).toEqual([]);
    expect(await recorded()).toEqual([]);
    expect(await change(2)).toEqual([{ n: 2 }]);
    expect(await recorded()).toMatchObject([
      { kind: "test.changed", subject: "x", decision_id: null, recorded_at: event.row.recordedAt },
    ]);
    // Its id is taken now, so neither is there.
    await expect(change(3)).rejects.toMatchObject({ sqlState: "23505" });
    await expect(new SqlEventStore(store.database.kysely).append(event)).rejects.toMatchObject({ sqlState: "23505" });
    expect(await kept()).toEqual([1, 2]);
  });

  test.runIf(name === "Postgres")(
    "a connection is kept after a failure that the server rolled back, and given up after a time limit",
    async () => {
      const database = new PostgresDatabase(store.serviceUrl as string, { connections: 1, onError: () => undefined });
      onTestFinished(() => database.close());
      const backend = async (): Promise<unknown> =>
        (await sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`.execute(database.kysely)).rows[0]?.pid;
      const before = await backend();
      expect(await backend()).toBe(before);
      await expect(sql`SELECT 1/0`.execute(database.kysely)).rejects.toMatchObject({ outcome: "rolled_back" });
      expect(await backend()).toBe(before);
      const slow = run(database.kysely, sql`SELECT pg_sleep(5)`, { timeoutMs: 50 });
      await expect(slow).rejects.toMatchObject({ outcome: "unknown", message: "Postgres did not answer within 50 ms" });
      expect(await backend()).not.toBe(before);
    },
  );
});

test("a query for COPY has its values as literals, and is refused with a parameter", () => {
  expect(textOf(sql`SELECT n FROM ${sql.table("kept")} WHERE n = ${sql.lit(5)}`)).toBe(
    'SELECT n FROM "kept" WHERE n = 5',
  );
  expect(() => textOf(sql`SELECT n FROM kept WHERE n = ${5}`)).toThrow(
    "this statement takes no parameters: use sql.lit",
  );
});
