import type { CircuitCounts } from "../admin/overview.ts";
import type { Micros } from "../core/clock.ts";
import type { Reason } from "../core/decision.ts";
import { type Database, timestampOf } from "./database.ts";

/** The figures that the database knows. */
export class SqlOverview {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async countByMinute(from: number, to: number): Promise<{ minute: number; reason: Reason; count: number }[]> {
    const rows = await this.#database.query<{ minute: string; reason: Reason; n: string }>(COUNT_BY_MINUTE, [
      String(from * MINUTE),
      String(to * MINUTE),
    ]);
    return rows.map(({ minute, reason, n }) => ({ minute: Number(minute), reason, count: Number(n) }));
  }

  async circuitCounts(): Promise<CircuitCounts> {
    const rows = await this.#database.query<{ state: string | null; cause: string | null; fresh: boolean; n: string }>(
      CIRCUITS,
    );
    const sum = (of: (row: (typeof rows)[number]) => boolean): number =>
      rows.reduce((total, row) => total + (of(row) ? Number(row.n) : 0), 0);
    const inState = (state: string): number => sum((row) => row.fresh && row.state === `CIRCUIT_STATE_${state}`);
    return {
      closed: inState("CLOSED"),
      open: inState("OPEN"),
      halfOpen: inState("HALF_OPEN"),
      recovering: inState("RECOVERING"),
      forced: sum((row) => row.fresh && row.cause === "forced"),
      silent: sum((row) => !row.fresh),
    };
  }

  async countActiveGrants(now: Micros): Promise<number> {
    const [row] = await this.#database.query<{ n: number }>(ACTIVE_GRANTS, [String(now)]);
    return row?.n ?? 0;
  }
}

const MINUTE = 60_000_000;

const COUNT_BY_MINUTE = `
SELECT floor(extract(epoch from recorded_at) / 60)::bigint::text AS minute, reason, count(*)::text AS n
FROM audit_decisions
WHERE recorded_at >= ${timestampOf("$1::bigint")} AND recorded_at < ${timestampOf("$2::bigint")}
GROUP BY 1, 2`;

/** A report is proto3's JSON, which leaves out what is empty. */
const CIRCUITS = `
SELECT report::json->>'state' AS state, report::json->>'cause' AS cause,
  reported_at > now() - interval '1 minute' AS fresh, count(*)::text AS n
FROM guard_circuits WHERE reported_at > now() - interval '1 hour' GROUP BY 1, 2, 3`;

const ACTIVE_GRANTS = `
SELECT count(*)::int AS n FROM circuit_orders o
WHERE o.grant_id IS NOT NULL AND o.expires_at > ${timestampOf("$1::bigint")}
  AND NOT EXISTS (SELECT FROM circuit_orders later WHERE later.agent_id = o.agent_id AND later.epoch > o.epoch)`;
