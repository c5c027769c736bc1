import { sql } from "kysely";
import { afterEach, beforeEach, describe, expect, inject, test } from "vitest";
import { makeEvent } from "../../src/audit/row/event.ts";
import { systemClock } from "../../src/core/clock.ts";
import { UsageError } from "../../src/core/fault.ts";
import { SqlEventStore } from "../../src/store/events.ts";
import { layoutProblem, migrate } from "../../src/store/migrate.ts";
import { MIGRATIONS } from "../../src/store/migrations/index.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { random } from "../support/entries.ts";
import { makeDatabase } from "../support/postgres.ts";
import { query, script } from "../support/sql.ts";

const NAMES = Object.keys(MIGRATIONS);

describe("the migrations", () => {
  test("are in the order of their names, in which Kysely runs them", () => {
    expect(NAMES).toEqual(NAMES.toSorted());
  });
});

describe.skipIf(inject("postgresUrl") === null)("migrating", () => {
  let owner: PostgresDatabase;
  let service: PostgresDatabase;
  let login: string;

  beforeEach(async () => {
    const { ownerUrl, serviceUrl } = await makeDatabase(inject("postgresUrl") as string);
    owner = new PostgresDatabase(ownerUrl, { connections: 3, onError: () => undefined });
    service = new PostgresDatabase(serviceUrl, { connections: 1, onError: () => undefined });
    login = decodeURIComponent(new URL(serviceUrl).username);
  });
  afterEach(async () => {
    await owner.close();
    await service.close();
  });

  /** As versions before Kysely did it, at the times given. */
  const migrateNumbered = async (names: readonly string[], secondOf: (index: number) => number): Promise<void> => {
    await script(
      owner,
      [
        "CREATE TABLE schema_migrations (id int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());",
        ...names.map((name, index) => {
          const values = `${Number(name.slice(0, 4))}, '${name.slice(5)}', '2026-11-01 00:00:00+00'::timestamptz + interval '${secondOf(index)} s'`;
          return `${MIGRATIONS[name]}; INSERT INTO schema_migrations (id, name, applied_at) VALUES (${values});`;
        }),
        "SELECT datacrawl_make_partitions();",
      ].join("\n"),
    );
  };
  const applied = async (): Promise<string[]> => {
    const { rows } = await sql<{ name: string }>`SELECT name FROM kysely_migration ORDER BY name`.execute(owner.kysely);
    return rows.map(({ name }) => name);
  };
  const tables = async (): Promise<number> => {
    const found = sql<{
      n: number;
    }>`SELECT count(*)::int AS n FROM pg_class WHERE relnamespace = 'public'::regnamespace`;
    return (await found.execute(owner.kysely)).rows[0]?.n as number;
  };

  test("an empty database runs each migration once, whoever else begins at that moment", async () => {
    const ran = await Promise.all([migrate(owner, login), migrate(owner, login), migrate(owner, login)]);
    expect(ran.toSorted((a, b) => b.length - a.length)).toEqual([NAMES, [], []]);
    expect(await layoutProblem(service)).toBeNull();
  });

  test("a numbered layout is taken over in place: only what it lacks is run", async () => {
    const older = NAMES.filter((name) => name < "0020");
    await migrateNumbered(older, () => 0);
    const event = makeEvent({ kind: "test.old", actor: "service" }, systemClock.now(), random);
    await new SqlEventStore(owner.kysely).append(event);
    expect(await layoutProblem(owner)).toContain("that of an older version: run `datacrawl migrate`");
    expect(await migrate(owner, login)).toEqual(NAMES.filter((name) => !older.includes(name)));
    expect(await applied()).toEqual(NAMES);
    expect(await layoutProblem(service)).toBeNull();
    const found = await service.kysely.selectFrom("audit_events").select("event_id").execute();
    expect(found).toEqual([{ event_id: event.row.eventId }]);
    expect(await migrate(owner, login)).toEqual([]);
  });

  test("a numbered layout that lacks one before its newest, and was made while the clock went back, is taken over too", async () => {
    // As of the versions that had 0015 before 0004, 0008 and 0009.
    const older = ["0001", "0002", "0003", "0005", "0006", "0007", "0015"].map(
      (number) => NAMES.find((name) => name.startsWith(number)) as string,
    );
    await migrateNumbered(
      older.toSorted((a, b) => Number(a.startsWith("0006")) - Number(b.startsWith("0006"))),
      (index) => -index,
    );
    expect(await migrate(owner, login)).toEqual(NAMES.filter((name) => !older.includes(name)));
    expect(await layoutProblem(service)).toBeNull();
  });

  test("a version that numbers layouts finds a newer one, with the service's login too", async () => {
    await migrate(owner, login);
    const [row] = await query<{ newest: number }>(service, "SELECT max(id) AS newest FROM schema_migrations");
    expect(row?.newest).toBeGreaterThan(19);
  });

  test("a newer layout is refused, and nothing is touched", async () => {
    await migrate(owner, login);
    await sql`INSERT INTO kysely_migration VALUES ('9999-tomorrow', '2030-01-01T00:00:00.000Z')`.execute(owner.kysely);
    await sql`DELETE FROM kysely_migration WHERE name = '0002-guards'`.execute(owner.kysely);
    const refusal = migrate(owner, login);
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow("a newer version of DataCrawl (9999-tomorrow)");
    expect(await layoutProblem(service)).toMatch(/\(9999-tomorrow\).*: run that version$/);
    expect(await applied()).not.toContain("0002-guards");
  });

  test("a numbered layout that is newer is refused, and nothing is touched", async () => {
    await migrateNumbered(NAMES.slice(0, 1), () => 0);
    await query(owner, "INSERT INTO schema_migrations (id, name) VALUES (77, 'foreign')");
    const before = await tables();
    await expect(migrate(owner, login)).rejects.toThrow("a newer version of DataCrawl (0077-foreign)");
    expect(await tables()).toBe(before);
  });

  test("a migration that fails leaves nothing of those before it, and its own error is the one that is thrown", async () => {
    await script(owner, "CREATE TABLE reviews (foreign_one int)");
    const before = await tables();
    await expect(migrate(owner, login)).rejects.toMatchObject({ message: 'relation "reviews" already exists' });
    expect(await tables()).toBe(before);
  });

  test("another program's tables of the same name in another schema are not taken for ours", async () => {
    await script(
      owner,
      "CREATE SCHEMA other; CREATE TABLE other.kysely_migration (id int); CREATE TABLE other.kysely_migration_lock (id int)",
    );
    expect(await migrate(owner, login)).toEqual(NAMES);
  });

  test("what a database lacks is named", async () => {
    expect(await layoutProblem(owner)).toContain("has no DataCrawl tables");
    await migrate(owner, login);
    await sql`DELETE FROM kysely_migration WHERE name = '0016-policy-bundles'`.execute(owner.kysely);
    expect(await layoutProblem(service)).toContain("lacks 0016-policy-bundles, which this version needs");
  });
});
