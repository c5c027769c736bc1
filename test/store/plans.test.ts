import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { FROM_START } from "../../src/audit/verify/verify.ts";
import { DecisionSearch } from "../../src/admin/decision-search.ts";
import { PageTokens } from "../../src/admin/page-tokens.ts";
import { EVERY_DECISION } from "../../src/audit/row/decision-filter.ts";
import { systemClock } from "../../src/core/clock.ts";
import type { QueryOptions, SqlParam } from "../../src/store/dialect/database.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { SqlExecutionStore } from "../../src/store/executions.ts";
import { SqlDecisionSearch } from "../../src/store/decision-search.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { SqlSealStore } from "../../src/store/seals.ts";
import { SqlVerifyStore } from "../../src/store/verification.ts";
import { entryFor } from "../support/entries.ts";
import { openPostgres, type TestStore } from "../support/stores.ts";
import { openTestTrail, recordDecisions } from "../support/trail.ts";

const MONTH = new Date(systemClock.now() / 1000).toISOString().slice(0, 7).replace("-", "m");
/** A node of a plan that joins, or that reads a table with many rows. (Partitions of other months are empty.) */
const NODE = new RegExp(
  String.raw`^[ >-]*((?:Hash|Merge)(?: \w+)? Join|Nested Loop(?: \w+ Join)?|\w.* on (?:idempotency_claims|executions|execution_reports_due(?:_unnoted)?|audit_(?:nodes|checkpoints|(?:decisions|seals)_y${MONTH}(?:_\w+_idx)?)))\b`,
);

/** Explains each statement before it runs it. */
class ExplainingDatabase extends PostgresDatabase {
  readonly #nodes: string[] = [];

  /** How the statements of `work` read and join. */
  async plansOf(work: () => Promise<unknown>): Promise<string[]> {
    this.#nodes.length = 0;
    await work();
    return [...this.#nodes];
  }

  protected override async connect() {
    const connection = await super.connect();
    if (Object.hasOwn(connection, "query")) return connection;
    const query = connection.query.bind(connection);
    connection.query = async <Row>(text: string, params: readonly SqlParam[] | null, options: QueryOptions) => {
      const { rows } = await query<{ "QUERY PLAN": string }>(`EXPLAIN (COSTS OFF) ${text}`, params, {});
      this.#nodes.push(...nodesIn(rows.map((row) => row["QUERY PLAN"])));
      return await query<Row>(text, params, options);
    };
    return connection;
  }
}

/** With what an index is searched for, too: an index may also be read from one end to the other. */
function nodesIn(plan: readonly string[]): string[] {
  return plan.flatMap((line, index) => {
    const node = NODE.exec(line)?.[1]?.replaceAll(`_y${MONTH}`, "");
    if (node === undefined) return [];
    const condition = /^ *Index Cond: (.*)/.exec(plan[index + 1] ?? "")?.[1];
    const columns = condition?.match(/[a-z_]+(?=(?:, [a-z_]+)*\)? [<=>])/g);
    return [columns ? `${node} by ${[...new Set(columns)].join(", ")}` : node];
  });
}

describe.skipIf(inject("postgresUrl") === null)("statements that were written for Postgres' planner", () => {
  let store: TestStore;
  let database: ExplainingDatabase;
  let seals: SqlSealStore;

  beforeAll(async () => {
    store = await openPostgres(inject("postgresUrl") as string);
    const trail = await openTestTrail(store.database);
    for (let round = 0; round < 16; round++) {
      await recordDecisions(store.database, `round-${round}`, 500);
      await trail.newSealer().sealAll();
    }
    const admin = new pg.Client(store.superUrl as string);
    await admin.connect();
    await admin.query("VACUUM ANALYZE");
    await admin.end();
    database = new ExplainingDatabase(store.serviceUrl as string, { connections: 1, onError: console.error });
    seals = new SqlSealStore(database.kysely);
  });
  afterAll(async () => {
    await database.close();
    await store.close();
  });

  test("the newest checkpoint is read from the end of its index", async () => {
    expect(await database.plansOf(() => seals.state())).toEqual([
      "Nested Loop Left Join",
      "Index Scan Backward using audit_checkpoints_pkey on audit_checkpoints",
      "Index Scan Backward using audit_checkpoints_pkey on audit_checkpoints by epoch",
    ]);
  });

  test("a seal reads rows by their insertion, and looks up by its key whether each has one", async () => {
    const stretch = { epoch: 1, from: 8000, since: 0, limit: 8192 };
    expect(await database.plansOf(() => seals.seal((transaction) => transaction.sealRows(stretch)))).toEqual([
      "Index Only Scan using audit_seals_pkey on audit_seals by row_id, recorded_at, stream",
      "Index Scan using audit_decisions_inserted_at_idx on audit_decisions by inserted_at",
      "Index Only Scan using audit_seals_pkey on audit_seals by row_id, recorded_at, stream",
    ]);
  });

  test("rows without a seal are counted from the newest, each looked up by its key", async () => {
    expect(await database.plansOf(() => seals.countUnsealed(0, 1000))).toEqual([
      "Index Scan Backward using audit_decisions_inserted_at_idx on audit_decisions by inserted_at",
      "Index Only Scan using audit_seals_pkey on audit_seals by row_id, recorded_at, stream",
      "Index Only Scan using audit_seals_pkey on audit_seals by row_id, recorded_at, stream",
    ]);
  });

  test("the leaves and nodes of a proof are read by their places", async () => {
    const read = seals.nodes(1);
    const nodes = [
      { level: 0, index: 7 },
      { level: 5, index: 3 },
    ];
    expect(await database.plansOf(() => read(nodes))).toEqual([
      "Nested Loop",
      "Index Scan using audit_seals_epoch_seq_idx on audit_seals by epoch, seq",
      "Index Scan using audit_nodes_pkey on audit_nodes by epoch, level, idx",
    ]);
  });

  test("the search for rows without a seal goes on from where it was, by the rows' keys", async () => {
    const reads = new SqlVerifyStore(database);
    expect(await database.plansOf(() => reads.strays(FROM_START, 500, systemClock.now()))).toEqual([
      "Index Scan using audit_decisions_pkey on audit_decisions by decision_id, recorded_at",
      "Index Only Scan using audit_seals_pkey on audit_seals by row_id, recorded_at, stream",
    ]);
  });
});

