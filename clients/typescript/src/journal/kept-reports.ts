import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@datacrawl/core/clock";
import { makeDirectory, syncDirectory, writeDurably } from "@datacrawl/core/durable";
import type { ReportRequest } from "../call/executions.ts";

const NAME = /^[0-9a-f-]{36}\.[0-9a-f-]{36}$/;
/** After which nobody waits for a report: operators have long been asked. */
const KEPT_MS = 7 * 24 * 60 * 60 * 1000;

/** Reports that the service did not take in time, each in a file beside the journal, until a later one of the agent's processes sends it. */
export class KeptReports {
  readonly #dir: string | null;
  readonly #clock: Clock;

  /** @param dir of one agent; null: nothing is kept */
  constructor(dir: string | null, clock: Clock) {
    this.#dir = dir === null ? null : join(dir, "reports");
    this.#clock = clock;
  }

  /** Whether there is a place for them. */
  get isOpen(): boolean {
    return this.#dir !== null;
  }

  /** Resolves to whether the report is durable, so also to false if another one of its execution is. */
  async keep(report: ReportRequest): Promise<boolean> {
    const dir = this.#dir;
    if (dir === null) return false;
    const [path, text] = [join(dir, nameOf(report)), JSON.stringify(report)];
    try {
      await makeDirectory(dir);
      await writeDurably(path, text, 0o600);
      await syncDirectory(dir);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") return false;
      return (await readFile(path, "utf8").catch(() => "")) === text;
    }
  }

  /** Those that are kept, and not yet too old. One that a crash left half written is removed. */
  async list(): Promise<readonly ReportRequest[]> {
    const dir = this.#dir;
    if (dir === null) return [];
    const names = await readdir(dir).catch(() => []);
    const kept = await Promise.all(names.filter((name) => NAME.test(name)).map((name) => this.#read(join(dir, name))));
    return kept.filter((report) => report !== null);
  }

  /** Lets go of a report that the service has, or will never take. */
  async remove(report: ReportRequest): Promise<void> {
    if (this.#dir !== null) await rm(join(this.#dir, nameOf(report)), { force: true });
  }

  async #read(path: string): Promise<ReportRequest | null> {
    try {
      const { mtimeMs } = await stat(path);
      if (this.#clock.now() / 1000 - mtimeMs < KEPT_MS)
        return JSON.parse(await readFile(path, "utf8")) as ReportRequest;
    } catch (error) {
      // Another process has sent it.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    }
    await rm(path, { force: true });
    return null;
  }
}

function nameOf({ decisionId, executionId }: ReportRequest): string {
  return `${decisionId}.${executionId}`;
}
