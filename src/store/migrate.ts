import type { Database } from "./database.ts";
import { MIGRATIONS } from "./migrations/index.ts";

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
  schema_migrations: "SELECT",
};

/**
 * Brings the database to the newest layout, makes the partitions that are due and grants the service's login its rights, in
 * one transaction. Several processes may call it at once: each waits for the one before it, and finds the work done.
 *
 * @param owner connected as the tables' owner
 * @param serviceLogin the login that decisions are recorded with; null if it is the owner itself
 */
export async function migrate(owner: Database, serviceLogin: string | null): Promise<void> {
  const steps = MIGRATIONS.map(
    ({ id, name, sql }) => `
DO $migration$ BEGIN
  IF NOT EXISTS (SELECT FROM schema_migrations WHERE id = ${id}) THEN
    EXECUTE $statements$${sql}$statements$;
    INSERT INTO schema_migrations (id, name) VALUES (${id}, '${name}');
  END IF;
END $migration$;`,
  );
  await owner.script(
    [
      "CREATE TABLE IF NOT EXISTS schema_migrations (id int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());",
      refuseNewerLayout,
      ...steps,
      "SELECT datacrawl_make_partitions();",
      ...(serviceLogin === null ? [] : grants(serviceLogin)),
    ].join("\n"),
  );
}

/** Makes the partitions that are due. Called at start and daily. */
export async function makePartitions(owner: Database): Promise<void> {
  await owner.script("SELECT datacrawl_make_partitions()");
}

/** Whether the layout is the one that this software was written for: null, or what is wrong. */
export async function layoutProblem(database: Database): Promise<string | null> {
  const [found] = await database.query<{ present: boolean }>(
    "SELECT to_regclass('schema_migrations') IS NOT NULL AS present",
  );
  if (found?.present !== true)
    return "the database has no DataCrawl tables: run `datacrawl migrate` with DATABASE_OWNER_URL";
  const [row] = await database.query<{ newest: number }>(
    "SELECT coalesce(max(id), 0)::int AS newest FROM schema_migrations",
  );
  const newest = MIGRATIONS.at(-1)?.id ?? 0;
  if (row?.newest === newest) return null;
  if ((row?.newest ?? 0) > newest) return `${NEWER_LAYOUT}: run that version`;
  return `the database's layout is number ${row?.newest}, this version needs ${newest}: run \`datacrawl migrate\` with DATABASE_OWNER_URL`;
}

const NEWER_LAYOUT = "the database was migrated by a newer version of DataCrawl, and this version refuses to touch it";

const refuseNewerLayout = `
DO $check$ BEGIN
  IF EXISTS (SELECT FROM schema_migrations WHERE id > ${MIGRATIONS.at(-1)?.id ?? 0}) THEN
    RAISE EXCEPTION '${NEWER_LAYOUT}';
  END IF;
END $check$;`;

function grants(login: string): string[] {
  const name = `"${login.replaceAll('"', '""')}"`;
  return [
    `GRANT USAGE ON SCHEMA public TO ${name};`,
    ...Object.entries(SERVICE_GRANTS).flatMap(([table, rights]) => [
      `REVOKE ALL ON ${table} FROM ${name};`,
      `GRANT ${rights} ON ${table} TO ${name};`,
    ]),
    `GRANT EXECUTE ON FUNCTION datacrawl_erase_payload TO ${name};`,
  ];
}
