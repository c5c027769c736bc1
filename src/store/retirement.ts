import { sql } from "kysely";
import type { HashedEvent } from "../audit/row/event.ts";
import type { Micros } from "../core/clock.ts";
import { UsageError } from "../core/fault.ts";
import { SqlError } from "./dialect/sql-error.ts";
import { changeWithEvent } from "./events.ts";
import { Repository } from "./repository.ts";
import { at, run } from "./dialect/statements.ts";
import { TRAIL, type TrailTable } from "./trail.ts";

/** A month of the trail whose rows are in the database. */
export interface TrailMonth {
  /** Its first day, such as `2026-06-01`. */
  readonly month: string;
  readonly from: Micros;
  readonly to: Micros;
}

export interface MonthCounts {
  readonly decisions: number;
  readonly events: number;
  readonly unsealed: number;
  /** Executions of the month's decisions that have no outcome. */
  readonly openExecutions: number;
}

/** An export of exactly one month, as its event has it. */
export interface MonthExport {
  readonly eventId: string;
  readonly fileName: string;
  /** In hex. */
  readonly sha256: string;
  readonly decisions: number;
  readonly events: number;
}

export interface RetiredMonth extends TrailMonth {
  readonly counts: MonthCounts;
  readonly exported: MonthExport;
}

/** Whole months are counted, and detaching waits for readers. */
const PATIENT = { timeoutMs: 600_000 };
/** Payloads first: what is left of a decision without them is whole. */
const PARENTS = ["audit_payloads", "audit_decisions", "audit_events"] as const;

/** Retiring, with the owner's login. */
export class SqlRetirement extends Repository {
  async now(): Promise<Micros> {
    const { rows } = await sql<{ now: Micros }>`SELECT clock_timestamp() AS now`.execute(this.db);
    if (rows[0] === undefined) throw new Error("the database did not return its time");
    return rows[0].now;
  }

  /** The months that end before `before`, and before last month began by the database's clock; the oldest first. */
  async monthsBefore(before: Micros): Promise<TrailMonth[]> {
    return (await monthsBefore(before).execute(this.db)).rows;
  }

  async count(month: TrailMonth): Promise<MonthCounts> {
    const decisions = await this.#countOf(tableOf("audit_decisions", month), TRAIL.decisions);
    const events = await this.#countOf(tableOf("audit_events", month), TRAIL.events);
    const unsealed = decisions.unsealed + events.unsealed;
    return { decisions: decisions.rows, events: events.rows, unsealed, openExecutions: await this.#countOpen(month) };
  }

  /** The newest on record; null if there is none. */
  async newestExport({ from, to }: TrailMonth): Promise<MonthExport | null> {
    const query = this.db
      .selectFrom("audit_events")
      .select(["event_id as eventId", "detail"])
      .where("kind", "=", "audit.exported")
      .where(sql`detail::json->>'fromUs'`, "=", String(from))
      .where(sql`detail::json->>'toUs'`, "=", String(to))
      .orderBy("recorded_at", "desc")
      .limit(1);
    const [event] = await run(this.db, query, PATIENT);
    if (event === undefined) return null;
    return { ...(JSON.parse(event.detail) as Omit<MonthExport, "eventId">), eventId: event.eventId };
  }

  /** Records that a month is retired, and its event; does nothing if that is on record. */
  async record({ month, counts, exported }: RetiredMonth, event: HashedEvent): Promise<void> {
    await changeWithEvent(this.db, event, (db) =>
      db
        .insertInto("audit_retired")
        .values({
          month,
          decisions: counts.decisions,
          events: counts.events,
          export_sha256: exported.sha256,
          export_event_id: exported.eventId,
          event_id: event.row.eventId,
          recorded_at: at(event.row.recordedAt),
          event_hash: event.hash,
        })
        .onConflict((conflict) => conflict.column("month").doNothing())
        .returning("month"),
    );
  }

  /** Takes the month's tables out of the trail, without making writers wait. They go on existing. @returns their names */
  async detach(month: TrailMonth): Promise<string[]> {
    await run(this.db, executionsOf(month), PATIENT);
    const { rows: attached } = await PARTITIONS.execute(this.db);
    const detached: string[] = [];
    for (const parent of PARENTS) {
      const partition = attached.find(({ table }) => table === tableOf(parent, month));
      if (partition === undefined) continue;
      await this.#detachOne(parent, partition);
      detached.push(partition.table);
    }
    return detached;
  }

  /** A plain DETACH would queue behind one reader, and every insert behind it. */
  async #detachOne(parent: string, { table, pending }: Partition): Promise<void> {
    const how = pending ? sql`FINALIZE` : sql`CONCURRENTLY`;
    const detach = sql`ALTER TABLE ${sql.table(parent)} DETACH PARTITION ${sql.table(table)} ${how}`;
    try {
      await run(this.db, detach, PATIENT);
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      throw new UsageError([
        `${table} could not be detached: ${error.message}. If a transaction still reads it, wait for its end (pg_stat_activity) and run this again`,
      ]);
    }
  }

