import type { Kysely, RawBuilder } from "kysely";
import type { BinaryFields } from "../../audit/row/binary-row.ts";
import { StoreError } from "../../core/fault.ts";
import type { Schema } from "../schema.ts";

/** Postgres over its wire, or the embedded database: what repositories and whoever opens it need of one. */
export interface Database {
  /** Where repositories run their statements. Each that is not in a transaction is one of its own. */
  readonly kysely: Kysely<Schema>;
  /** @throws SqlError unless the database answers */
  ping(): Promise<void>;
  /**
   * Sends the rows of `query`, which has no parameters, as their binary fields, one at a time and in order, without keeping
   * them: a field's bytes are valid until `each` returns.
   *
   * @throws SqlError
   */
  copy(query: RawBuilder<unknown>, each: (fields: BinaryFields) => void): Promise<void>;
  close(): Promise<void>;
}

/** Ends a transaction. Fails where a statement of it has failed; COMMIT alone would roll back and say nothing. */
export const COMMIT = "SELECT; COMMIT";

export type SqlParam = string | number | null | Uint8Array;

export interface QueryOptions {
  /** Prepares the statement under this name, once per connection. */
  readonly name?: string | undefined;
  /** How long to wait before the connection is given up, or null for no limit. Default 2000. */
  readonly timeoutMs?: number | null | undefined;
}

export interface SqlErrorOptions {
  readonly sqlState?: string | undefined;
  readonly outcome: "rolled_back" | "unknown";
  readonly cause?: unknown;
}

/** A statement that failed. */
export class SqlError extends StoreError {
  override readonly name = "SqlError";
  /** The five characters of Postgres' error code; absent if the database did not answer. */
  readonly sqlState: string | undefined;
  /** Whether it is certain that the statement changed nothing. */
  readonly outcome: "rolled_back" | "unknown";

  constructor(message: string, options: SqlErrorOptions) {
    super(message, { cause: options.cause });
    this.sqlState = options.sqlState;
    this.outcome = options.outcome;
  }

  override get isOutage(): boolean {
    return this.sqlState === undefined || OUTAGE.test(this.sqlState);
  }

  /** Postgres keeps values out of messages (into a detail, which is not read), except where a value itself is wrong. */
  override get quotesValues(): boolean {
    return this.sqlState?.startsWith("22") === true;
  }
}

/**
 * Classes of error codes that say nothing against the statement: connections, transactions that others rolled back, resources,
 * operators' interventions, system errors; a database that is read-only, and locks that others hold.
 */
const OUTAGE = /^(?:08|40|53|57|58)|^(?:25006|55P03)$/;

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
