import { statSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { MIGRATIONS } from "../../src/store/migrations/index.ts";
import { makeDatabase, type PostgresServer, startPostgres } from "../support/postgres.ts";
import { discard, type Env, runCli, startService, tempDir } from "../support/service.ts";

const server = inject("postgresUrl");

describe.skipIf(server === null)("starting on Postgres", () => {
  /** A database of its own with two logins, and keys; nothing has been migrated. */
  const makeEnv = async (url = server as string): Promise<{ env: Env; superUrl: string }> => {
    const { ownerUrl, serviceUrl, superUrl } = await makeDatabase(url);
    const keysDir = tempDir();
    expect(runCli(["keys", "init"], { DATACRAWL_KEYS_DIR: keysDir }).status).toBe(0);
    const urls = { DATABASE_URL: serviceUrl, DATABASE_OWNER_URL: ownerUrl };
    return { env: { ...urls, DATACRAWL_KEYS_DIR: keysDir, DATACRAWL_CHECKPOINT_DIR: tempDir() }, superUrl };
  };
  const query = async (url: string, text: string): Promise<Record<string, unknown>[]> => {
    const client = new pg.Client(url);
    await client.connect();
    const { rows } = await client.query(text);
    await client.end();
    return rows as Record<string, unknown>[];
  };
  /** `datacrawl serve` that is expected to end by itself. */
  const serveOnce = (env: Env): { status: number | null; stderr: string } => {
    const anywhere = { DATACRAWL_GRPC_ADDR: "127.0.0.1:0", DATACRAWL_CONNECT_ADDR: "127.0.0.1:0" };
    return runCli(["serve"], { DATACRAWL_DATA_DIR: tempDir(), ...anywhere, ...env });
  };
  const without = (env: Env, name: string): Env =>
    Object.fromEntries(Object.entries(env).filter(([key]) => key !== name));

  let env: Env;
  let superUrl: string;
  beforeAll(async () => {
    ({ env, superUrl } = await makeEnv());
  });

  test("several processes start at once on an empty database, which is migrated once", async () => {
    const services = await Promise.all([1, 2, 3].map(() => startService(env)));
    const applied = await query(superUrl, "SELECT name FROM kysely_migration ORDER BY name");
    expect(applied.map(({ name }) => name)).toEqual(Object.keys(MIGRATIONS));
    for (const service of services) expect(service.output().out).not.toContain("Warning");
    await Promise.all(services.map(discard));
  });

  test("the owner's login is needed once: a replica without it starts on what is there", {
    tags: ["full"],
  }, async () => {
    expect(runCli(["migrate"], env).status).toBe(0);
    const service = await startService(without(env, "DATABASE_OWNER_URL"));
    await discard(service);
  });

  test("the data directory is made if it is not there, for the service's user alone", { tags: ["full"] }, async () => {
    const dataDir = join(tempDir(), "not", "yet");
    const service = await startService({ ...env, DATACRAWL_DATA_DIR: dataDir });
    expect(runCli(["audit", "status"], { ...env, DATACRAWL_DATA_DIR: dataDir })).toMatchObject({ status: 0 });
    expect(statSync(dataDir).mode & 0o777).toBe(0o700);
    await discard(service);
  });

  test("a replica without keys, or with others, does not start", { tags: ["full"] }, () => {
    const missing = serveOnce({ ...env, DATACRAWL_KEYS_DIR: tempDir() });
    expect(missing).toMatchObject({ status: 1 });
    expect(missing.stderr).toMatch(/hmac\.key does not exist: run `datacrawl keys init` once/);
    const others = tempDir();
    runCli(["keys", "init"], { DATACRAWL_KEYS_DIR: others });
    const other = serveOnce({ ...env, DATACRAWL_KEYS_DIR: others });
    expect(other).toMatchObject({ status: 1 });
    expect(other.stderr).toContain("this replica's hmac key has the fingerprint");
    expect(other.stderr).toContain("DATACRAWL_KEYS_DIR");
  });

  test("keys are made once, and never again", { tags: ["full"] }, () => {
    const keysDir = env["DATACRAWL_KEYS_DIR"] as string;
    const again = runCli(["keys", "init", "--json"], { DATACRAWL_KEYS_DIR: keysDir });
    expect(JSON.parse(again.stdout)).toEqual({ directory: keysDir, made: [] });
  });

  test("without the owner's login an empty or an older database says what to run", { tags: ["full"] }, async () => {
    const fresh = await makeEnv();
    const service = without(fresh.env, "DATABASE_OWNER_URL");
    const empty = serveOnce(service);
    expect(empty).toMatchObject({ status: 1 });
    expect(empty.stderr).toContain(
      "the database has no DataCrawl tables: run `datacrawl migrate` with DATABASE_OWNER_URL",
    );

    const migrated = runCli(["migrate"], fresh.env);
    expect(migrated).toMatchObject({ status: 0, stderr: "" });
    await query(fresh.superUrl, "DELETE FROM kysely_migration WHERE name = '0016-policy-bundles'");
    const older = serveOnce(service);
    expect(older).toMatchObject({ status: 1 });
    expect(older.stderr).toContain(
      "the database's layout lacks 0016-policy-bundles, which this version needs: run `datacrawl migrate`",
    );
  });

  test("migrating names the migrations that it ran, and says when none was due", { tags: ["full"] }, async () => {
    const fresh = await makeEnv();
    const first = runCli(["migrate", "--json"], fresh.env);
    expect(JSON.parse(first.stdout)).toEqual({ migrations: Object.keys(MIGRATIONS) });
    await query(fresh.superUrl, "DROP TABLE schema_migrations; DELETE FROM kysely_migration WHERE name LIKE '0020%'");
    const second = runCli(["migrate"], fresh.env);
    expect(second.stdout).toBe("Ran the migration 0020-numbered-layouts.\nThe database is up to date.\n");
    expect(runCli(["migrate"], fresh.env).stdout).toBe("The database is up to date: no migration was due.\n");
    expect(JSON.parse(runCli(["migrate", "--json"], fresh.env).stdout)).toEqual({ migrations: [] });
  });

  test("migrating with the owner's login alone says that nobody was granted anything", { tags: ["full"] }, async () => {
    const fresh = await makeEnv();
    const { status, stderr } = runCli(["migrate"], without(fresh.env, "DATABASE_URL"));
    expect(status).toBe(0);
    expect(stderr).toContain("DATABASE_URL is not set, so no service login was granted rights");
    expect(runCli(["migrate"], fresh.env)).toMatchObject({ status: 0, stderr: "" });
    await discard(await startService(without(fresh.env, "DATABASE_OWNER_URL")));
  });

  test("one login for both works, and its weakness is said", { tags: ["full"] }, async () => {
    const fresh = await makeEnv();
    const one = {
      ...without(fresh.env, "DATABASE_OWNER_URL"),
      DATABASE_URL: fresh.env["DATABASE_OWNER_URL"] as string,
    };
    const service = await startService(one);
    // The service can be ready before what it printed has come through the pipe.
    await expect.poll(() => service.output().out).toContain("Warning   DATABASE_URL's login owns the audit tables");
    await discard(service);
  });

  test("a newer version's database is left alone", { tags: ["full"] }, async () => {
    const fresh = await makeEnv();
    runCli(["migrate"], fresh.env);
    await query(
      fresh.superUrl,
      "INSERT INTO kysely_migration (name, timestamp) VALUES ('9999-tomorrow', '2026-01-01T00:00:00.000Z')",
    );
    const newer =
      "the database was migrated by a newer version of DataCrawl (9999-tomorrow), and this version refuses to touch it";
    for (const one of [fresh.env, without(fresh.env, "DATABASE_OWNER_URL")]) {
      const { status, stderr } = serveOnce(one);
      expect(status).toBe(1);
      expect(stderr).toContain(newer);
    }
    expect(runCli(["migrate"], fresh.env)).toMatchObject({ status: 1, stderr: expect.stringContaining(newer) });
  });

  test("a database that nobody answers for is an error without its password", { tags: ["full"] }, () => {
    const { status, stderr } = serveOnce({ ...env, DATABASE_URL: "postgres://service:hunter2@127.0.0.1:1/x" });
    expect(status).toBe(1);
    expect(stderr).toContain("Postgres (DATABASE_URL) is not usable");
    expect(stderr).not.toContain("hunter2");
  });

  describe.skipIf(process.env["TEST_DATABASE_URL"] !== undefined)("that would lose what it committed", () => {
    let unsafe: PostgresServer;

    beforeAll(async () => {
      unsafe = (await startPostgres(["fsync=off", "full_page_writes=off", "synchronous_commit=off"])) as PostgresServer;
    });
    afterAll(async () => {
      await unsafe.stop();
    });

    test("is refused, each setting by name with what to do", async () => {
      const { status, stderr } = serveOnce((await makeEnv(unsafe.url)).env);
      expect(status).toBe(1);
      for (const name of ["fsync", "full_page_writes", "synchronous_commit"]) {
        expect(stderr).toContain(
          `Postgres has ${name} = off, so a crash loses decisions that were answered: set ${name} = on`,
        );
      }
    });
  });
});

test("an embedded database under other keys is refused, and the command ends", { tags: ["full"] }, () => {
  const env = { DATACRAWL_DATA_DIR: tempDir() };
  expect(runCli(["agent", "list"], env).status).toBe(0);
  // Other keys than the database knows.
  const other = tempDir();
  runCli(["keys", "init"], { DATACRAWL_KEYS_DIR: other });
  const { status, stderr } = runCli(["agent", "list"], { ...env, DATACRAWL_KEYS_DIR: other });
  expect(status).toBe(1);
  expect(stderr).toContain("this replica's hmac key has the fingerprint");
});