  async #countOpen({ from, to }: TrailMonth): Promise<number> {
    const query = this.db
      .selectFrom("execution_reports_due as r")
      .innerJoin("executions as e", "e.decision_id", "r.decision_id")
      .where("e.recorded_at", ">=", at(from))
      .where("e.recorded_at", "<", at(to))
      .select(({ fn }) => fn.countAll<number>().as("open"));
    return (await run(this.db, query, PATIENT))[0]?.open ?? 0;
  }

  async #countOf(partition: string, { id, stream }: TrailTable): Promise<{ rows: number; unsealed: number }> {
    const query = sql<{ rows: number; unsealed: number }>`
SELECT count(*) AS rows, count(*) FILTER (WHERE s.row_id IS NULL) AS unsealed
FROM ${sql.table(partition)} r
LEFT JOIN audit_seals s ON s.row_id = ${id} AND s.recorded_at = r.recorded_at AND s.stream = ${stream}`;
    const [counts] = await run(this.db, query, PATIENT);
    if (counts === undefined) throw new Error(`${partition} was not counted`);
    return counts;
  }
}

/** As `datacrawl_make_partition` names it. */
function tableOf(parent: string, { month }: TrailMonth): string {
  return `${parent}_y${month.slice(0, 4)}m${month.slice(5, 7)}`;
}

const IN_TRAIL = sql`inhparent = ANY (ARRAY[${sql.join(PARENTS.map((parent) => sql`${sql.lit(parent)}::regclass`))}])`;

/** A month of one of the trail's tables. */
interface Partition {
  readonly table: string;
  /** A detaching of it was cut short. */
  readonly pending: boolean;
}

const PARTITIONS = sql<Partition>`
SELECT inhrelid::regclass::text AS "table", inhdetachpending AS pending FROM pg_inherits WHERE ${IN_TRAIL}`;

/** Months of UTC with a partition of decisions; that of last month would be made again if it were missing, so it stays. */
function monthsBefore(before: Micros) {
  return sql<TrailMonth>`
SELECT to_char(m.month, 'YYYY-MM-DD') AS month,
  m.month::timestamp AT TIME ZONE 'UTC' AS "from", (m.month + interval '1 month') AT TIME ZONE 'UTC' AS "to"
FROM (
  SELECT to_date(right(inhrelid::regclass::text, 7), 'YYYY"m"MM') AS month FROM pg_inherits WHERE ${IN_TRAIL} GROUP BY 1
) m
WHERE (m.month + interval '1 month') AT TIME ZONE 'UTC' <= ${at(before)}
  AND m.month + interval '1 month' <= date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month'
ORDER BY m.month`;
}

/** Deletes what is kept of executions of a month's decisions: their events, which are exported, have the same. None of them can be started again. */
function executionsOf({ from, to }: TrailMonth) {
  return sql`
WITH retired AS (
  DELETE FROM executions WHERE recorded_at >= ${at(from)} AND recorded_at < ${at(to)} RETURNING decision_id
), ended AS (
  DELETE FROM execution_outcomes WHERE decision_id IN (SELECT decision_id FROM retired)
)
DELETE FROM execution_reports_due WHERE decision_id IN (SELECT decision_id FROM retired)`;
}
