import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@datacrawl/core/clock";
import { makeDirectory } from "@datacrawl/core/durable";
import { type FileLock, tryLock } from "@datacrawl/core/file-lock";
import { encodeLine, hex, type JournalEntry } from "@datacrawl/core/journal-format";
import { openRefusedLog, type RefusedLog } from "./refused.ts";
import { Segment } from "./segment.ts";
import type { JournalStore, Refused } from "./store.ts";

export interface DiskOptions {
  /** Of one agent; made if absent. */
  readonly dir: string;
  readonly agentId: string;
  readonly journalId: string;
  readonly maxBytes: number;
  readonly clock: Clock;
  /** Called with what an operator should know. */
  readonly note: (problem: string) => void;
}

/** About as many records as one upload takes. */
const SEGMENT_BYTES = 256 * 1024;
const SEGMENT_NAME = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.[0-9]{6}\.log$/;
const LOCK_NAME = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.lock$/;
/** After which a lock without files cannot be one whose holder is about to make them. */
const STALE_LOCK_MS = 60 * 60 * 1000;

/** @throws if the directory cannot be made or read */
export async function openDiskStore(options: DiskOptions): Promise<JournalStore> {
  await makeDirectory(options.dir);
  const store = new DiskStore(options, await openRefusedLog(options.dir, options.maxBytes));
  await store.adopt();
  return store;
}

/** A journal that a process left behind, ours now. */
interface Leftover {
  readonly lock: FileLock;
  readonly lockPath: string;
  segments: Segment[];
}

/**
 * Files `<journal id>.<number>.log` under the lock `<journal id>.lock`. A journal's lock is taken before its first file is
 * made and held as long as there is one, so a process that gets the lock of existing files has outlived their writer.
 */
class DiskStore implements JournalStore {
  readonly isDurable = true;
  readonly #options: DiskOptions;
  readonly #refused: RefusedLog;
  readonly #leftovers = new Map<string, Leftover>();
  #own: Segment[] = [];
  #active: Segment | null = null;
  #lock: FileLock | null = null;
  #made = 0;
  /** What the last call of `oldest` returned, by hex hash. */
  #handedOut = new Map<string, { readonly entry: JournalEntry; readonly segment: Segment }>();

  constructor(options: DiskOptions, refused: RefusedLog) {
    this.#options = options;
    this.#refused = refused;
  }

  get bytes(): number {
    return this.#segments().reduce((sum, segment) => sum + segment.bytes, 0);
  }

  get unsynced(): number {
    return this.#segments().reduce((sum, segment) => sum + segment.unsettled, 0);
  }

