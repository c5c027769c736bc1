import type { QueryResult, RawBuilder } from "kysely";
import pg from "pg";
import type { BinaryFields } from "../../audit/row/binary-row.ts";
import { messageOf } from "../../core/fault.ts";
import { CopyRows, copyText } from "./copy.ts";
import { COMMIT, type QueryOptions, type SqlParam, Database, Connection } from "./database.ts";
import { SqlError } from "./sql-error.ts";
import { PARSERS, UnreadableValue, VALUE_SETTINGS } from "./values.ts";

const DEFAULT_TIMEOUT_MS = 2000;
const COPY_TIMEOUT_MS = 120_000;
/** What takes several statements may be large, and nobody waits for it. */
const LARGE_COMMIT_TIMEOUT_MS = 60_000;
/** What pg calls the commands that change rows. */
const CHANGES = new Set(["INSERT", "UPDATE", "DELETE", "MERGE"]);

/**
 * The first statement of each connection; startup parameters would do as well, but PgBouncer refuses those that it does not know.
 * Compiling a plan takes a second, running any of ours a fraction of that. The planner judges by how large it takes the tables to
 * be, and so compiled the query for unsealed rows again for each seal.
 */
const NO_JIT = "SET jit = off";
/** Also on the server: a statement that nobody waits for any more must not go on. */
const READ_ONLY = `SET default_transaction_read_only = on; SET statement_timeout = ${DEFAULT_TIMEOUT_MS}`;

/** What a transaction has locked must not stay so because its process was paused. */
const IDLE_TRANSACTION_MS = 10_000;
/** Not the server's default: at any other level the statement after a lock may not see what its last holder committed. */
const BEGIN = `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = ${IDLE_TRANSACTION_MS}`;

export interface PostgresOptions {
  readonly connections: number;
  readonly onError: (error: Error) => void;
  /** For reads that decisions must not wait for, nor suffer from. */
  readonly readOnly?: true;
}

/** Postgres 15 or newer, through a pool of connections that are thrown away when in doubt. */
export class PostgresDatabase extends Database {
  readonly #pool: pg.Pool;
  readonly #connections = new WeakMap<pg.PoolClient, PostgresConnection>();

  /** @param url a `postgres://` URL. Poolers in transaction mode are not supported: statements are prepared. */
  constructor(url: string, options: PostgresOptions) {
    super();
    const readOnly = options.readOnly === true;
    const settings = `${NO_JIT}; ${VALUE_SETTINGS}${readOnly ? `; ${READ_ONLY}` : ""}`;
    // The pool waits for what this returns (which its types do not say), without a limit of its own.
    const setUp = (client: pg.ClientBase): unknown => withTimeout(client.query(settings), DEFAULT_TIMEOUT_MS);
    this.#pool = new pg.Pool({
      connectionString: url,
      max: options.connections,
      connectionTimeoutMillis: DEFAULT_TIMEOUT_MS,
      keepAlive: true,
      application_name: readOnly ? "datacrawl reads" : "datacrawl",
      onConnect: setUp,
      types: { getTypeParser },
    });
    this.#pool.on("error", options.onError);
    // The pool listens to idle connections alone: one that is lost in mid-statement would end the process.
    this.#pool.on("connect", (client) => client.on("error", options.onError));
  }

  async copy(query: RawBuilder<unknown>, each: (fields: BinaryFields) => void): Promise<void> {
    const client = await this.#client();
    try {
      const copied = new Promise<void>((resolve, reject) => {
        client.query(new CopyOut(query, each, (error) => (error === null ? resolve() : reject(error))));
      });
      await withTimeout(copied, COPY_TIMEOUT_MS);
      client.release();
    } catch (error) {
      client.release(true);
      throw asSqlError(error);
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  protected override async connect(): Promise<PostgresConnection> {
    const client = await this.#client();
    let connection = this.#connections.get(client);
    if (connection === undefined) {
      connection = new PostgresConnection(client);
      this.#connections.set(client, connection);
    }
    return connection;
  }

  async #client(): Promise<pg.PoolClient> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      throw new SqlError(`Postgres cannot be reached: ${messageOf(error)}`, {
        outcome: "rolled_back",
        sqlState: error instanceof pg.DatabaseError ? error.code : undefined,
        cause: error,
      });
    }
  }
}

class PostgresConnection extends Connection {
  readonly #client: pg.PoolClient;
  #doubtful = false;

  constructor(client: pg.PoolClient) {
    super();
    this.#client = client;
  }

