import {
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  type RawBuilder,
  sql,
  type TableMetadata,
} from "kysely";
import type { BinaryFields } from "../../audit/row/binary-row.ts";
import type { Schema } from "../schema.ts";
import { runScript, type Statement } from "./statements.ts";

/** `datac` in ASCII, and a number. Who changes the layout waits here for all others who do, of whatever version. */
const LAYOUT_LOCK = 0x6461_7461_63_01;

/** Ends a transaction. Fails where a statement of it has failed; COMMIT alone would roll back and say nothing. */
export const COMMIT = "SELECT; COMMIT";

export type SqlParam = string | number | null | Uint8Array;

export interface QueryOptions {
  /** Prepares the statement under this name, once per connection. */
  readonly name?: string | undefined;
  /** How long to wait before the connection is given up, or null for no limit. Default 2000. */
  readonly timeoutMs?: number | null | undefined;
}

/** A session of the database that one caller has until it is released. */
export abstract class Connection implements DatabaseConnection {
  /**
   * @param params null for a script of several statements, whose rows are not read
   * @throws SqlError
   */
  abstract query<Row>(
    text: string,
    params: readonly SqlParam[] | null,
    options: QueryOptions,
  ): Promise<QueryResult<Row>>;
  /** Begins a transaction in which each statement sees what is committed when it begins. @throws SqlError */
  abstract begin(): Promise<void>;
  /** @throws SqlError also where a statement of the transaction has failed */
  abstract commit(): Promise<void>;
  /** Gives the transaction up. Never rejects. */
  abstract rollback(): Promise<void>;
  /** The caller uses it no more. A connection in doubt is thrown away. */
  abstract release(): void;

  executeQuery<Row>(statement: CompiledQuery & Partial<Statement<Row>>): Promise<QueryResult<Row>> {
    const params = statement.script === true ? null : (statement.parameters as readonly SqlParam[]);
    return this.query<Row>(statement.sql, params, statement);
  }

  streamQuery(): never {
    throw new Error("rows are not streamed: use Database.copy");
  }
}

/** Postgres over its wire, or the embedded database: Kysely over their connections, and what it does not do. */
export abstract class Database {
  /** Where repositories run their statements. Each that is not in a transaction is one of its own. */
  readonly kysely = new Kysely<Schema>({
    dialect: {
      createDriver: () => this.#driver(),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createAdapter: () => new LockingAdapter(),
      createIntrospector: (db) => new TablesAlone(db),
    },
  });

  /** @throws SqlError */
  protected abstract connect(): Promise<Connection>;
  /**
   * Sends the rows of `query`, which has no parameters, as their binary fields, one at a time and in order, without keeping
   * them: a field's bytes are valid until `each` returns.
   *
   * @throws SqlError
   */
  abstract copy(query: RawBuilder<unknown>, each: (fields: BinaryFields) => void): Promise<void>;
  abstract close(): Promise<void>;

  /** @throws SqlError unless the database answers */
  async ping(): Promise<void> {
    await sql`SELECT 1`.execute(this.kysely);
  }

  #driver(): Driver {
    return {
      init: async () => undefined,
      acquireConnection: () => this.connect(),
      async beginTransaction(connection: Connection, settings) {
        if (settings.isolationLevel !== undefined || settings.accessMode !== undefined)
          throw new Error("all transactions are READ COMMITTED and may write: leave the settings out");
        await connection.begin();
      },
      commitTransaction: (connection: Connection) => connection.commit(),
      rollbackTransaction: (connection: Connection) => connection.rollback(),
      releaseConnection: async (connection: Connection) => connection.release(),
      // The database closes its own connections.
      destroy: async () => undefined,
    };
  }
}

/** Keeps everybody else from changing the layout until `transaction` ends. */
export async function lockLayout(transaction: Kysely<Schema>): Promise<void> {
  await runScript(transaction, `SET LOCAL lock_timeout = '30s'; SELECT pg_advisory_xact_lock(${LAYOUT_LOCK})`);
}

/**
 * The Migrator's lock is the one that other scripts wait for, too, and ends with the transaction. Kysely's own is the session's: to give
 * it back is a statement, which fails after one that failed, and its error would hide the first.
 */
class LockingAdapter extends PostgresAdapter {
  override async acquireMigrationLock(db: Kysely<Schema>): Promise<void> {
    await sql`SELECT pg_advisory_xact_lock(${sql.lit(LAYOUT_LOCK)})`.execute(db);
  }

  override async releaseMigrationLock(): Promise<void> {}
}

/**
 * The tables on the search path, without their columns: the Migrator, which nobody else's question is like, asks at each start whether
 * its two are there. Kysely's own introspector reads each column of each partition, for a tenth of a second on the embedded
 * database, and also sees the tables of another program's schema.
 */
class TablesAlone extends PostgresIntrospector {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    super(db);
    this.#db = db;
  }

  override async getTables(): Promise<TableMetadata[]> {
    const { rows } = await sql<Pick<TableMetadata, "name" | "schema">>`
      SELECT relname::text AS name, relnamespace::regnamespace::text AS schema FROM pg_class
      WHERE relkind IN ('r', 'p') AND NOT relispartition AND pg_table_is_visible(oid)`.execute(this.#db);
    return rows.map((table) => ({ ...table, isView: false, isForeign: false, columns: [] }));
  }
}