describe.skipIf(inject("postgresUrl") === null)("lists of decisions", () => {
  let store: TestStore;
  let database: ExplainingDatabase;

  beforeAll(async () => {
    store = await openPostgres(inject("postgresUrl") as string);
    const entries = Array.from({ length: 6000 }, (_, n) => {
      const claims = n % 2 === 0 ? {} : { principal: `person-${n % 300}`, sessionId: `run-${n % 1000}` };
      return entryFor(`list-${n}`, claims);
    });
    const records = new SqlRecordStore(store.database.kysely);
    for (let n = 0; n < entries.length; n += 250) await records.recordBatch(entries.slice(n, n + 250));
    const admin = new pg.Client(store.superUrl as string);
    await admin.connect();
    await admin.query("VACUUM ANALYZE");
    await admin.end();
    database = new ExplainingDatabase(store.serviceUrl as string, { connections: 1, onError: console.error });
  });
  afterAll(async () => {
    await database.close();
    await store.close();
  });

  test.each([
    ["session", { sessionId: "run-7" }, "session_id", 6],
    ["principal", { principal: "person-7" }, "principal", 20],
  ] as const)("of one %s are read from its index alone, newest first", async (_, filter, column, rows) => {
    const search = new DecisionSearch({
      trail: new SqlDecisionSearch(database.kysely),
      monotonic: () => 0,
      tokens: new PageTokens(Buffer.alloc(32)),
      rowsAtOnce: 1000,
    });
    let listed = 0;
    const plan = await database.plansOf(async () => {
      const page = await search.list({ filter: { ...EVERY_DECISION, ...filter }, limit: 100, pageToken: "" });
      listed = page.decisions.length;
    });
    expect(listed).toBe(rows);
    expect(plan).toEqual([
      "Bitmap Heap Scan on audit_decisions",
      `Bitmap Index Scan on audit_decisions_${column}_recorded_at_idx by ${column}, recorded_at`,
    ]);
  });

  test("of one session with a further condition are searched in stretches, as it may match none of many", async () => {
    const search = new DecisionSearch({
      trail: new SqlDecisionSearch(database.kysely),
      monotonic: () => 0,
      tokens: new PageTokens(Buffer.alloc(32)),
      rowsAtOnce: 1000,
    });
    const filter = { ...EVERY_DECISION, sessionId: "run-7", text: "occurs nowhere" };
    const plan = await database.plansOf(() => search.list({ filter, limit: 100, pageToken: "" }));
    expect(plan.filter((node) => node.includes("recorded_at_idx on")).length).toBeGreaterThan(6);
  });
});

test.skipIf(inject("postgresUrl") === null)(
  "starts and reports read by keys, also by plans that were made while the tables were empty",
  async () => {
    const store = await openPostgres(inject("postgresUrl") as string);
    const database = new ExplainingDatabase(store.serviceUrl as string, { connections: 1, onError: console.error });
    try {
      const executions = new SqlExecutionStore(database.kysely);
      const plan = await database.plansOf(() => executions.findDecision("01890000-0000-7000-8000-000000000000"));
      expect(plan.filter((node) => /Seq Scan|Hash|Merge/.test(node))).toEqual([]);
      for (const index of [
        "idempotency_claims_pkey on idempotency_claims by agent_id, idempotency_key",
        "executions_bypassed on executions by agent_id, idempotency_key, recorded_at",
      ])
        expect(plan).toContain(`Index Scan using ${index}`);
      const ends = await database.plansOf(() => executions.endBatch([]));
      expect(ends.filter((node) => /Scan on execution_reports_due/.test(node))).toEqual([
        "Bitmap Heap Scan on execution_reports_due",
      ]);
      const starts = await database.plansOf(() => executions.startBatch([]));
      expect(starts.filter((node) => /Scan.* on (?:idempotency_claims|executions)/.test(node))).toEqual([
        "Index Only Scan using executions_bypassed on executions by agent_id, idempotency_key, recorded_at",
        "Index Scan using idempotency_claims_pkey on idempotency_claims by agent_id, idempotency_key",
      ]);
      const unnoted = await database.plansOf(() => executions.listUnnoted(200));
      expect(unnoted).toContain("Bitmap Index Scan on execution_reports_due_unnoted by report_due_at");
      expect(await database.plansOf(() => executions.find("01890000-0000-7000-8000-000000000000"))).toEqual([
        "Nested Loop",
        "Index Scan using executions_pkey on executions by decision_id",
      ]);
    } finally {
      await database.close();
      await store.close();
    }
  },
);
