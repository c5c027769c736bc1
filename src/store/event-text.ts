import { EVENT_COLUMNS, type EventRow } from "../audit/row/record.ts";
import { type SqlParam, timestampOf } from "./database.ts";

/**
 * SQL that inserts one event, whose parameters are {@link eventParams} from `$first` on.
 *
 * @param from what the row is selected from, such as `FROM made`, so that the event is told only if something was made
 */
export function eventText(first: number, from = ""): string {
  const values = EVENT_COLUMNS.map(({ kind }, index) => {
    const param = `$${first + index}`;
    return kind === "micros" ? timestampOf(`${param}::bigint`) : `${param}::${kind === "uuid" ? "uuid" : "text"}`;
  });
  const names = EVENT_COLUMNS.map(({ name }) => name).join(", ");
  return `INSERT INTO audit_events (${names}, hash) SELECT ${values.join(", ")}, $${first + EVENT_COLUMNS.length}::bytea ${from}`;
}

export function eventParams({ row, hash }: { readonly row: EventRow; readonly hash: Uint8Array }): SqlParam[] {
  return [...EVENT_COLUMNS.map(({ field, kind }) => (kind === "micros" ? String(row[field]) : row[field])), hash];
}