  override async query<Row>(
    text: string,
    params: readonly SqlParam[] | null,
    options: QueryOptions,
  ): Promise<QueryResult<Row>> {
    try {
      if (params === null) return await this.#script(text, options);
      const { rows, rowCount, command } = await ask(this.#client, text, params, options);
      return CHANGES.has(command) ? { rows, numAffectedRows: BigInt(rowCount ?? 0) } : { rows };
    } catch (error) {
      const failure = asSqlError(error);
      // Unless the server itself rolled back: statement_timeout would not bound a commit that waits for a standby.
      if (failure.outcome === "unknown") this.#doubtful = true;
      throw failure;
    }
  }

  override async begin(): Promise<void> {
    // Until it is committed it ends with its connection.
    this.#doubtful = true;
    await ask(this.#client, BEGIN);
  }

  override async commit(): Promise<void> {
    await ask(this.#client, COMMIT, [], { timeoutMs: LARGE_COMMIT_TIMEOUT_MS });
    this.#doubtful = false;
  }

  /** It ends with its connection. */
  override async rollback(): Promise<void> {
    this.#doubtful = true;
  }

  override release(): void {
    this.#client.release(this.#doubtful);
  }

  /** A layout's warnings, as of rights that were granted before, do not mean that it is not durable; those on COMMIT do. */
  async #script<Row>(text: string, { timeoutMs = DEFAULT_TIMEOUT_MS }: QueryOptions): Promise<QueryResult<Row>> {
    await withTimeout(this.#client.query(text), timeoutMs);
    return { rows: [] };
  }
}

/** A COPY … TO STDOUT, as pg submits queries: the driver itself has none. */
class CopyOut implements pg.Submittable {
  readonly #text: string;
  readonly #rows: CopyRows;
  readonly #done: (error: Error | null) => void;
  #error: Error | null = null;

  constructor(query: RawBuilder<unknown>, each: (fields: BinaryFields) => void, done: (error: Error | null) => void) {
    this.#text = copyText(query, null);
    this.#rows = new CopyRows(each);
    this.#done = done;
  }

  submit(connection: pg.Connection): void {
    connection.query(this.#text);
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    if (this.#error !== null) return;
    try {
      this.#rows.take(chunk);
    } catch (error) {
      this.#error = error instanceof Error ? error : new Error(String(error));
    }
  }

  handleCommandComplete(): void {}

  handleError(error: Error): void {
    this.#error ??= error;
    this.#done(this.#error);
  }

  handleReadyForQuery(): void {
    this.#done(this.#error);
  }
}

function getTypeParser(oid: number, format?: "text" | "binary"): (value: string) => unknown {
  return PARSERS.get(oid) ?? (pg.types.getTypeParser(oid, format) as (value: string) => unknown);
}

/** @throws SqlError */
async function ask(
  client: pg.PoolClient,
  text: string,
  params: readonly SqlParam[] = [],
  { name, timeoutMs = DEFAULT_TIMEOUT_MS }: QueryOptions = {},
): Promise<pg.QueryResult> {
  const warnings: string[] = [];
  const onNotice = (notice: { severity?: string | undefined; message?: string | undefined }): void => {
    if (notice.severity === "WARNING") warnings.push(notice.message ?? "");
  };
  client.on("notice", onNotice);
  try {
    const query = { text, values: [...params], ...(name === undefined ? {} : { name }) };
    const result = await withTimeout(client.query(query), timeoutMs);
    // A commit that stops waiting for its standby reports success and a warning: durable here, but not there.
    if (warnings.length > 0) throw new SqlError(`Postgres warned: ${warnings.join("; ")}`, { outcome: "unknown" });
    return result;
  } catch (error) {
    throw asSqlError(error);
  } finally {
    client.off("notice", onNotice);
  }
}

function asSqlError(error: unknown): SqlError {
  if (error instanceof SqlError) return error;
  if (error instanceof UnreadableValue)
    return new SqlError(error.message, { outcome: "unknown", sqlState: UnreadableValue.SQL_STATE, cause: error });
  if (!(error instanceof pg.DatabaseError)) return new SqlError(messageOf(error), { outcome: "unknown", cause: error });
  // A server that shuts down or crashes says FATAL or PANIC; whether it had committed before is not said.
  const outcome = error.severity === "ERROR" ? "rolled_back" : "unknown";
  return new SqlError(error.message, { outcome, sqlState: error.code, cause: error });
}

async function withTimeout<T>(work: Promise<T>, milliseconds: number | null): Promise<T> {
  if (milliseconds === null) return await work;
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new SqlError(`Postgres did not answer within ${milliseconds} ms`, { outcome: "unknown" }));
    }, milliseconds);
  });
  try {
    return await Promise.race([work, expired]);
  } finally {
    clearTimeout(timer);
    // The query of a connection that is thrown away fails later, with nobody left to hear it.
    work.catch(() => undefined);
  }
}
