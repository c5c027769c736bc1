import { type Column, DECISION_COLUMNS, type DecisionRow } from "../audit/record.ts";
import { arrayLiteral, timestampOf } from "./database.ts";

/** Postgres' types for the columns' kinds, as parameters carry them. */
const SQL_TYPE = { text: "text", uuid: "uuid", bytes: "bytea", micros: "bigint", int: "bigint" } as const;

/** SQL that reads rows of decisions, with their hashes, from {@link decisionParams} and whatever arrays follow them. */
export function decisionInput(extras: readonly { readonly name: string; readonly type: string }[]): string {
  const columns = [
    ...DECISION_COLUMNS.map(({ name, kind }) => ({ name, type: SQL_TYPE[kind] })),
    { name: "hash", type: "bytea" },
    ...extras,
  ];
  const arrays = columns.map(({ type }, index) => `$${index + 1}::text::${type}[]`);
  return `SELECT * FROM unnest(${arrays.join(", ")}) AS t(${columns.map(({ name }) => name).join(", ")})`;
}

export const DECISION_INPUT = decisionInput([]);

/** The columns' values, selected from the input, as the table has them. */
export const COLUMN_VALUES = DECISION_COLUMNS.map(({ name, kind }) =>
  kind === "micros" ? timestampOf(name) : name,
).join(", ");

/** One array literal for each column, and one for the hashes. */
export function decisionParams(entries: readonly { readonly row: DecisionRow; readonly hash: Uint8Array }[]): string[] {
  return [
    ...DECISION_COLUMNS.map((column: Column<DecisionRow>) => arrayLiteral(entries.map(({ row }) => row[column.field]))),
    arrayLiteral(entries.map(({ hash }) => hash)),
  ];
}
