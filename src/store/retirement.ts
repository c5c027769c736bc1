import type { MonthCounts, MonthExport, RetiredMonth, RetireStore, TrailMonth } from "../admin/retire.ts";
import { STREAM } from "../audit/log/leaf.ts";
import type { Micros } from "../core/clock.ts";
import { UsageError } from "../core/fault.ts";
import type { HashedEvent } from "../audit/row/event.ts";
import { type Database, microsOf, SqlError, timestampOf } from "./database.ts";
import { eventParams, eventText } from "./event-text.ts";

/** Whole months are counted, and detaching waits for readers. */
const TIMEOUT_MS = 600_000;
/** Payloads first: what is left of a decision without them is whole. */
const PARENTS = ["audit_payloads", "audit_decisions", "audit_events"] as const;

/** Retiring, with the owner's login. */
export class SqlRetirement implements RetireStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async now(): Promise<Micros> {
    const [row] = await this.#database.query<{ at: string }>(`SELECT ${microsOf("clock_timestamp()")} AS at`);
    return Number(row?.at);
  }

  async monthsBefore(before: Micros): Promise<TrailMonth[]> {
    const rows = await this.#database.query<{ month: string; lower: string; upper: string }>(MONTHS, [String(before)]);
    return rows.map(({ month, lower, upper }) => ({ month, from: Number(lower), to: Number(upper) }));
  }

  async count(month: TrailMonth): Promise<MonthCounts> {
    const decisions = await this.#countOf(tableOf("audit_decisions", month), "decision_id", STREAM.decisions);
    const events = await this.#countOf(tableOf("audit_events", month), "event_id", STREAM.events);
    return { decisions: decisions.rows, events: events.rows, unsealed: decisions.unsealed + events.unsealed };
  }

  async newestExport({ from, to }: TrailMonth): Promise<MonthExport | null> {
    const [row] = await this.#database.query<{ event_id: string; detail: string }>(NEWEST_EXPORT, [from, to], {
      timeoutMs: TIMEOUT_MS,
    });
    if (row === undefined) return null;
    const detail = JSON.parse(row.detail) as Omit<MonthExport, "eventId">;
    return { ...detail, eventId: row.event_id };
  }

  async record({ month, counts, exported }: RetiredMonth, event: HashedEvent): Promise<void> {
    const { eventId, sha256 } = exported;
    const params = [month, counts.decisions, counts.events, sha256, eventId, ...eventParams(event)];
    await this.#database.query(RECORD, params);
  }

  async detach(month: TrailMonth): Promise<string[]> {
    const attached = await this.#attached(month);
    for (const { parent, table, pending } of attached) await this.#detachOne(parent, table, pending);
    return attached.map(({ table }) => table);
  }

  /** The month's partitions that are still in the trail; `pending` if a detaching of it was cut short. */
  async #attached(month: TrailMonth): Promise<{ parent: string; table: string; pending: boolean }[]> {
    const found = await this.#database.query<{ table: string; pending: boolean }>(
      'SELECT inhrelid::regclass::text AS "table", inhdetachpending AS pending FROM pg_inherits WHERE inhparent = ANY (ARRAY[' +
        `${PARENTS.map((parent) => `'${parent}'::regclass`).join(", ")}])`,
    );
    return PARENTS.flatMap((parent) => {
      const table = tableOf(parent, month);
      const one = found.find((partition) => partition.table === table);
      return one === undefined ? [] : [{ parent, table, pending: one.pending }];
    });
  }

  /** A plain DETACH would queue behind one reader, and every insert behind it. */
  async #detachOne(parent: string, table: string, pending: boolean): Promise<void> {
    try {
      const how = pending ? "FINALIZE" : "CONCURRENTLY";
      await this.#database.query(`ALTER TABLE ${parent} DETACH PARTITION ${table} ${how}`, [], {
        timeoutMs: TIMEOUT_MS,
      });
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      throw new UsageError([
        `${table} could not be detached: ${error.message}. If somebody still reads it, wait for them (pg_stat_activity) and run this again`,
      ]);
    }
  }

  async #countOf(table: string, id: string, stream: number): Promise<{ rows: number; unsealed: number }> {
    const [row] = await this.#database.query<{ rows: string; unsealed: string }>(
      `SELECT count(*)::text AS rows, (count(*) FILTER (WHERE s.row_id IS NULL))::text AS unsealed
       FROM ${table} r LEFT JOIN audit_seals s
         ON s.row_id = r.${id} AND s.recorded_at = r.recorded_at AND s.stream = ${stream}`,
      [],
      { timeoutMs: TIMEOUT_MS },
    );
    return { rows: Number(row?.rows), unsealed: Number(row?.unsealed) };
  }
}

/** As `datacrawl_make_partition` names it. */
function tableOf(parent: string, { month }: TrailMonth): string {
  return `${parent}_y${month.slice(0, 4)}m${month.slice(5, 7)}`;
}

/** Months of UTC with a partition of decisions; that of last month is made anew if it is missing, so it stays. */
const MONTHS = `
SELECT to_char(m.month, 'YYYY-MM-DD') AS month,
  ${microsOf("m.month::timestamp AT TIME ZONE 'UTC'")} AS lower,
  ${microsOf("(m.month + interval '1 month') AT TIME ZONE 'UTC'")} AS upper
FROM (
  SELECT to_date(right(inhrelid::regclass::text, 7), 'YYYY"m"MM') AS month
  FROM pg_inherits WHERE inhparent = ANY (ARRAY[${PARENTS.map((parent) => `'${parent}'::regclass`).join(", ")}])
  GROUP BY 1
) m
WHERE (m.month + interval '1 month') AT TIME ZONE 'UTC' <= ${timestampOf("$1::bigint")}
  AND m.month + interval '1 month' <= date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month'
ORDER BY m.month`;

const NEWEST_EXPORT = `
SELECT event_id::text, detail FROM audit_events
WHERE kind = 'audit.exported' AND detail::json->>'fromUs' = $1::bigint::text AND detail::json->>'toUs' = $2::bigint::text
ORDER BY recorded_at DESC LIMIT 1`;

const RECORD = `
WITH retired AS (
  INSERT INTO audit_retired (month, decisions, events, export_sha256, export_event_id, event_id, recorded_at, event_hash)
  SELECT $1::text::date, $2::bigint, $3::bigint, $4::text, $5::text::uuid, $6::uuid, ${timestampOf("$7::bigint")}, $13::bytea
  ON CONFLICT (month) DO NOTHING RETURNING month
)
${eventText(6, "FROM retired")}`;
