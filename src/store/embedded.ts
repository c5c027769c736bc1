import { Worker } from "node:worker_threads";
import type { BinaryFields } from "../audit/binary-row.ts";
import { CopyRows, copyText } from "./copy.ts";
import { COMMIT, type Database, type Session, SqlError, type SqlParam } from "./database.ts";
import type { EmbeddedRequest, EmbeddedResponse } from "./embedded-worker.ts";

interface Pending {
  readonly resolve: (rows: unknown[]) => void;
  readonly reject: (error: SqlError) => void;
}

/**
 * Postgres inside this process (PGlite), in a thread of its own. It does not fsync: a killed process loses nothing, a power
 * cut may. It has one session, so no separation of roles; the caller holds the data directory's lock.
 */
export class EmbeddedDatabase implements Database {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #transaction: Promise<void> | null = null;
  #dead: SqlError | null = null;

  private constructor(worker: Worker, onError: (error: Error) => void) {
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
    await new Promise<unknown[]>((resolve, reject) => database.#pending.set(0, { resolve, reject }));
    return database;
  }

  async query<Row>(text: string, params: readonly SqlParam[] = []): Promise<Row[]> {
    return (await this.#whenFree(() => this.#send(text, params))) as Row[];
  }

  async copy(query: string, each: (fields: BinaryFields) => void): Promise<void> {
    const rows = new CopyRows(each);
    const chunks = await this.#whenFree(() => this.#send(copyText(query, "'/dev/blob'"), []));
    for (const chunk of chunks) rows.take(Buffer.from(chunk as Uint8Array));
  }

  async transaction<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const end = await this.#whenFree(() => this.#beginTransaction());
    try {
      await this.#send("BEGIN", null);
      const result = await work({
        query: async <Row>(text: string, params: readonly SqlParam[] = []) => (await this.#send(text, params)) as Row[],
      });
      await this.#send(COMMIT, null);
      return result;
    } catch (error) {
      await this.#send("ROLLBACK", null).catch(() => undefined);
      throw error;
    } finally {
      end();
    }
  }

  async script(text: string): Promise<void> {
    await this.transaction(async () => void (await this.#send(text, null)));
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

  #send(text: string, params: readonly SqlParam[] | null): Promise<unknown[]> {
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
    if ("rows" in response) pending?.resolve(response.rows);
    else pending?.reject(new SqlError(response.problem, { outcome: "rolled_back", sqlState: response.sqlState }));
  }

  #die(cause: Error): void {
    if (this.#dead !== null) return;
    this.#dead = new SqlError(cause.message, { outcome: "unknown", cause });
    for (const pending of this.#pending.values()) pending.reject(this.#dead);
    this.#pending.clear();
  }
}
