import { setImmediate } from "node:timers/promises";

/**
 * Standard output or standard error, whose errors are kept instead of thrown. After the first one nothing more is written: a reader
 * that has seen enough, as `head` has, closes the pipe, and the command still finishes its work.
 */
export class OutputStream {
  readonly #stream: NodeJS.WritableStream;
  readonly #closed = new AbortController();
  #error: NodeJS.ErrnoException | null = null;
  #written: Promise<void> = Promise.resolve();

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
    stream.on("error", (error: NodeJS.ErrnoException) => {
      this.#error ??= error;
      this.#closed.abort(error);
    });
  }

  /** Aborted when nothing more can be written. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  write(text: string): void {
    if (this.#error === null) this.#written = new Promise((resolve) => this.#stream.write(text, () => resolve()));
  }

  /** Resolves when the system has everything that was written, or refused it: to why it did, or null. */
  async flushed(): Promise<NodeJS.ErrnoException | null> {
    await this.#written;
    // A write's callback comes before the event that says why it failed.
    await setImmediate();
    return this.#error;
  }
}

/**
 * What is wrong with `stdout` or `stderr` for people, or null. A reader that has gone away is no problem: it had what it wanted.
 */
export async function outputProblem(stdout: OutputStream, stderr: OutputStream): Promise<string | null> {
  const streams = [
    ["standard output", await stdout.flushed()],
    ["standard error", await stderr.flushed()],
  ] as const;
  for (const [name, error] of streams)
    if (error !== null && error.code !== "EPIPE") return `${name} cannot be written: ${error.message}`;
  return null;
}
