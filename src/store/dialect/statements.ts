import { createHash } from "node:crypto";
import {
  type Compilable,
  type CompiledQuery,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type RawBuilder,
  sql,
} from "kysely";
import type { Micros } from "../../core/clock.ts";
import type { QueryOptions } from "./database.ts";
import type { Schema, StoredInterval, StoredTime } from "../schema.ts";

/** A statement that Kysely has compiled, with what our drivers take besides. */
export interface Statement<Row> extends CompiledQuery<Row>, QueryOptions {
  /** Several statements in one text, without parameters and rows. */
  readonly script?: true;
}

type Query<Row> = Compilable<Row> | RawBuilder<Row>;

/** Microseconds as a `timestamptz`, exactly. */
export function at(micros: Micros): RawBuilder<StoredTime> {
  return atColumn(sql`${micros}::bigint`);
}

/** As {@link at}, of SQL for a `bigint`. */
export function atColumn(micros: RawBuilder<unknown>): RawBuilder<StoredTime> {
  return sql`('epoch'::timestamptz + ${micros} * interval '1 microsecond')`;
}

/** Microseconds as an `interval`. */
export function lasting(micros: Micros): RawBuilder<StoredInterval> {
  return sql`(${micros}::bigint * interval '1 microsecond')`;
}

/** A `timestamptz` as microseconds where it becomes a part of JSON, which no driver parses. */
export function micros(column: string): RawBuilder<Micros> {
  return sql`(extract(epoch from ${sql.ref(column)}) * 1000000)::bigint`;
}

/** When the transaction began, by the database's clock, which alone decides what has expired. */
export const NOW: RawBuilder<StoredTime> = sql`now()`;

/** Runs a statement with options that Kysely's own `execute` does not take. */
export async function run<Row>(db: Kysely<Schema>, query: Query<Row>, options: QueryOptions): Promise<Row[]> {
  const statement: Statement<Row> = { ...compile(query, db), ...options };
  return (await db.executeQuery<Row>(statement)).rows;
}

/** A statement as text, for where a server takes no parameters (COPY, GRANT, several at once): values are `sql.lit`. */
export function textOf(query: RawBuilder<unknown>): string {
  const { sql: text, parameters } = compile(query, BUILDER);
  if (parameters.length > 0) throw new Error("this statement takes no parameters: use sql.lit");
  return text;
}

/** Runs a script without a time limit. */
export async function runScript(db: Kysely<Schema>, text: string): Promise<void> {
  const statement: Statement<unknown> = { ...compile(sql.raw(text), db), script: true, timeoutMs: null };
  await db.executeQuery(statement);
}

/**
 * A statement that is compiled here, once, and that the server prepares once per connection. `build` gets a placeholder for
 * each parameter, which it passes on as a value and cannot look into; what depends on a value belongs into the SQL, or makes
 * two statements.
 *
 * @example
 * const FIND = prepared<{ version: string }, { files: string }>((params, db) =>
 *   db.selectFrom("policy_bundles").select("files").where("version", "=", params.version),
 * );
 * const [row] = await FIND.execute(db, { version });
 */
export function prepared<Params extends object, Row>(
  build: (params: Params, db: Kysely<Schema>) => Query<Row>,
  options: Pick<QueryOptions, "timeoutMs"> = {},
): PreparedStatement<Params, Row> {
  const compiled = compile(build(placeholder([]) as Params, BUILDER), BUILDER);
  const name = createHash("sha256").update(compiled.sql).digest("hex").slice(0, 32);
  return new PreparedStatement({ ...compiled, ...options, name });
}

class PreparedStatement<Params extends object, Row> {
  readonly #statement: Statement<Row>;
  /** For each parameter its path in `Params`, or null where the value is the same each time. */
  readonly #paths: readonly (readonly string[] | null)[];

  constructor(statement: Statement<Row>) {
    this.#statement = statement;
    this.#paths = statement.parameters.map((value) => PATHS.get(value as object) ?? null);
  }

  async execute(db: Kysely<Schema>, params: Params): Promise<Row[]> {
    const { sql: text, query, queryId, name, timeoutMs, parameters: constants } = this.#statement;
    const parameters = this.#paths.map((path, index) => (path === null ? constants[index] : valueAt(params, path)));
    const statement = { sql: text, query, queryId, parameters, name, timeoutMs };
    return (await db.executeQuery<Row>(statement)).rows;
  }
}

/**
 * A Postgres array literal. Arrays travel as text and are cast by the server, so that both drivers send the same bytes and
 * neither guesses element types.
 */
export function arrayLiteral(values: readonly (string | number | Uint8Array | null)[]): string {
  let text = "{";
  for (let index = 0; index < values.length; index++) {
    const value = values[index] as string | number | Uint8Array | null;
    if (index > 0) text += ",";
    if (value === null) text += "NULL";
    else if (typeof value === "number") text += value;
    else if (typeof value === "string") text += quoted(value);
    else text += `"\\\\x${Buffer.from(value.buffer, value.byteOffset, value.length).toString("hex")}"`;
  }
  return `${text}}`;
}

function quoted(text: string): string {
  // Searching twice for a character is thirty times as fast as once for either.
  const plain = !text.includes('"') && !text.includes("\\");
  return plain ? `"${text}"` : `"${text.replace(/["\\]/g, "\\$&")}"`;
}

/** Builds and compiles statements, and runs none. */
export const BUILDER = new Kysely<Schema>({
  dialect: {
    createDriver: () => new DummyDriver(),
    createQueryCompiler: () => new PostgresQueryCompiler(),
    createAdapter: () => new PostgresAdapter(),
    createIntrospector: (db) => new PostgresIntrospector(db),
  },
});

function compile<Row>(query: Query<Row>, db: Kysely<Schema>): CompiledQuery<Row> {
  return "isRawBuilder" in query ? query.compile(db) : query.compile();
}

const PATHS = new WeakMap<object, readonly string[]>();

/** Stands for the value at `path`; its members stand for the members of that. */
function placeholder(path: readonly string[]): object {
  const made = new Proxy(
    {},
    {
      get: (_, key) => (typeof key === "string" ? placeholder([...path, key]) : undefined),
      // They would all be missing, and so NULL.
      ownKeys: () => {
        throw new Error("a placeholder cannot list its members: name each, without rest or spread");
      },
    },
  );
  PATHS.set(made, path);
  return made;
}

function valueAt(params: object, path: readonly string[]): unknown {
  let value: unknown = params;
  for (const key of path) value = (value as Record<string, unknown>)[key];
  return value;
}
