import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { AGENT_ID } from "@datacrawl/core/names";
import type { Clock } from "@datacrawl/core/clock";
import { openDiskStore } from "./disk.ts";
import { encodeEntry, isExecution, NO_HASH } from "@datacrawl/core/journal-format";
import type {
  BypassRecord,
  DenyRecord,
  ExecutionRecord,
  JournalEntry,
  JournalRecord,
} from "@datacrawl/core/journal-format";
import { memoryStore } from "./memory.ts";
import type { JournalStore, Refused } from "./store.ts";

export type { BypassRecord, DenyRecord, JournalEntry };

/** What a guard decided alone, kept until the service has it. The agent's claim, not proof. */
export interface Journal {
  /** UUID, made when the journal was opened: one for each process. */
  readonly id: string;
  /**
   * Buffered and bounded: when the journal is full, or cannot be written, denies are counted instead, and `make` is not called.
   * Never throws if `make` does not.
   */
  recordDeny(make: () => DenyRecord): void;
  /**
   * A bypass, or the start or end of its action. Resolves when the record is fsynced. Rejects if it cannot be (no directory, disk
   * full, closed), and then the caller must deny, or not start it. Never dropped for want of room: it does not count against the
   * journal's bound.
   */
  recordBypass(record: BypassRecord | ExecutionRecord): Promise<void>;
  /**
   * The oldest records so far that the service does not have, at most `limit`, of one journal: this one, or one that a dead process
   * left in the directory, which goes first.
   */
  pending(limit: number): Promise<readonly JournalEntry[]>;
  /**
   * Lets go of records that `pending` returned last: those that the service has recorded, and those that it will never accept,
   * which are kept aside and not returned again. Other hashes are ignored.
   */
  acknowledge(recordedHashes: readonly Uint8Array[], refused?: readonly Refused[]): Promise<void>;
  /** Records to be uploaded, and denies that were counted instead of kept since the journal was opened. */
  readonly counts: { readonly unsynced: number; readonly coalescedDenies: number };
  /** What an operator should know (a damaged file, a failed write), newest last, at most 20. */
  readonly problems: readonly string[];
  /** Writes the buffer and releases the files: the next process that opens a journal in the directory uploads them. */
  close(): Promise<void>;
}

export interface JournalOptions {
  /**
   * Agents may share it, services may not. Without one denies are kept in memory, end with the process, and no bypass is
   * possible.
   */
  readonly dir: string | null;
  readonly agentId: string;
  readonly clock: Clock;
  /** Bound on what the kept denies take. Several processes at work have one each. 16 MiB if not given. */
  readonly maxBytes?: number;
}

/** @throws if the directory cannot be made or read, or `agentId` is malformed */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { dir, agentId, clock, maxBytes = 16 * 1024 * 1024 } = options;
  if (!AGENT_ID.test(agentId)) throw new RangeError(`not an agent id: ${JSON.stringify(agentId)}`);
  const journalId = randomUUID();
  const problems: string[] = [];
  const note = (problem: string): void => {
    problems.push(problem);
    if (problems.length > 20) problems.shift();
  };
  const store =
    dir === null
      ? memoryStore()
      : await openDiskStore({ dir: join(dir, agentId), agentId, journalId, maxBytes, clock, note });
  return new BufferedJournal({ journalId, agentId, clock, maxBytes, store, problems, note });
}

interface Parts {
  readonly journalId: string;
  readonly agentId: string;
  readonly clock: Clock;
  readonly maxBytes: number;
  readonly store: JournalStore;
  readonly problems: readonly string[];
  readonly note: (problem: string) => void;
}

/** A record that waits to be written, and the callbacks of its writer. The writer of a deny has none. */
interface Waiting {
  readonly record: JournalRecord;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Records per write and fsync. Bounds how long encoding blocks the process to about a millisecond. */
const BATCH = 64;
const MAX_WAITING_DENIES = 4096;
/** How long a deny may wait for others that are written with it: a write of its own costs more than all else about it. */
const GATHER_MS = 50;
const FULL = new Error("the journal is full");
/** How long a disk that failed is spared denies. */
const REST_MS = 1000;

class BufferedJournal implements Journal {
  readonly #parts: Parts;
  readonly #waiting: Waiting[] = [];
  /** Records on their way to the store: neither waiting nor in it. */
  #writing = 0;
  /** The store's users, one behind the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #isWriting = false;
  /** A bypass was added since the write began: the writer continues until it is written. */
  #isUrgent = false;
  #isClosed = false;
  #last = { sequence: 0, hash: NO_HASH };
  #coalescedDenies = 0;
  /** Of those, how many are not yet counted in a record. */
  #uncounted = 0;
  #restUntil = Number.NEGATIVE_INFINITY;
  #isFull: boolean;
  #gathering: NodeJS.Timeout | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#isFull = parts.store.bytes >= parts.maxBytes;
  }

  get id(): string {
    return this.#parts.journalId;
  }

  get problems(): readonly string[] {
    return this.#parts.problems;
  }

