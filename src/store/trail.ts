import { type RawBuilder, sql } from "kysely";
import { type Stream, STREAM } from "../audit/log/leaf.ts";
import { type Column, DECISION_COLUMNS_V2, EVENT_COLUMNS } from "../audit/row/record.ts";

/** One of the trail's two tables, for statements that read both in the same way and call the table `r`. */
export interface TrailTable {
  readonly table: RawBuilder<unknown>;
  /** The stream, as seals number it. */
  readonly stream: RawBuilder<number>;
  /** The row's id. */
  readonly id: RawBuilder<string>;
  /** What its hash is made of. */
  readonly columns: RawBuilder<unknown>;
}

export const TRAIL: Readonly<Record<Stream, TrailTable>> = {
  decisions: trailTable("decisions", "audit_decisions", "decision_id", DECISION_COLUMNS_V2),
  events: trailTable("events", "audit_events", "event_id", EVENT_COLUMNS),
};

/** A row is unsealed if it has no seal, and only then. (As a subquery, the seal is looked up by its key, row by row.) */
export function isUnsealed({ id, stream }: TrailTable): RawBuilder<boolean> {
  return sql`(SELECT 1 FROM audit_seals s WHERE s.row_id = ${id} AND s.recorded_at = r.recorded_at AND s.stream = ${stream}) IS NULL`;
}

/** The leaf hash of a row whose hash is `hash`, as `rowLeaf` makes it. */
export function leafOf(stream: Stream, hash: RawBuilder<Uint8Array>): RawBuilder<Uint8Array> {
  return sql`pg_catalog.sha256(${sql.lit(`\\x000${STREAM[stream]}`)}::bytea || ${hash})`;
}

function trailTable<Row>(stream: Stream, table: string, id: string, columns: readonly Column<Row>[]): TrailTable {
  return {
    table: sql.table(table),
    stream: sql.lit(STREAM[stream]),
    id: sql.ref(`r.${id}`),
    columns: sql.join(columns.map(({ name }) => sql.ref(`r.${name}`))),
  };
}
