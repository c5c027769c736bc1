import type { Client, Connection, Submittable } from "pg";

/** Writes rows in Postgres' text format into `target`, such as `table (column, …)`. */
export async function copyIn(client: Client, target: string, rows: string): Promise<void> {
  await new Promise<void>((resolve, reject) => void client.query(new CopyIn(target, rows, resolve, reject)));
}

/** A COPY … FROM STDIN, as pg submits queries: the driver itself has none. */
class CopyIn implements Submittable {
  readonly #target: string;
  readonly #rows: string;
  readonly #done: () => void;
  readonly #failed: (error: Error) => void;

  constructor(target: string, rows: string, done: () => void, failed: (error: Error) => void) {
    this.#target = target;
    this.#rows = rows;
    this.#done = done;
    this.#failed = failed;
  }

  submit(connection: Connection): void {
    connection.query(`COPY ${this.#target} FROM STDIN`);
  }

  handleCopyInResponse(connection: CopyConnection): void {
    connection.sendCopyFromChunk(Buffer.from(this.#rows));
    connection.endCopyFrom();
  }

  handleCommandComplete(): void {}

  handleError(error: Error): void {
    this.#failed(error);
  }

  handleReadyForQuery(): void {
    this.#done();
  }
}

/** What the driver's types leave out. */
interface CopyConnection extends Connection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}
