import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hash } from "node:crypto";
import type { Clock, Micros } from "@datacrawl/core/clock";
import { makeDirectory, replaceFile, syncDirectory, writeDurably } from "@datacrawl/core/durable";
import { failpoint } from "@datacrawl/core/failpoint";
import type { ExecutionRecord } from "@datacrawl/core/journal-format";
import type { ExecutionReport } from "../call/execution.ts";
import type { Journal } from "./journal.ts";

/** The start of an action under a bypass. */
export interface KeptStart {
  readonly decisionId: string;
  readonly executionId: string;
  readonly tool: string;
  readonly idempotencyKey: string;
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
/** A start, and the marks beside it: that the journal has its start, and that it has its end. */
const NAME = /^[0-9a-f]{64}(\.new|\.start|\.end)?$/;
const START_NAME = /^[0-9a-f]{64}$/;

export interface BypassStartsOptions {
  /** Of one agent; null: nothing can be started. */
  readonly dir: string | null;
  readonly agentId: string;
  readonly clock: Clock;
  /** Tells the service of what is started and how it ends. */
  readonly journal: Pick<Journal, "recordBypass">;
}

/**
 * The starts of actions under a bypass: for each idempotency key one file beside the journal, which outlives the process and the
 * upload of the journal. The file system decides who starts: a file is made once, by whichever process of the agent comes first.
 * Then the journal gets a record of it, and an empty file beside it says so.
 */
export class BypassStarts {
  readonly #dir: string | null;
  readonly #agentId: string;
  readonly #clock: Clock;
  readonly #journal: Pick<Journal, "recordBypass">;
  #isOpen = false;
  #isUsed = false;
  /** Starts that this process is about to tell the journal of. */
  readonly #underWay = new Set<string>();

  constructor({ dir, agentId, clock, journal }: BypassStartsOptions) {
    this.#dir = dir === null ? null : join(dir, "starts");
    this.#agentId = agentId;
    this.#clock = clock;
    this.#journal = journal;
  }

  /** Whether any start was seen in the directory. */
  get isUsed(): boolean {
    return this.#isUsed;
  }

  /**
   * Resolves when the start is durable, and so is its record in the journal: to null, or to the start that came before.
   *
   * @throws if it cannot be made durable, and then the caller must not run the tool
   */
  async claim(start: KeptStart): Promise<StartedBefore | null> {
    const dir = await this.#open();
    const name = nameOf(start.idempotencyKey);
    const path = join(dir, name);
    try {
      await writeDurably(path, JSON.stringify(start), 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return await this.#startedBefore(dir, name, start);
      await rm(path, { force: true }).catch(() => {});
      throw error;
    }
    this.#isUsed = true;
    this.#underWay.add(name);
    try {
      await syncDirectory(dir);
      failpoint("bypass-claimed");
      // A crash before this leaves a start that the next process tells the journal of.
      await this.#tell(dir, name, start);
      // INVARIANT: from here on the start and its record are durable. A crash leaves it without an end.
      return null;
    } catch (error) {
      // It is ours, and nobody runs the tool.
      await rm(path, { force: true }).catch(() => {});
      throw error;
    } finally {
      this.#underWay.delete(name);
    }
  }

  /** The start under a key; null if there is none, or its 24 hours are over. */
  async lookup(idempotencyKey: string): Promise<StartedBefore | null> {
    if (this.#dir === null) return null;
    try {
      const start = readStart(await readFile(join(this.#dir, nameOf(idempotencyKey)), "utf8"));
      return start !== null && this.#clock.now() - start.startedAt > KEPT_MS * 1000 ? null : { start };
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "ENOENT" ? null : { start: null };
    }
  }

  /** Resolves when the end is durable. */
  async end(start: KeptStart, report: ExecutionReport, endedAt: Micros): Promise<void> {
    const ended = { ...start, end: { ...report, endedAt } };
    const [dir, name] = [await this.#open(), nameOf(start.idempotencyKey)];
    await replaceFile(dir, name, JSON.stringify(ended));
    failpoint("bypass-ended");
    // What the journal does not get now it gets before the next upload.
    await this.#tell(dir, name, ended).catch(() => {});
    failpoint("bypass-end-recorded");
  }

  /** Tells the journal what it does not have: a crash, or a full disk, came before. To be called before each upload. Never rejects. */
  async tellJournal(): Promise<void> {
    const dir = this.#dir;
    if (dir === null) return;
    const names = new Set(await readdir(dir).catch(() => []));
    for (const name of names) {
      if (!START_NAME.test(name)) continue;
      this.#isUsed = true;
      if (this.#underWay.has(name) || names.has(`${name}.end`)) continue;
      const start = await readFile(join(dir, name), "utf8").then(readStart, () => null);
      if (start === null || names.has(`${name}.${markOf(start)}`)) continue;
      // One that the journal cannot take keeps no other from it.
      await this.#tell(dir, name, start).catch(() => {});
    }
  }

  async #startedBefore(dir: string, name: string, start: KeptStart): Promise<StartedBefore> {
    this.#isUsed = true;
    const before = await readFile(join(dir, name), "utf8").then(readStart, () => null);
    // A retry of the same start. The first may not have come to tell the journal.
    if (before?.nonce === start.nonce && !(await isThere(join(dir, `${name}.${markOf(before)}`))))
      await this.#tell(dir, name, before);
    return { start: before };
  }

  /** Resolves when the journal has a durable record of it. A record too many does no harm: the service knows the execution. */
  async #tell(dir: string, name: string, start: KeptStart): Promise<void> {
    await this.#journal.recordBypass(recordOf(this.#agentId, start));
    // Without an fsync: if a power cut takes it, the journal is told again.
    await writeFile(join(dir, `${name}.${markOf(start)}`), "", { mode: 0o600 }).catch(() => {});
  }

  async #open(): Promise<string> {
    if (this.#dir === null) throw new Error("there is no journal directory");
    if (this.#isOpen) return this.#dir;
    await makeDirectory(this.#dir);
    await this.tellJournal();
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

/** Null if a crash left it half written. */
function readStart(text: string): KeptStart | null {
  try {
    return JSON.parse(text) as KeptStart;
  } catch {
    return null;
  }
}

/** The mark that says that the journal has all of it. */
function markOf({ end }: KeptStart): "start" | "end" {
  return end === null ? "start" : "end";
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

function recordOf(agentId: string, kept: KeptStart): ExecutionRecord {
  const { decisionId, executionId, tool, idempotencyKey, startedAt, startedBy, end } = kept;
  const started = { agentId, decisionId, executionId, tool, idempotencyKey, startedAt, startedBy };
  if (end === null) return { kind: "bypass_start", ...started };
  const { outcome, endedAt, errorCode, durationMs, summary } = end;
  const facts = { errorCode: errorCode || null, durationMs: durationMs ?? null, summary: summary || null };
  return { kind: "bypass_end", ...started, outcome, endedAt, ...facts };
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
