import { type FileHandle, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { syncDirectory } from "@datacrawl/core/durable";
import { failpoint } from "@datacrawl/core/failpoint";
import { hex, type JournalEntry, readSegment } from "@datacrawl/core/journal-format";

/** A journal is a row of files: each is removed as a whole when the service has all its records, so nothing is rewritten. */
export class Segment {
  readonly path: string;
  readonly journalId: string;
  readonly #agentId: string;
  /** Null if it is only read: one of a dead process, or full, or left after a failed write. */
  #file: FileHandle | null;
  /** Length of what is to be read. What may lie beyond it was never kept. */
  #bytes = 0;
  #unsettled = 0;
  #damaged = false;
  readonly #settled = new Set<string>();

  private constructor(path: string, journalId: string, agentId: string, file: FileHandle | null) {
    this.path = path;
    this.journalId = journalId;
    this.#agentId = agentId;
    this.#file = file;
  }

  /** A new file. Its name is durable before anything is written into it. */
  static async create(path: string, journalId: string, agentId: string): Promise<Segment> {
    const segment = new Segment(path, journalId, agentId, await open(path, "wx", 0o600));
    try {
      await syncDirectory(dirname(path));
    } catch (error) {
      await segment.discard();
      throw error;
    }
    return segment;
  }

  /** A file of a dead process. `settled` are hex hashes of records that are not to be uploaded again. */
  static async adopt(path: string, journalId: string, agentId: string, settled: Iterable<string>): Promise<Segment> {
    const segment = new Segment(path, journalId, agentId, null);
    for (const hash of settled) segment.#settled.add(hash);
    segment.#bytes = (await stat(path)).size;
    await segment.unsettledEntries();
    return segment;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Records that the service has neither recorded nor refused. */
  get unsettled(): number {
    return this.#unsettled;
  }

  /** Its records can be read only up to the damage; the file will be kept for people to look at. */
  get damaged(): boolean {
    return this.#damaged;
  }

  /**
   * Appends whole lines, all or none; with `durable`, they are on disk when it resolves.
   *
   * After a rejection nothing more may be appended: a failed fsync may have dropped pages that a second one will not miss.
   */
  async append(lines: Uint8Array, records: number, durable: boolean): Promise<void> {
    const file = this.#file;
    if (file === null) throw new Error("the journal file is not open for writing");
    if (durable) await this.#expect(file, this.#bytes);
    try {
      if (durable) failpoint("journal-writing");
      await writeAt(file, lines, this.#bytes);
      if (durable) {
        failpoint("journal-written");
        await file.sync();
        failpoint("journal-synced");
        await this.#expect(file, this.#bytes + lines.length);
      }
    } catch (error) {
      // Frees the space, and removes a record that was not acknowledged, so that a reader does not find it after a crash. If
      // this fails too, that record may be uploaded: one claim too many, never one too few.
      await file.truncate(this.#bytes).catch(() => {});
      throw error;
    }
    this.#bytes += lines.length;
    this.#unsettled += records;
  }

  /**
   * INVARIANT: what is durable stands where the next process looks for it. A file that somebody has removed or replaced takes every
   * write and fsync, and keeps them from everyone.
   */
  async #expect(file: FileHandle, bytes: number): Promise<void> {
    const [found, written] = await Promise.all([stat(this.path), file.stat()]);
    if (found.dev !== written.dev || found.ino !== written.ino) throw new Error(`${this.path} was replaced`);
    if (found.size !== bytes) throw new Error(`${this.path} has ${found.size} bytes; ${bytes} were written`);
  }

  /** The records that are to be uploaded, oldest first. */
  async unsettledEntries(): Promise<readonly JournalEntry[]> {
    const content = await readFile(this.path).catch(() => null);
    const sound = content?.subarray(0, this.#bytes) ?? new Uint8Array();
    const { entries, end } = readSegment(sound, this.journalId, this.#agentId);
    const unsettled = entries.filter((entry) => !this.#settled.has(hex(entry.hash)));
    this.#damaged ||= content === null || end === "damaged" || unsettled.length < this.#unsettled;
    this.#unsettled = unsettled.length;
    return unsettled;
  }

  settle(hash: string): void {
    if (this.#settled.has(hash)) return;
    this.#settled.add(hash);
    this.#unsettled--;
  }

  /** Ends writing. */
  async retire(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.close();
  }

  /** Removes the file; a damaged one is renamed instead, and no journal looks at it again. */
  async discard(): Promise<void> {
    await this.retire().catch(() => {});
    if (this.#damaged) await rename(this.path, `${this.path}.damaged`).catch(() => {});
    else await rm(this.path, { force: true });
  }
}

/** A full disk shows as a short write first and as an error at the next. */
async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    written += (await file.write(bytes, written, bytes.length - written, position + written)).bytesWritten;
  }
}
