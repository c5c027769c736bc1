import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeEvent } from "../../src/audit/row/event.ts";
import { systemClock } from "../../src/core/clock.ts";
import { SqlEventStore } from "../../src/store/events.ts";
import { random } from "../support/entries.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { openTestTrail, recordDecisions } from "../support/trail.ts";
import { query } from "../support/sql.ts";

const PARTITIONED = ["audit_decisions", "audit_events", "audit_seals"];
const WHOLE = ["audit_checkpoints", "audit_epochs", "audit_log", "audit_nodes", "audit_retired", "policy_bundles"];
/** Payloads are erased, and a run of the verification tells how far it has come. */
const CHANGEABLE = ["audit_payloads", "audit_runs"];
/** A month whose partitions are made long after the others. */
const LATER = "2041-05-01";

describe.each(storeKinds())("what is append-only on $name", ({ name, open }) => {
  let store: TestStore;
  /** Each table that holds rows: the partitions, and the tables that are not partitioned. */
  let tables: string[];

  beforeAll(async () => {
    store = await open();
    const owner = store.owner;
    const trail = await openTestTrail(store.database);
    await recordDecisions(store.database, "row", 20);
    await new SqlEventStore(store.database.kysely).append(
      makeEvent({ kind: "test.happened", actor: "service" }, systemClock.now(), random),
    );
    await trail.newKeeper().turn();
    await query(owner, "INSERT INTO policy_bundles (version, files) VALUES ('v', '[]')");
    await query(
      owner,
      "INSERT INTO audit_retired VALUES ('2020-01-01', 0, 0, '', gen_random_uuid(), gen_random_uuid(), now(), '')",
    );
    for (const parent of PARTITIONED) {
      await query(owner, `SELECT datacrawl_make_partition('${parent}', '${LATER}', true)`);
      for (const partition of await partitionsOf(parent)) await putRowInto(partition, parent);
    }
    tables = [...(await Promise.all(PARTITIONED.map(partitionsOf))).flat(), ...WHOLE];
  });
  afterAll(() => store.close());

  const partitionsOf = async (parent: string): Promise<string[]> => {
    const rows = await query<{ name: string }>(
      store.owner,
      `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = '${parent}'::regclass ORDER BY 1`,
    );
    return rows.map((row) => row.name);
  };
  /** A row trigger refuses only where there is a row. */
  const putRowInto = async (partition: string, parent: string): Promise<void> => {
    const month = `${partition.slice(-7, -3)}-${partition.slice(-2)}-02`;
    await query(
      store.owner,
      `INSERT INTO ${partition} SELECT (jsonb_populate_record(null::${partition}, to_jsonb(one) || '{"recorded_at":"${month}"}')).*
       FROM (SELECT * FROM ${parent} LIMIT 1) AS one ON CONFLICT DO NOTHING`,
    );
  };
  const columnOf = async (table: string): Promise<string> => {
    const rows = await query<{ name: string }>(
      store.owner,
      `SELECT attname AS name FROM pg_attribute WHERE attrelid = '${table}'::regclass AND attnum = 1`,
    );
    return rows[0]?.name as string;
  };
  const changesOf = async (table: string): Promise<string[]> => {
    const column = await columnOf(table);
    return [`UPDATE ${table} SET ${column} = ${column}`, `DELETE FROM ${table}`, `TRUNCATE ${table} CASCADE`];
  };

  test("is every table of the trail but those that are meant to change", async () => {
    const rows = await query<{ name: string }>(
      store.owner,
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
       AND NOT relispartition AND (relname LIKE 'audit%' OR relname = 'policy_bundles')`,
    );
    expect(new Set(rows.map((row) => row.name))).toEqual(new Set([...PARTITIONED, ...WHOLE, ...CHANGEABLE]));
    // Five months of each, and the later one.
    expect(tables).toHaveLength(6 * PARTITIONED.length + WHOLE.length);
  });

  test("refuses its owner every change of a row, in each partition, also of a month that was made later", async () => {
    for (const table of tables) {
      for (const change of await changesOf(table))
        await expect(query(store.owner, change), change).rejects.toThrow("append-only");
    }
    for (const parent of PARTITIONED)
      await expect(query(store.owner, `TRUNCATE ${parent}`), parent).rejects.toThrow("append-only");
  });

  test("refuses a superuser who has muted ordinary triggers", async () => {
    const client = name === "Postgres" ? new pg.Client(store.superUrl as string) : null;
    await client?.connect();
    const run = (text: string): Promise<unknown> => (client === null ? query(store.owner, text) : client.query(text));
    await run("SET session_replication_role = replica");
    try {
      for (const table of [...tables, ...PARTITIONED]) {
        for (const change of await changesOf(table)) await expect(run(change), change).rejects.toThrow("append-only");
      }
    } finally {
      await run("RESET session_replication_role");
      await client?.end();
    }
  });

  // The embedded store has no other login.
  if (name !== "Postgres") return;

  test("grants the service's login no change, and of the changeable tables none but those it needs", async () => {
    const rights = await query<{ name: string; granted: string }>(
      store.owner,
      `SELECT relname AS name, string_agg(privilege_type, ' ' ORDER BY privilege_type) AS granted
       FROM pg_class, aclexplode(relacl) JOIN pg_roles ON pg_roles.oid = grantee
       WHERE rolname = $1 AND (relname LIKE 'audit%' OR relname = 'policy_bundles') GROUP BY relname`,
      [new URL(store.serviceUrl as string).username],
    );
    expect(Object.fromEntries(rights.map((right) => [right.name, right.granted]))).toEqual({
      ...Object.fromEntries([...PARTITIONED, ...WHOLE, "audit_payloads"].map((table) => [table, "INSERT SELECT"])),
      audit_log: "SELECT",
      audit_retired: "SELECT",
      audit_runs: "INSERT SELECT UPDATE",
    });
  });
});