  async append(entries: readonly JournalEntry[], durable: boolean): Promise<void> {
    this.#lock ??= this.#takeOwnLock();
    const segment = (this.#active ??= await this.#newSegment());
    try {
      await segment.append(Buffer.concat(entries.map(encodeLine)), entries.length, durable);
    } catch (error) {
      await this.#retireActive();
      await this.#discardSettled();
      throw error;
    }
    if (segment.bytes >= SEGMENT_BYTES) await this.#retireActive();
  }

  async oldest(limit: number): Promise<readonly JournalEntry[]> {
    await this.adopt();
    for (const segment of this.#segments()) {
      const entries = (await this.#read(segment)).slice(0, limit);
      this.#handedOut = new Map(entries.map((entry) => [hex(entry.hash), { entry, segment }]));
      if (entries.length > 0) return entries;
    }
    await this.#discardSettled();
    return [];
  }

  async settle(recorded: readonly Uint8Array[], refused: readonly Refused[]): Promise<void> {
    for (const hash of recorded) this.#settle(hash);
    for (const { hash, problem } of refused) {
      const entry = this.#handedOut.get(hex(hash))?.entry;
      if (entry === undefined) continue;
      await this.#refused.keep(entry, problem);
      this.#settle(hash);
    }
    await this.#discardSettled();
  }

  async close(): Promise<void> {
    await this.#retireActive();
    await this.#discardSettled();
    for (const { lock } of this.#leftovers.values()) lock.release();
    this.#leftovers.clear();
    await this.#releaseOwn();
  }

  /** Takes over the journals of processes that have died. */
  async adopt(): Promise<void> {
    for (const journalId of await this.#foundJournals()) {
      if (journalId === this.#options.journalId || this.#leftovers.has(journalId)) continue;
      await this.#adoptJournal(journalId).catch((error: unknown) => {
        this.#options.note(`cannot take over journal ${journalId}: ${String(error)}`);
      });
    }
  }

  async #foundJournals(): Promise<Set<string>> {
    const names = await readdir(this.#options.dir);
    const found = new Set(names.flatMap((name) => SEGMENT_NAME.exec(name)?.[1] ?? []));
    for (const journalId of names.flatMap((name) => LOCK_NAME.exec(name)?.[1] ?? [])) {
      if (!found.has(journalId) && (await this.#isStale(journalId))) found.add(journalId);
    }
    return found;
  }

  async #isStale(journalId: string): Promise<boolean> {
    const madeAt = await stat(this.#lockPath(journalId)).then(
      ({ mtimeMs }) => mtimeMs,
      () => Number.POSITIVE_INFINITY,
    );
    return this.#options.clock.now() / 1000 - madeAt > STALE_LOCK_MS;
  }

  async #adoptJournal(journalId: string): Promise<void> {
    const lockPath = this.#lockPath(journalId);
    const lock = tryLock(lockPath);
    if (lock === null) return;
    const leftover: Leftover = { lock, lockPath, segments: [] };
    this.#leftovers.set(journalId, leftover);
    await this.#refused.reload();
    // Listed again now that nobody else can change them.
    const names = (await readdir(this.#options.dir)).filter((name) => SEGMENT_NAME.exec(name)?.[1] === journalId);
    for (const name of names.toSorted()) {
      const path = join(this.#options.dir, name);
      const segment = await Segment.adopt(path, journalId, this.#options.agentId, this.#refused.hashes);
      this.#noteDamage(segment);
      leftover.segments.push(segment);
    }
    await this.#discardSettled();
  }

  /** Leftovers first: they are older. */
  #segments(): Segment[] {
    return [...[...this.#leftovers.values()].flatMap(({ segments }) => segments), ...this.#own];
  }

  async #read(segment: Segment): Promise<readonly JournalEntry[]> {
    const wasDamaged = segment.damaged;
    const entries = await segment.unsettledEntries();
    if (!wasDamaged) this.#noteDamage(segment);
    // INVARIANT: nothing is appended behind damage, where no reader would find it.
    if (segment.damaged && segment === this.#active) await this.#retireActive();
    return entries;
  }

  #noteDamage(segment: Segment): void {
    if (segment.damaged) this.#options.note(`${segment.path} is damaged; it will be renamed to end in .damaged`);
  }

  #takeOwnLock(): FileLock {
    const lock = tryLock(this.#lockPath(this.#options.journalId));
    if (lock === null) throw new Error("the journal's own lock is held");
    return lock;
  }

  async #newSegment(): Promise<Segment> {
    const { dir, journalId, agentId } = this.#options;
    const number = String(++this.#made).padStart(6, "0");
    const segment = await Segment.create(join(dir, `${journalId}.${number}.log`), journalId, agentId);
    this.#own.push(segment);
    return segment;
  }

  async #retireActive(): Promise<void> {
    const segment = this.#active;
    this.#active = null;
    await segment?.retire();
  }

  #settle(hash: Uint8Array): void {
    this.#handedOut.get(hex(hash))?.segment.settle(hex(hash));
    this.#handedOut.delete(hex(hash));
  }

  async #discardSettled(): Promise<void> {
    if (this.#active?.unsettled === 0) await this.#retireActive();
    this.#own = await withoutSettled(this.#own);
    for (const [journalId, leftover] of this.#leftovers) {
      leftover.segments = await withoutSettled(leftover.segments);
      if (leftover.segments.length > 0) continue;
      this.#leftovers.delete(journalId);
      // The file goes while the lock is held: nobody else can be about to use it.
      await rm(leftover.lockPath, { force: true });
      leftover.lock.release();
    }
  }

  async #releaseOwn(): Promise<void> {
    if (this.#lock === null) return;
    if (this.#own.length === 0) await rm(this.#lockPath(this.#options.journalId), { force: true });
    this.#lock.release();
    this.#lock = null;
  }

  #lockPath(journalId: string): string {
    return join(this.#options.dir, `${journalId}.lock`);
  }
}

async function withoutSettled(segments: readonly Segment[]): Promise<Segment[]> {
  for (const segment of segments) if (segment.unsettled === 0) await segment.discard();
  return segments.filter((segment) => segment.unsettled > 0);
}
