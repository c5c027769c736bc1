import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { hash } from "node:crypto";
import type { Clock, Micros } from "@datacrawl/core/clock";
import { makeDirectory, replaceFile, syncDirectory, writeDurably } from "@datacrawl/core/durable";
import type { ExecutionReport } from "../call/execution.ts";

/** The start of an action under a bypass. */
export interface KeptStart {
  readonly decisionId: string;
  readonly executionId: string;
  /** In base64: a retry of the same start has the same. */
  readonly nonce: string;
  readonly startedAt: Micros;
  /** The id of the journal whose process started it. */
  readonly startedBy: string;
  readonly end: (ExecutionReport & { readonly endedAt: Micros }) | null;
}

/** The start that there is already; null if what is kept of it cannot be read. */
export type StartedBefore = { readonly start: KeptStart | null };

/** How long a key names one action. */
const KEPT_MS = 24 * 60 * 60 * 1000;
const NAME = /^[0-9a-f]{64}(\.new)?$/;

/**
 * The starts of actions under a bypass: for each idempotency key one file beside the journal, which outlives the process and the
 * upload of the journal. The file system decides who starts: a file is made once, by whichever process of the agent comes first.
 */
export class BypassStarts {
  readonly #dir: string | null;
  readonly #clock: Clock;
  #isOpen = false;

  /** @param dir of one agent; null: nothing can be started */
  constructor(dir: string | null, clock: Clock) {
    this.#dir = dir === null ? null : join(dir, "starts");
    this.#clock = clock;
  }

  /**
   * Resolves when the start is durable: to null, or to the start that came before.
   *
   * @throws if it cannot be made durable, and then the caller must not run the tool
   */
  async claim(idempotencyKey: string, start: KeptStart): Promise<StartedBefore | null> {
    const dir = await this.#open();
    const name = nameOf(idempotencyKey);
    const path = join(dir, name);
    try {
      await writeDurably(path, JSON.stringify(start), 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return { start: await this.find(idempotencyKey) };
      // It is ours, and nobody runs the tool.
      await rm(path, { force: true }).catch(() => {});
      throw error;
    }
    await syncDirectory(dir);
    // INVARIANT: from here on the start is durable. A crash leaves it without an end.
    return null;
  }

  /** Null if there is none, or if it cannot be read. */
  async find(idempotencyKey: string): Promise<KeptStart | null> {
    if (this.#dir === null) return null;
    try {
      return JSON.parse(await readFile(join(this.#dir, nameOf(idempotencyKey)), "utf8")) as KeptStart;
    } catch {
      return null;
    }
  }

  /** Resolves when the end is durable. */
  async end(idempotencyKey: string, start: KeptStart, report: ExecutionReport, endedAt: Micros): Promise<void> {
    const end = { ...report, endedAt };
    await replaceFile(await this.#open(), nameOf(idempotencyKey), JSON.stringify({ ...start, end }));
  }

  async #open(): Promise<string> {
    if (this.#dir === null) throw new Error("there is no journal directory");
    if (this.#isOpen) return this.#dir;
    await makeDirectory(this.#dir);
    await this.#sweep(this.#dir);
    this.#isOpen = true;
    return this.#dir;
  }

  /** Removes what is older than its key. */
  async #sweep(dir: string): Promise<void> {
    for (const name of await readdir(dir)) {
      if (!NAME.test(name)) continue;
      const path = join(dir, name);
      const madeAt = await stat(path).then(
        ({ mtimeMs }) => mtimeMs,
        () => Number.POSITIVE_INFINITY,
      );
      if (this.#clock.now() / 1000 - madeAt > KEPT_MS) await rm(path, { force: true });
    }
  }
}

/** Whether a report says what is kept. */
export function saysTheSame(kept: ExecutionReport, report: ExecutionReport): boolean {
  const { outcome, errorCode, durationMs, summary } = report;
  return (
    kept.outcome === outcome &&
    kept.errorCode === errorCode &&
    kept.durationMs === durationMs &&
    kept.summary === summary
  );
}

/** A key can hold what a file's name cannot. */
function nameOf(idempotencyKey: string): string {
  return hash("sha256", idempotencyKey, "hex");
}
