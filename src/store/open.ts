import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import { sql } from "kysely";
import type { DataConfig } from "../config.ts";
import { messageOf, UsageError } from "../core/fault.ts";
import { type FileLock, tryLock } from "../core/file-lock.ts";
import { initKeys, loadKeys, type ServiceKeys } from "../keys/service-keys.ts";
import type { Database } from "./dialect/database.ts";
import { SqlError } from "./dialect/sql-error.ts";
import { EmbeddedDatabase } from "./dialect/embedded.ts";
import { registerKeys } from "./key-register.ts";
import { layoutProblem, makePartitions, migrate } from "./migrate.ts";
import { PostgresDatabase } from "./dialect/postgres.ts";

/** A database that is migrated, safe to record in, and known to share our keys. */
export interface Store {
  readonly kind: "embedded" | "postgres";
  readonly database: Database;
  /** For operators' reads, which may take long: in Postgres few connections of their own, which cannot write. */
  readonly reads: Database;
  readonly keys: ServiceKeys;
  /** The migrations that opening it ran, in their order. */
  readonly migrations: readonly string[];
  /** What this store promises less than the full set-up, for the operator to read; empty if nothing. */
  readonly warnings: readonly string[];
  /** Makes the partitions that are due; does nothing where the owner's login is not known. */
  makePartitions(): Promise<void>;
  close(): Promise<void>;
}

/** Enough for two batches in flight beside lookups, small enough for many replicas on one Postgres. */
const CONNECTIONS = 8;
/** Enough for a dashboard and a command at once. */
const READ_CONNECTIONS = 2;

/**
 * Opens the store that `config` names.
 *
 * @throws UsageError if it is not to be had, in words for the operator
 */
export async function openStore(config: DataConfig, onError: (error: Error) => void): Promise<Store> {
  return config.databaseUrl === null
    ? await openEmbedded(config, onError)
    : await openPostgres(config, config.databaseUrl, onError);
}

