import {
  type Compilable,
  type Expression,
  type Kysely,
  type OperationNodeSource,
  type QueryCreator,
  type RawBuilder,
  sql,
} from "kysely";
import type { HashedEvent } from "../audit/row/event.ts";
import { EVENT_COLUMNS } from "../audit/row/record.ts";
import type { Micros } from "../core/clock.ts";
import { bytea } from "./decision-input.ts";
import { at, atColumn, prepared } from "./dialect/statements.ts";
import { Repository } from "./repository.ts";
import type { Schema } from "./schema.ts";

const COLUMNS = sql.join([...EVENT_COLUMNS.map(({ name }) => sql.id(name)), sql.id("hash")]);

/**
 * Makes a change and records an event once for each row that it returns, so never for none, in one statement: both are committed or
 * neither is.
 *
 * @example
 * const made = await changeWithEvent(this.db, event, (db) =>
 *   db.insertInto("agents").values(agent).onConflict((on) => on.doNothing()).returning("agent_id"),
 * );
 *
 * @returns those rows
 */
export async function changeWithEvent<Row>(
  db: Kysely<Schema>,
  event: HashedEvent,
  change: (db: QueryCreator<Schema>) => Expression<Row> | (Compilable<Row> & OperationNodeSource),
): Promise<Row[]> {
  const statement = db
    .with("made", change as unknown as () => Expression<object>)
    .with("recorded", () => sql<object>`(${insertEvent(event, "made")})`)
    .selectFrom("made")
    .selectAll();
  return (await statement.execute()) as Row[];
}

/**
 * Inserts an event; in a template that makes a change, as `recorded AS (…)` beside it.
 *
 * @param made the common table expression that makes the change: the event is recorded once for each row that it returns
 */
export function insertEvent(event: HashedEvent, made?: string): RawBuilder<object> {
  const from = made === undefined ? sql`` : sql` FROM ${sql.table(made)}`;
  return sql`INSERT INTO audit_events (${COLUMNS}) SELECT ${eventValues(event)}${from}`;
}

/** The values of an event's columns, the hash last. */
export function eventValues({ row, hash }: HashedEvent): RawBuilder<unknown> {
  const values = EVENT_COLUMNS.map(({ field, kind }) => {
    if (kind === "micros") return at(row[field] as Micros);
    return kind === "uuid" ? sql`${row[field]}::uuid` : sql`${row[field]}::text`;
  });
  return sql`${sql.join(values)}, ${hash}::bytea`;
}

/** Named once: a name that is made for each event costs more than its value. */
const EVENT_FIELDS = EVENT_COLUMNS.map(({ name, field, kind }) => ({ input: `event_${name}`, field, kind }));

/** What a batch's statement reads of an event, as columns of its input beside others: those that {@link eventJson} fills. */
export const EVENT_INPUTS = [
  ...EVENT_FIELDS.map(({ input, kind }) => ({ name: input, type: kind === "micros" ? "bigint" : kind })),
  { name: "event_hash", type: "bytea" },
];

/** The values of {@link EVENT_INPUTS}. */
export function eventJson({ row, hash }: HashedEvent): object {
  const json: Record<string, unknown> = { event_hash: bytea(hash) };
  for (const { input, field } of EVENT_FIELDS) json[input] = row[field];
  return json;
}

/** SQL that inserts the events that `from` selects of the input, as `FROM input WHERE …`. */
export function insertEvents(from: RawBuilder<unknown>): RawBuilder<object> {
  const values = EVENT_COLUMNS.map(({ name, kind }) => {
    const input = sql.ref(`event_${name}`);
    return kind === "micros" ? atColumn(input) : input;
  });
  return sql`INSERT INTO audit_events (${COLUMNS}) SELECT ${sql.join(values)}, event_hash ${from}`;
}

/** Events that come with no other change. */
export class SqlEventStore extends Repository {
  async append(event: HashedEvent): Promise<void> {
    await APPEND.execute(this.db, event);
  }
}

const APPEND = prepared<HashedEvent, object>((event) => insertEvent(event));
