import { Worker } from "node:worker_threads";
import type { QueryResult, RawBuilder } from "kysely";
import type { BinaryFields } from "../../audit/row/binary-row.ts";
import { CopyRows, copyText } from "./copy.ts";
import { COMMIT, type SqlParam, Database, Connection } from "./database.ts";
import { SqlError } from "./sql-error.ts";
import type { EmbeddedRequest, EmbeddedResponse } from "./embedded-worker.ts";

/** The changed rows are counted where there are any. */
interface Answer {
  readonly rows: unknown[];
  readonly affected: number | undefined;
}

interface Pending {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: SqlError) => void;
}

/**
 * Postgres inside this process (PGlite), in a thread of its own. It does not fsync: a killed process loses nothing, a power
 * cut may. It has one session, so no separation of roles; the caller holds the data directory's lock.
 */
export class EmbeddedDatabase extends Database {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #transaction: Promise<void> | null = null;
  #dead: SqlError | null = null;

  private constructor(worker: Worker, onError: (error: Error) => void) {
    super();
    this.#worker = worker;
    worker.on("message", (response: EmbeddedResponse) => this.#settle(response));
    worker.on("error", (error) => {
      this.#die(error);
      onError(error);
    });
    worker.on("exit", () => this.#die(new Error("the embedded database has stopped")));
  }

  /** Opens or creates the database in `directory`, which this process alone uses. */
  static async open(directory: string, onError: (error: Error) => void): Promise<EmbeddedDatabase> {
    // In the published package this file is JavaScript, and so is its neighbour.
    const file = import.meta.url.endsWith(".ts") ? "./embedded-worker.ts" : "./embedded-worker.js";
    const worker = new Worker(new URL(file, import.meta.url), { workerData: { directory } });
    const database = new EmbeddedDatabase(worker, onError);
    // The worker's first message, under id 0, says that the database is open.
    await new Promise<Answer>((resolve, reject) => database.#pending.set(0, { resolve, reject }));
    return database;
  }

  async copy(query: RawBuilder<unknown>, each: (fields: BinaryFields) => void): Promise<void> {
    const rows = new CopyRows(each);
    const { rows: chunks } = await this.#whenFree(() => this.#send(copyText(query, "/dev/blob"), []));
    for (const chunk of chunks) rows.take(Buffer.from(chunk as Uint8Array));
  }

  protected override async connect(): Promise<EmbeddedConnection> {
    return new EmbeddedConnection({
      send: (text, params) => this.#send(text, params),
      sendWhenFree: (text, params) => this.#whenFree(() => this.#send(text, params)),
      reserve: () => this.#whenFree(() => this.#beginTransaction()),
    });
  }

  async close(): Promise<void> {
    this.#die(new Error("the embedded database is closed"));
    await this.#worker.terminate();
  }

  /** There is one session: while a transaction has it, all others wait. What `begin` does at once, it does before any other. */
  async #whenFree<T>(begin: () => T): Promise<Awaited<T>> {
    while (this.#transaction !== null) await this.#transaction;
    return await begin();
  }

  /** @returns what ends it */
  #beginTransaction(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#transaction = promise;
    return () => {
      this.#transaction = null;
      resolve();
    };
  }

  #send(text: string, params: readonly SqlParam[] | null): Promise<Answer> {
    if (this.#dead !== null) return Promise.reject(this.#dead);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ id, text, params } satisfies EmbeddedRequest);
    });
  }

  #settle(response: EmbeddedResponse): void {
    const pending = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if ("rows" in response) pending?.resolve(response);
    else pending?.reject(new SqlError(response.problem, response));
  }

  #die(cause: Error): void {
    if (this.#dead !== null) return;
    this.#dead = new SqlError(cause.message, { outcome: "unknown", cause });
    for (const pending of this.#pending.values()) pending.reject(this.#dead);
    this.#pending.clear();
  }
}

interface OneSession {
  readonly send: (text: string, params: readonly SqlParam[] | null) => Promise<Answer>;
  readonly sendWhenFree: (text: string, params: readonly SqlParam[] | null) => Promise<Answer>;
  /** Keeps all others waiting. @returns what ends that */
  readonly reserve: () => Promise<() => void>;
}

/** The one session, of which a connection has all only during a transaction. */
class EmbeddedConnection extends Connection {
  readonly #session: OneSession;
  #end: (() => void) | null = null;

  constructor(session: OneSession) {
    super();
    this.#session = session;
  }

  override async query<Row>(text: string, params: readonly SqlParam[] | null): Promise<QueryResult<Row>> {
    const send = this.#end === null ? this.#session.sendWhenFree : this.#session.send;
    const { rows, affected } = await send(text, params);
    return affected === undefined
      ? { rows: rows as Row[] }
      : { rows: rows as Row[], numAffectedRows: BigInt(affected) };
  }

  override async begin(): Promise<void> {
    this.#end = await this.#session.reserve();
    await this.#session.send("BEGIN", null);
  }

  override async commit(): Promise<void> {
    await this.#session.send(COMMIT, null);
    this.release();
  }

  override async rollback(): Promise<void> {
    await this.#session.send("ROLLBACK", null).catch(() => undefined);
    this.release();
  }

  override release(): void {
    this.#end?.();
    this.#end = null;
  }
}
