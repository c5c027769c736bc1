import { type RawBuilder, sql } from "kysely";
import { DECISION_COLUMNS_V2, type DecisionRow } from "../audit/row/record.ts";
import { atColumn } from "./dialect/statements.ts";

/** Postgres' types for the columns' kinds, as parameters carry them. */
const SQL_TYPE = { text: "text", uuid: "uuid", bytes: "bytea", micros: "bigint", int: "bigint" } as const;

type Extras = readonly { readonly name: string; readonly type: string }[];

/**
 * SQL for rows of decisions with their hashes, and whatever else, out of one parameter.
 *
 * @param json a JSON array of what {@link decisionJson} makes
 */
export function decisionInput(json: string, extras: Extras = []): RawBuilder<object> {
  const columns = [
    ...DECISION_COLUMNS_V2.map(({ name, field, kind }) => ({ name, field, type: SQL_TYPE[kind] })),
    ...[{ name: "hash", type: "bytea" }, ...extras].map(({ name, type }) => ({ name, field: name, type })),
  ];
  const definitions = sql.join(columns.map(({ field, type }) => sql`${sql.id(field)} ${sql.raw(type)}`));
  const selected = sql.join(columns.map(({ name, field }) => sql`${sql.id(field)} AS ${sql.id(name)}`));
  return sql`SELECT ${selected} FROM json_to_recordset(${json}::text::json) AS t(${definitions})`;
}

/** SQL that inserts the decisions that `from` selects of the input, as `FROM input WHERE …`. */
export function insertDecisions(from: RawBuilder<unknown>): RawBuilder<object> {
  const columns = DECISION_COLUMNS_V2.map(({ name, kind }) => ({ name: sql.id(name), kind }));
  const names = sql.join(columns.map(({ name }) => name));
  const values = sql.join(columns.map(({ name, kind }) => (kind === "micros" ? atColumn(name) : name)));
  return sql`INSERT INTO audit_decisions (${names}, hash) SELECT ${values}, hash ${from}`;
}

/**
 * A row as a member of the JSON array that {@link decisionInput} reads. One parameter for all rows and columns, rather than an
 * array for each column: it costs both sides less, most of all for a single row.
 */
export function decisionJson(row: DecisionRow, hash: Uint8Array, extras: object = {}): object {
  return {
    ...row,
    ...extras,
    requestDigest: bytea(row.requestDigest),
    payloadDigest: bytea(row.payloadDigest),
    guardRecordHash: bytea(row.guardRecordHash),
    hash: bytea(hash),
  };
}

/** Bytes as Postgres reads them from text. */
export function bytea(bytes: Uint8Array | null): string | null {
  if (bytes === null) return null;
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")}`;
}
