import { type InsertQueryBuilder, type Kysely, type RawBuilder, sql } from "kysely";
import type { HashedEvent } from "../audit/row/event.ts";
import { EVENT_COLUMNS } from "../audit/row/record.ts";
import type { Micros } from "../core/clock.ts";
import { bytea } from "./decision-input.ts";
import type { Schema } from "./schema.ts";
import { at, atColumn, BUILDER, prepared } from "./dialect/statements.ts";

const COLUMNS = [...EVENT_COLUMNS.map(({ name }) => name), "hash"] as (keyof Schema["audit_events"])[];

/**
 * Inserts an event. Beside a change, as a common table expression of the same statement, it is committed with the change or not
 * at all:
 *
 * @example
 * db.with("made", (db) => db.insertInto("agents").values(agent).onConflict((on) => on.doNothing()).returning("agent_id"))
 *   .with("recorded", () => insertEvent(event, "made"))
 *   .selectFrom("made")
 *   .select("agent_id");
 *
 * @param made the expression that makes the change: the event is recorded once for each row that it returns, so never for none
 */
export function insertEvent(event: HashedEvent, made?: string): InsertQueryBuilder<Schema, "audit_events", object> {
  const from = made === undefined ? sql`` : sql` from ${sql.table(made)}`;
  return BUILDER.insertInto("audit_events")
    .columns(COLUMNS)
    .expression(sql`select ${eventValues(event)}${from}`);
}

/** The values of an event's columns, the hash last. */
export function eventValues({ row, hash }: HashedEvent): RawBuilder<unknown> {
  const values = EVENT_COLUMNS.map(({ field, kind }) => {
    if (kind === "micros") return at(row[field] as Micros);
    return kind === "uuid" ? sql`${row[field]}::uuid` : sql`${row[field]}::text`;
  });
  return sql`${sql.join(values)}, ${hash}::bytea`;
}

/** What a batch's statement reads of an event, as columns of its input beside others: those that {@link eventJson} fills. */
export const EVENT_INPUTS = [
  ...EVENT_COLUMNS.map(({ name, kind }) => ({ name: `event_${name}`, type: kind === "micros" ? "bigint" : kind })),
  { name: "event_hash", type: "bytea" },
];

/** The values of {@link EVENT_INPUTS}. */
export function eventJson({ row, hash }: HashedEvent): object {
  const values = EVENT_COLUMNS.map(({ name, field }) => [`event_${name}`, row[field]]);
  return { ...Object.fromEntries(values), event_hash: bytea(hash) };
}

/** SQL that inserts the events that `from` selects of the input, as `FROM input WHERE …`. */
export function insertEvents(from: RawBuilder<unknown>): RawBuilder<object> {
  const columns = sql.join(COLUMNS.map((name) => sql.ref(name)));
  const values = EVENT_COLUMNS.map(({ name, kind }) => {
    const input = sql.ref(`event_${name}`);
    return kind === "micros" ? atColumn(input) : input;
  });
  return sql`INSERT INTO audit_events (${columns}) SELECT ${sql.join(values)}, event_hash ${from}`;
}

/** Events that come with no other change. */
export class SqlEventStore {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  async append(event: HashedEvent): Promise<void> {
    await APPEND.execute(this.#db, event);
  }
}

const APPEND = prepared<HashedEvent, object>((event) => insertEvent(event));