async function openEmbedded(config: DataConfig, onError: (error: Error) => void): Promise<Store> {
  makeDataDir(config.dataDir);
  const lock = tryLock(join(config.dataDir, "lock"));
  if (lock === null) {
    throw new UsageError([
      `the data directory ${config.dataDir} is in use by another process: stop it, or set DATACRAWL_DATA_DIR to another directory`,
    ]);
  }
  try {
    return await openLocked(config, lock, onError);
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * Also with Postgres, for the admin socket.
 *
 * @throws UsageError if it is not there afterwards, or not for this user to write to
 */
export function makeDataDir(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    accessSync(dir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new UsageError([
      `the data directory ${dir} cannot be used (${messageOf(error)}): let this user write to it, or set DATACRAWL_DATA_DIR to another directory`,
    ]);
  }
}

async function openLocked(config: DataConfig, lock: FileLock, onError: (error: Error) => void): Promise<Store> {
  const database = await EmbeddedDatabase.open(join(config.dataDir, "db"), onError);
  try {
    const migrations = await migrate(database, null);
    await initKeys(config.keysDir);
    const keys = await loadKeys(config.keysDir);
    await registerKeys(database.kysely, keys);
    return {
      kind: "embedded",
      database,
      reads: database,
      keys,
      migrations,
      warnings: [NOT_DURABLE],
      makePartitions: () => makePartitions(database),
      close: async () => {
        await database.close();
        lock.release();
      },
    };
  } catch (error) {
    // Its thread would keep the process alive.
    await database.close();
    throw error;
  }
}

async function openPostgres(config: DataConfig, url: string, onError: (error: Error) => void): Promise<Store> {
  // Before anything else: a replica without the keys must not touch the database.
  const keys = await loadKeys(config.keysDir);
  const database = new PostgresDatabase(url, { connections: CONNECTIONS, onError });
  try {
    const mayMigrate = await mayOwnTables(database);
    const owner = config.databaseOwnerUrl ?? (mayMigrate ? url : null);
    const migrations = owner === null ? [] : await migrateAs(owner, url, onError);
    const problems = await unsafeSettings(database);
    const layout = await layoutProblem(database);
    if (layout !== null) problems.push(layout);
    if (problems.length > 0) throw new UsageError(problems);
    await registerKeys(database.kysely, keys);
    const reads = new PostgresDatabase(url, { connections: READ_CONNECTIONS, onError, readOnly: true });
    return {
      kind: "postgres",
      database,
      reads,
      keys,
      migrations,
      warnings: [
        ...((await mayOwnTables(database)) ? [ONE_LOGIN] : []),
        ...(config.checkpointDir === null ? [NOT_PUBLISHED] : []),
      ],
      makePartitions: async () => (owner === null ? undefined : await asOwner(owner, onError, makePartitions)),
      close: async () => {
        await reads.close();
        await database.close();
      },
    };
  } catch (error) {
    await database.close();
    if (error instanceof SqlError) throw new UsageError([`Postgres (DATABASE_URL) is not usable: ${error.message}`]);
    throw error;
  }
}

/**
 * Migrates with the owner's login, which is held no longer than that takes.
 *
 * @returns the names of the migrations that it ran
 */
export async function migrateAs(
  ownerUrl: string,
  serviceUrl: string | null,
  onError: (error: Error) => void,
): Promise<string[]> {
  const login = serviceUrl === null ? null : userOf(serviceUrl);
  try {
    return await asOwner(ownerUrl, onError, (owner) => migrate(owner, login === userOf(ownerUrl) ? null : login));
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    throw new UsageError([`the migration with DATABASE_OWNER_URL failed: ${error.message}`]);
  }
}

/**
 * Runs `work` as the tables' owner; on the embedded database, which knows no other login, as its only user.
 *
 * @throws UsageError if the owner's login is not known
 */
export async function withOwner<Result>(
  config: DataConfig,
  onError: (error: Error) => void,
  work: (owner: Database) => Promise<Result>,
): Promise<Result> {
  if (config.databaseOwnerUrl !== null) return await asOwner(config.databaseOwnerUrl, onError, work);
  if (config.databaseUrl !== null) throw new UsageError(["this needs the tables' owner: set DATABASE_OWNER_URL"]);
  const store = await openStore(config, onError);
  try {
    return await work(store.database);
  } finally {
    await store.close();
  }
}

async function asOwner<Result>(
  url: string,
  onError: (error: Error) => void,
  work: (owner: Database) => Promise<Result>,
): Promise<Result> {
  const owner = new PostgresDatabase(url, { connections: 1, onError });
  try {
    return await work(owner);
  } finally {
    await owner.close();
  }
}

/** Settings under which "committed" would not mean durable. */
async function unsafeSettings(database: Database): Promise<string[]> {
  const { rows } = await sql<Record<string, string>>`
    SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
      current_setting('synchronous_commit') AS synchronous_commit, current_setting('server_version_num') AS version`.execute(
    database.kysely,
  );
  const [row] = rows;
  const unsafe = ["fsync", "full_page_writes", "synchronous_commit"].filter((name) => row?.[name] === "off");
  const problems = unsafe.map(
    (name) => `Postgres has ${name} = off, so a crash loses decisions that were answered: set ${name} = on`,
  );
  if (Number(row?.["version"]) < 150_000)
    problems.push(`Postgres is version ${row?.["version"]}: 15 or newer is needed`);
  return problems;
}

/** Whether this login owns the tables, or would if they were made now. */
async function mayOwnTables(database: Database): Promise<boolean> {
  const { rows } = await sql<{ may: boolean }>`
    SELECT coalesce(
      (SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('audit_decisions')),
      has_schema_privilege('public', 'CREATE')) AS may`.execute(database.kysely);
  return rows[0]?.may === true;
}

const NOT_DURABLE =
  "the embedded database does not fsync (a killed process loses nothing, a power cut may), has no separate logins, and " +
  "serves one process: set DATABASE_URL for production";

const ONE_LOGIN =
  "DATABASE_URL's login owns the audit tables, so an attacker who takes over the service can disable their triggers: " +
  "use two logins (docs/operations.md)";

const NOT_PUBLISHED =
  "checkpoints of the audit trail are kept in the database alone, so a database that is rolled back goes unnoticed: set " +
  "DATACRAWL_CHECKPOINT_DIR to a directory that all replicas share (docs/audit.md)";

function userOf(url: string): string {
  return decodeURIComponent(new URL(url).username);
}
