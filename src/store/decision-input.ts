import { DECISION_COLUMNS, type DecisionRow } from "../audit/record.ts";
import { timestampOf } from "./database.ts";

/** Postgres' types for the columns' kinds, as parameters carry them. */
const SQL_TYPE = { text: "text", uuid: "uuid", bytes: "bytea", micros: "bigint", int: "bigint" } as const;

/** SQL for rows of decisions with their hashes, and whatever else, out of the one parameter that {@link decisionJson} makes. */
export function decisionInput(extras: readonly { readonly name: string; readonly type: string }[] = []): string {
  const columns = [
    ...DECISION_COLUMNS.map(({ name, field, kind }) => ({ name, field, type: SQL_TYPE[kind] })),
    ...[{ name: "hash", type: "bytea" }, ...extras].map(({ name, type }) => ({ name, field: name, type })),
  ];
  const definitions = columns.map(({ field, type }) => `"${field}" ${type}`).join(", ");
  const selected = columns.map(({ name, field }) => `"${field}" AS ${name}`).join(", ");
  return `SELECT ${selected} FROM json_to_recordset($1::text::json) AS t(${definitions})`;
}

/** The columns' values, selected from the input, as the table has them. */
export const COLUMN_VALUES = DECISION_COLUMNS.map(({ name, kind }) =>
  kind === "micros" ? timestampOf(name) : name,
).join(", ");

/**
 * A row as a member of the JSON array that {@link decisionInput} reads. One parameter for all rows and columns, rather than an
 * array for each column: it costs both sides less, most of all for a single row.
 */
export function decisionJson(row: DecisionRow, hash: Uint8Array): object {
  return {
    ...row,
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
