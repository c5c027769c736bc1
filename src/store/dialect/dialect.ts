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
  type TransactionSettings,
} from "kysely";
import type { BinaryFields } from "../../audit/row/binary-row.ts";
import type { Database, QueryOptions, SqlParam } from "./database.ts";
import type { Schema } from "../schema.ts";
import { runScript, type Statement } from "./statements.ts";

/** `datac` in ASCII, and a number. Who changes the layout waits here for all others who do, of whatever version. */
const LAYOUT_LOCK = 0x6461_7461_63_01;

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

/** What the two databases have in common: Kysely over their connections. */
export abstract class ConnectedDatabase implements Database {
  readonly kysely = new Kysely<Schema>({
    dialect: {
      createDriver: () => new ConnectionDriver(() => this.connect()),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createAdapter: () => new LockingAdapter(),
      createIntrospector: (db) => new TablesAlone(db),
    },
  });

  /** @throws SqlError */
  protected abstract connect(): Promise<Connection>;
  abstract copy(query: RawBuilder<unknown>, each: (fields: BinaryFields) => void): Promise<void>;
  abstract close(): Promise<void>;

  async ping(): Promise<void> {
    await sql`SELECT 1`.execute(this.kysely);
  }
}

/** Keeps everybody else from changing the layout until `transaction` ends. */
export async function lockLayout(transaction: Kysely<Schema>): Promise<void> {
  await runScript(transaction, `SET LOCAL lock_timeout = '30s'; SELECT pg_advisory_xact_lock(${LAYOUT_LOCK})`);
}

/** Kysely's side of {@link Connection}. */
class ConnectionDriver implements Driver {
  readonly #connect: () => Promise<Connection>;

  constructor(connect: () => Promise<Connection>) {
    this.#connect = connect;
  }

  async init(): Promise<void> {}

  acquireConnection(): Promise<Connection> {
    return this.#connect();
  }

  async beginTransaction(connection: Connection, settings: TransactionSettings): Promise<void> {
    if (settings.isolationLevel !== undefined || settings.accessMode !== undefined)
      throw new Error("all transactions are READ COMMITTED and may write: leave the settings out");
    await connection.begin();
  }

  commitTransaction(connection: Connection): Promise<void> {
    return connection.commit();
  }

  rollbackTransaction(connection: Connection): Promise<void> {
    return connection.rollback();
  }

  async releaseConnection(connection: Connection): Promise<void> {
    connection.release();
  }

  /** The database closes its own connections. */
  async destroy(): Promise<void> {}
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
