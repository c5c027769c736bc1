import { sql } from "kysely";
import type { Place } from "../audit/seal/acknowledgement.ts";
import { ACCESS_CHANGES, type AccessChange } from "../audit/seal/change-list.ts";
import { STREAM } from "../audit/log/leaf.ts";
import type { Micros } from "../core/clock.ts";
import { Repository } from "./repository.ts";
import { arrayLiteral, at, prepared } from "./dialect/statements.ts";

/** A change that this database has, sealed or not. */
type KnownChange = Pick<AccessChange, "eventId" | "recordedAt" | "kind" | "subject">;

/** Events that say who may do what. */
export class SqlAccessChanges extends Repository {
  /** Sealed ones after `after`, up to `upTo`, in the order of the tree. */
  async between(after: Place, upTo: Place, limit: number): Promise<AccessChange[]> {
    return await BETWEEN.execute(this.db, { after, upTo, limit });
  }

  /** All that were recorded at or after `since`, sealed or not, by the time of recording. */
  async knownSince(since: Micros): Promise<KnownChange[]> {
    return await KNOWN_SINCE.execute(this.db, { since });
  }
}

/** Of the rows, not of the parameters: an index over kinds would cost each event. */
const KINDS = sql`ANY (${arrayLiteral([...ACCESS_CHANGES])}::text[])`;

/** Seals in the order of the tree by their index; few of them are of events. (`size` counts, `seq` begins with 0.) */
const BETWEEN = prepared<{ after: Place; upTo: Place; limit: number }, AccessChange>(
  ({ after, upTo, limit }) => sql`
SELECT e.event_id AS "eventId", s.epoch, s.seq, e.recorded_at AS "recordedAt", e.kind, e.actor, e.subject, e.detail
FROM audit_seals s JOIN audit_events e ON e.event_id = s.row_id AND e.recorded_at = s.recorded_at
WHERE s.stream = ${sql.lit(STREAM.events)} AND e.kind = ${KINDS}
  AND (s.epoch, s.seq) >= (${after.epoch}::int, ${after.size}::bigint)
  AND (s.epoch, s.seq) < (${upTo.epoch}::int, ${upTo.size}::bigint)
ORDER BY s.epoch, s.seq LIMIT ${limit}::bigint`,
  { timeoutMs: 30_000 },
);

const KNOWN_SINCE = prepared(({ since }: { since: Micros }, db) =>
  db
    .selectFrom("audit_events")
    .select(["event_id as eventId", "recorded_at as recordedAt", "kind", "subject"])
    .where("recorded_at", ">=", at(since))
    .where("kind", "=", sql<string>`${KINDS}`)
    .orderBy("recorded_at"),
);
