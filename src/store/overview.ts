import { sql } from "kysely";
import type { Micros } from "../core/clock.ts";
import type { Reason } from "../core/decision.ts";
import { liveOrders } from "./bypass-orders.ts";
import { reportedCircuits, STATE } from "./guard-records.ts";
import { Repository } from "./repository.ts";
import { at } from "./dialect/statements.ts";

export interface CircuitCounts {
  readonly closed: number;
  readonly open: number;
  readonly halfOpen: number;
  readonly recovering: number;
  readonly forced: number;
  readonly silent: number;
}

/** The figures that the database knows. */
export class SqlOverview extends Repository {
  /** Decisions recorded from minute `from` on and before minute `to`, by minute (since 1970) and reason. */
  async countByMinute(from: number, to: number): Promise<{ minute: number; reason: Reason; count: number }[]> {
    return await this.db
      .selectFrom("audit_decisions")
      .select((eb) => [
        sql<number>`floor(extract(epoch from recorded_at) / 60)::bigint`.as("minute"),
        "reason",
        eb.fn.countAll<number>().as("count"),
      ])
      .where("recorded_at", ">=", at(from * MINUTE))
      .where("recorded_at", "<", at(to * MINUTE))
      .groupBy(["minute", "reason"])
      .execute();
  }

  async circuitCounts(): Promise<CircuitCounts> {
    const rows = await reportedCircuits(this.db)
      .select((eb) => [
        STATE.as("state"),
        sql<string | null>`report::json->>'cause'`.as("cause"),
        sql<boolean>`reported_at > now() - interval '1 minute'`.as("fresh"),
        eb.fn.countAll<number>().as("count"),
      ])
      .groupBy(["state", "cause", "fresh"])
      .execute();
    const sum = (of: (row: (typeof rows)[number]) => boolean): number =>
      rows.reduce((total, row) => total + (of(row) ? row.count : 0), 0);
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
    const [row] = await liveOrders(this.db, now)
      .select((eb) => eb.fn.countAll<number>().as("count"))
      .where("o.grant_id", "is not", null)
      .execute();
    return row?.count ?? 0;
  }
}

const MINUTE = 60_000_000;
