import { StoreError } from "../../core/fault.ts";

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
