import { UUID } from "../../core/ids.ts";
import {
  type Column,
  type ColumnKind,
  DECISION_COLUMNS,
  DECISION_COLUMNS_V2,
  type DecisionRow,
  isVersion2,
} from "./record.ts";

/** A row as proofs and exports write it: by column name; times in microseconds, bytes in hex. */
export type JsonRow = Readonly<Record<string, string | number | null>>;

/** What is wrong with a row that was read. */
export class RowError extends Error {
  override readonly name = "RowError";
}

const HEX = /^([0-9a-f]{2})*$/;

export function rowToJson<Row>(columns: readonly Column<Row>[], row: Row): JsonRow {
  return Object.fromEntries(
    columns.map(({ name, field }) => {
      const value = row[field];
      return [name, value instanceof Uint8Array ? toHex(value) : (value as string | number | null)];
    }),
  );
}

/**
 * The inverse of {@link rowToJson}. All columns must be there, and nothing else; whether the values are what a service would
 * write is for the row's hash to say.
 *
 * @throws RowError
 */
export function rowFromJson<Row>(columns: readonly Column<Row>[], unverifiedRow: unknown): Row {
  if (typeof unverifiedRow !== "object" || unverifiedRow === null || Array.isArray(unverifiedRow))
    throw new RowError("the row is not an object");
  const values = new Map(Object.entries(unverifiedRow));
  const row: Record<string, unknown> = {};
  for (const { name, field, kind } of columns) {
    if (!values.has(name)) throw new RowError(`the row has no ${name}`);
    row[field] = valueOf(name, kind, values.get(name));
    values.delete(name);
  }
  const [unknown] = values.keys();
  if (unknown !== undefined) throw new RowError(`the row has a column ${JSON.stringify(unknown.slice(0, 40))}`);
  return row as Row;
}

/** A decision by the columns of its version. */
export function decisionToJson(row: DecisionRow): JsonRow {
  return rowToJson(isVersion2(row) ? DECISION_COLUMNS_V2 : DECISION_COLUMNS, row);
}

/**
 * The inverse of {@link decisionToJson}. A row that has the columns of version 2 but no value in any of them is refused: each row has
 * one form, and this one's is version 1.
 *
 * @throws RowError
 */
export function decisionFromJson(unverifiedRow: unknown): DecisionRow {
  const hasMore =
    typeof unverifiedRow === "object" &&
    unverifiedRow !== null &&
    VERSION_2.some((name) => Object.hasOwn(unverifiedRow, name));
  if (!hasMore)
    return { ...rowFromJson<DecisionRow>(DECISION_COLUMNS, unverifiedRow), principal: null, sessionId: null };
  const row = rowFromJson<DecisionRow>(DECISION_COLUMNS_V2, unverifiedRow);
  if (isVersion2(row)) return row;
  throw new RowError("the row has neither a principal nor a session, and must not have their columns");
}

const VERSION_2 = DECISION_COLUMNS_V2.slice(DECISION_COLUMNS.length).map(({ name }) => name);

/** Null unless `text` is lower-case hex of `length` bytes. */
export function fromHex(text: unknown, length: number | null = null): Buffer | null {
  if (typeof text !== "string" || !HEX.test(text)) return null;
  return length === null || text.length === 2 * length ? Buffer.from(text, "hex") : null;
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function valueOf(name: string, kind: ColumnKind, value: unknown): unknown {
  if (value === null) return null;
  const read = READ[kind](value);
  if (read === null) throw new RowError(`the row's ${name} is not ${KIND_NAME[kind]}`);
  return read;
}

const text = (value: unknown): string | null => (typeof value === "string" ? value : null);
const whole = (value: unknown): number | null => (Number.isSafeInteger(value) ? (value as number) : null);

const READ: Readonly<Record<ColumnKind, (value: unknown) => unknown>> = {
  text,
  uuid: (value) => (UUID.test(text(value) ?? "") ? value : null),
  bytes: (value) => fromHex(value),
  micros: whole,
  int: whole,
};

const KIND_NAME: Readonly<Record<ColumnKind, string>> = {
  text: "text",
  uuid: "a UUID in lower case",
  bytes: "bytes in lower-case hex",
  micros: "a whole number of microseconds",
  int: "a whole number",
};
