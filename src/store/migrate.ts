import { type Kysely, type RawBuilder, sql } from "kysely";
import { type MigrationProvider, Migrator } from "kysely/migration";
import { UsageError } from "../core/fault.ts";
import { type Database, lockLayout } from "./dialect/database.ts";
import { MIGRATIONS } from "./migrations/index.ts";
import type { Schema } from "./schema.ts";
import { runScript, textOf } from "./dialect/statements.ts";

/** What the service's login may do, table by table. On the trail itself it may add and read, and no more. */
const SERVICE_GRANTS: Readonly<Record<string, string>> = {
  agents: "SELECT, INSERT, UPDATE",
  agent_keys: "SELECT, INSERT, UPDATE",
  directory_version: "SELECT, UPDATE",
  service_keys: "SELECT, INSERT",
  idempotency_claims: "SELECT, INSERT, UPDATE, DELETE",
  audit_decisions: "SELECT, INSERT",
  audit_payloads: "SELECT, INSERT",
  audit_events: "SELECT, INSERT",
  audit_log: "SELECT",
  audit_epochs: "SELECT, INSERT",
  audit_seals: "SELECT, INSERT",
  audit_nodes: "SELECT, INSERT",
  audit_checkpoints: "SELECT, INSERT",
  audit_runs: "SELECT, INSERT, UPDATE",
  audit_retired: "SELECT",
  guard_records: "SELECT, INSERT",
  circuit_orders: "SELECT, INSERT",
  circuit_commands: "SELECT, INSERT",
  policy_bundles: "SELECT, INSERT",
  guard_circuits: "SELECT, INSERT, UPDATE, DELETE",
  operators: "SELECT, INSERT, UPDATE",
  operator_sessions: "SELECT, INSERT, UPDATE, DELETE",
  webhook_messages: "SELECT, INSERT, UPDATE, DELETE",
  reviews: "SELECT, INSERT, UPDATE",
  review_answers: "SELECT, INSERT",
  review_withdrawals: "SELECT, INSERT",
  executions: "SELECT, INSERT",
  execution_outcomes: "SELECT, INSERT",
  execution_reports_due: "SELECT, INSERT, UPDATE, DELETE",
  kysely_migration: "SELECT",
  schema_migrations: "SELECT",
};

/**
 * Brings the database to the newest layout, makes the partitions that are due and grants the service's login its rights, in
 * one transaction. Several processes may call it at once: each waits for the one before it, and finds the work done.
 *
 * @param owner connected as the tables' owner
 * @param serviceLogin the login that decisions are recorded with; null if it is the owner itself
 * @returns the names of the migrations that it ran, in their order
 * @throws UsageError if a newer version has migrated the database
 */
export async function migrate(owner: Database, serviceLogin: string | null): Promise<string[]> {
  return await owner.kysely.transaction().execute(async (transaction) => {
    // Before Kysely's own lock, which it takes after it has made its tables.
    await lockLayout(transaction);
    await carryOver(transaction);
    const applied = await appliedMigrations(transaction);
    if (applied !== null && unknownAmong(applied).length > 0) throw new UsageError([newerLayout(applied)]);
    const { error, results = [] } = await migratorOf(transaction, PROVIDER).migrateToLatest();
    if (error !== undefined) throw error;
    await runScript(transaction, MAKE_PARTITIONS);
    if (serviceLogin !== null) await runScript(transaction, textOf(grantsTo(serviceLogin)));
    return results.map(({ migrationName }) => migrationName);
  });
}

const MAKE_PARTITIONS = "SELECT datacrawl_make_partitions()";

/** Makes the partitions that are due. Called at start and daily. */
export async function makePartitions(owner: Database): Promise<void> {
  await owner.kysely.transaction().execute(async (transaction) => {
    await lockLayout(transaction);
    await runScript(transaction, MAKE_PARTITIONS);
  });
}

/** Whether the layout is the one that this software was written for: null, or what is wrong. */
export async function layoutProblem(database: Database): Promise<string | null> {
  const applied = await appliedMigrations(database.kysely);
  if (applied === null) {
    return (await exists(database.kysely, "schema_migrations"))
      ? "the database's layout is that of an older version: run `datacrawl migrate` with DATABASE_OWNER_URL"
      : "the database has no DataCrawl tables: run `datacrawl migrate` with DATABASE_OWNER_URL";
  }
  if (unknownAmong(applied).length > 0) return `${newerLayout(applied)}: run that version`;
  const missing = Object.keys(MIGRATIONS).filter((name) => !applied.includes(name));
  if (missing.length === 0) return null;
  return `the database's layout lacks ${missing.join(", ")}, which this version needs: run \`datacrawl migrate\` with DATABASE_OWNER_URL`;
}

const PROVIDER: MigrationProvider = {
  getMigrations: async () =>
    Object.fromEntries(
      Object.entries(MIGRATIONS).map(([name, text]) => [name, { up: (db: Kysely<Schema>) => runScript(db, text) }]),
    ),
};

function migratorOf(db: Kysely<Schema>, provider: MigrationProvider): Migrator {
  // A database may lack a migration before its newest one (see MIGRATIONS).
  return new Migrator({ db, provider, allowUnorderedMigrations: true });
}

/** The names of the migrations that Kysely has noted; null if it has noted none in this database yet. */
async function appliedMigrations(db: Kysely<Schema>): Promise<string[] | null> {
  if (!(await exists(db, "kysely_migration"))) return null;
  const { rows } = await sql<{ name: string }>`SELECT name FROM kysely_migration ORDER BY name`.execute(db);
  return rows.map(({ name }) => name);
}

async function exists(db: Kysely<Schema>, table: string): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`SELECT to_regclass(${table}::text) IS NOT NULL AS found`.execute(db);
  return rows[0]?.found === true;
}

/** Takes over a database whose migrations were noted in `schema_migrations`, by number and name. */
async function carryOver(db: Kysely<Schema>): Promise<void> {
  if ((await exists(db, "kysely_migration")) || !(await exists(db, "schema_migrations"))) return;
  // Without migrations, Kysely makes its tables only.
  const { error } = await migratorOf(db, { getMigrations: async () => ({}) }).migrateToLatest();
  if (error !== undefined) throw error;
  await sql`
    INSERT INTO kysely_migration (name, "timestamp")
    SELECT to_char(id, 'FM0000') || '-' || name, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
    FROM schema_migrations`.execute(db);
}

function unknownAmong(applied: readonly string[]): string[] {
  return applied.filter((name) => !Object.hasOwn(MIGRATIONS, name));
}

function newerLayout(applied: readonly string[]): string {
  return `the database was migrated by a newer version of DataCrawl (${unknownAmong(applied).join(", ")}), and this version refuses to touch it`;
}

function grantsTo(login: string): RawBuilder<unknown> {
  const service = sql.id(login);
  const statements = [
    sql`GRANT USAGE ON SCHEMA public TO ${service}`,
    ...Object.entries(SERVICE_GRANTS).flatMap(([table, rights]) => [
      sql`REVOKE ALL ON ${sql.table(table)} FROM ${service}`,
      sql`GRANT ${sql.raw(rights)} ON ${sql.table(table)} TO ${service}`,
    ]),
    sql`GRANT EXECUTE ON FUNCTION datacrawl_erase_payload TO ${service}`,
  ];
  return sql.join(statements, sql`; `);
}