  get counts(): { unsynced: number; coalescedDenies: number } {
    const unsynced = this.#parts.store.unsynced + this.#writing + this.#waiting.length;
    return { unsynced, coalescedDenies: this.#coalescedDenies };
  }

  recordDeny(make: () => DenyRecord): void {
    const isResting = this.#parts.clock.monotonic() < this.#restUntil;
    if (this.#isClosed || this.#isFull || isResting || this.#waiting.length >= MAX_WAITING_DENIES) {
      return this.#coalesceOne();
    }
    this.#waiting.push({ record: make(), resolve: nothing, reject: this.#coalesceOne });
    this.#gather();
  }

  recordBypass(record: BypassRecord | ExecutionRecord): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) reject(new Error("the journal is closed"));
      else if (!this.#parts.store.isDurable) reject(new Error("there is no journal directory"));
      else {
        this.#waiting.push({ record, resolve, reject });
        this.#isUrgent = true;
        if (!this.#isWriting) void this.#writeAll();
      }
    });
  }

  pending(limit: number): Promise<readonly JournalEntry[]> {
    return this.#inTurn(async () => {
      // What was recorded before this call belongs to it; what comes meanwhile does not, or a flood would never let it end.
      for (let left = this.#waiting.length; left > 0; left -= BATCH) await this.#writeBatch();
      return this.#isClosed ? [] : this.#parts.store.oldest(limit);
    });
  }

  acknowledge(recordedHashes: readonly Uint8Array[], refused: readonly Refused[] = []): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#isClosed) await this.#parts.store.settle(recordedHashes, refused);
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stopGathering();
    while (this.#waiting.length > 0) await this.#inTurn(() => this.#writeBatch());
    await this.#inTurn(() => this.#parts.store.close());
  }

  readonly #coalesceOne = (): void => {
    this.#coalescedDenies++;
    this.#uncounted++;
  };

  /** The timer holds the process: one that ends by itself has its denies written. */
  #gather(): void {
    if (!this.#isWriting) this.#gathering ??= setTimeout(() => void this.#writeAll(), GATHER_MS);
  }

  async #writeAll(): Promise<void> {
    this.#stopGathering();
    this.#isWriting = true;
    do {
      this.#isUrgent = false;
      for (let left = this.#waiting.length; left > 0; left -= BATCH) await this.#inTurn(() => this.#writeBatch());
    } while (this.#isUrgent);
    this.#isWriting = false;
    if (this.#waiting.length > 0 && !this.#isClosed) this.#gather();
  }

  #stopGathering(): void {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
  }

  /** Writes the oldest waiting records at one stroke: bypasses that wait together share an fsync. Never rejects. */
  async #writeBatch(): Promise<void> {
    const batch = this.#waiting.splice(0, BATCH);
    const { entries, chained, coalesced } = this.#chain(batch);
    const newest = entries.at(-1);
    if (newest === undefined) return;
    const durable = chained.some(({ record }) => record.kind !== "deny");
    this.#writing = entries.length;
    try {
      await this.#parts.store.append(entries, durable);
    } catch (error) {
      // Nothing of the batch was kept, so the chain has not moved.
      this.#parts.note(`cannot write the journal: ${String(error)}`);
      this.#restUntil = this.#parts.clock.monotonic() + REST_MS;
      for (const { reject } of chained) reject(error);
      return;
    } finally {
      this.#writing = 0;
    }
    this.#last = { sequence: newest.sequence, hash: newest.hash };
    this.#uncounted -= coalesced;
    for (const { resolve } of chained) resolve();
  }

  /** The batch as entries of the chain, without what there is no room for and what cannot be recorded. */
  #chain(batch: readonly Waiting[]): { entries: JournalEntry[]; chained: Waiting[]; coalesced: number } {
    const entries: JournalEntry[] = [];
    const chained: Waiting[] = [];
    let { sequence, hash } = this.#last;
    let coalesced = 0;
    let { bytes } = this.#parts.store;
    for (const waiting of batch) {
      if (waiting.record.kind === "deny" && bytes >= this.#parts.maxBytes) {
        waiting.reject(FULL);
        continue;
      }
      try {
        // A record of layout 2 has no place for it.
        const untold = isExecution(waiting.record) ? 0 : this.#uncounted - coalesced;
        const entry = encodeEntry(
          waiting.record,
          { journalId: this.id, sequence: sequence + 1, coalesced: untold },
          hash,
        );
        coalesced += untold;
        bytes += entry.body.length;
        ({ sequence, hash } = entry);
        entries.push(entry);
        chained.push(waiting);
      } catch (error) {
        waiting.reject(error);
      }
    }
    return { entries, chained, coalesced };
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = this.#after(result);
    return result;
  }

  async #after(work: Promise<unknown>): Promise<void> {
    // The caller of that work handles its error.
    await work.catch(() => {});
    this.#isFull = this.#parts.store.bytes >= this.#parts.maxBytes;
  }
}

function nothing(): void {}
