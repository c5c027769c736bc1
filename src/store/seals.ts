import { sql } from "kysely";
import { originOf } from "../audit/log/checkpoint.ts";
import type { HashedEvent } from "../audit/row/event.ts";
import type { Observation } from "../audit/seal/horizon.ts";
import type { KeeperStore } from "../audit/seal/keeper.ts";
import type { SealTransaction } from "../audit/seal/seal.ts";
import { type Micros, systemClock } from "../core/clock.ts";
import { changeWithEvent } from "./events.ts";
import { SqlTreeReader } from "./proofs.ts";
import { sealIn } from "./seal-transaction.ts";
import { at, prepared } from "./dialect/statements.ts";
import { isUnsealed, TRAIL, type TrailTable } from "./trail.ts";

/** Seals, nodes and checkpoints. Nothing is ever changed in them. */
export class SqlSealStore extends SqlTreeReader implements KeeperStore {
  /** Which log this database holds. */
  async origin(): Promise<string> {
    const log = await this.db.selectFrom("audit_log").select("log_id").executeTakeFirst();
    if (log === undefined) throw new Error("audit_log has no row");
    return originOf(log.log_id);
  }

  async observe(): Promise<Observation> {
    const asked = monotonicMicros();
    const [observed] = await OBSERVE.execute(this.db, {});
    if (observed === undefined) throw new Error("the database did not return its time");
    return { ...observed, asked, answered: monotonicMicros() };
  }

  async seal<T>(work: (transaction: SealTransaction) => Promise<T>): Promise<T> {
    return await this.db.transaction().execute((transaction) => sealIn(transaction, work));
  }

  /** What operators have acknowledged as lost, as signed notes. */
  async acknowledgements(): Promise<string[]> {
    const epochs = await this.db
      .selectFrom("audit_epochs")
      .select("acknowledgement as note")
      .where("acknowledgement", "is not", null)
      .orderBy("epoch")
      .$narrowType<{ note: string }>()
      .execute();
    return epochs.map(({ note }) => note);
  }

  /** When the newest epoch was opened after a rollback; 0 if there was none. */
  async acknowledgedAt(): Promise<Micros> {
    const newest = await this.db
      .selectFrom("audit_epochs")
      .select((eb) => eb.fn.max("opened_at").as("at"))
      .where("acknowledgement", "is not", null)
      .executeTakeFirst();
    return newest?.at ?? 0;
  }

  /** Opens an epoch, and records its event. False if it is open already. */
  async openEpoch(
    { number, by, reason, lostNote, acknowledgement }: OpenedEpoch,
    event: HashedEvent,
  ): Promise<boolean> {
    const epoch = { epoch: number, opened_by: by, reason, lost_note: lostNote, acknowledgement };
    const opened = await changeWithEvent(this.db, event, (db) =>
      db
        .insertInto("audit_epochs")
        .values(epoch)
        .onConflict((conflict) => conflict.doNothing())
        .returning("epoch"),
    );
    return opened.length > 0;
  }

  /**
   * How many rows have no seal, of those that were inserted at or after `since`: the newest `limit` of each stream are looked at.
   * The sealer begins with the oldest, so rows that it has not come to are found without a look at those that it has sealed.
   */
  async countUnsealed(since: Micros, limit: number): Promise<number> {
    const counts = [TRAIL.decisions, TRAIL.events].map((stream) => unsealedIn(stream, since, limit));
    const { rows } = await sql<{ n: number }>`SELECT ${sql.join(counts, sql` + `)} AS n`.execute(this.db);
    return rows[0]?.n ?? 0;
  }
}

export interface OpenedEpoch {
  readonly number: number;
  readonly by: string;
  readonly reason: string;
  /** The checkpoint outside that this database does not continue. */
  readonly lostNote: string;
  /** A signed note. */
  readonly acknowledgement: string;
}

/** INVARIANT: statement_timestamp() is before the locks are looked at, and each writer holds its lock before its first row. */
const OBSERVE = prepared<object, Pick<Observation, "at" | "writers">>(
  () => sql`
SELECT statement_timestamp() AS at, coalesce((
  SELECT json_agg(DISTINCT virtualtransaction) FROM pg_locks
  WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND relation = ANY (ARRAY(
      SELECT inhrelid FROM pg_inherits WHERE inhparent IN ('audit_decisions'::regclass, 'audit_events'::regclass)
      UNION ALL VALUES ('audit_decisions'::regclass::oid), ('audit_events'::regclass::oid)))
), '[]') AS writers`,
);

function unsealedIn(stream: TrailTable, since: Micros, limit: number) {
  return sql`
(SELECT count(*) FROM (
  SELECT ${stream.id}, r.recorded_at FROM ${stream.table} r
  WHERE r.inserted_at >= ${at(since)} ORDER BY r.inserted_at DESC LIMIT ${limit}
) r
WHERE ${isUnsealed(stream)})`;
}

function monotonicMicros(): Micros {
  return Math.round(systemClock.monotonic() * 1000);
}
