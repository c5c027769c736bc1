import { Fault } from "../../core/fault.ts";
import { FairQueue } from "./fair-queue.ts";

/** The store refused the data of at least one entry; none was written. */
export class PoisonedBatch extends Error {
  override readonly name = "PoisonedBatch";
}

/** The store was lost in mid-commit, and reading back did not show that the batch is there. It may still appear. */
export class CommitUnknown extends Error {
  override readonly name = "CommitUnknown";
}

export interface WriterLimits {
  /** Entries that may wait, in all. */
  readonly queue: number;
  /** Entries of one agent that may wait. */
  readonly queuePerAgent: number;
  /** Entries in one statement. */
  readonly batch: number;
  /** Characters of payloads in one statement, of which there is at least one: it must be done before it times out. */
  readonly batchPayloads: number;
  /** Statements under way at once. */
  readonly inFlight: number;
}

export const WRITER_LIMITS: WriterLimits = {
  queue: 8192,
  queuePerAgent: 2048,
  batch: 256,
  batchPayloads: 2 * 1024 * 1024,
  inFlight: 2,
};

/** What a writer reports about itself; all optional work, called synchronously. */
export interface WriterObserver {
  batch(size: number, milliseconds: number): void;
  storeError(error: unknown): void;
}

/** What a writer has to know of what it writes. */
export interface EntryKind<Entry, Written> {
  /** Such as `decision`, for messages. */
  readonly noun: string;
  /**
   * Writes a batch in one transaction and resolves after it is durably committed, with what was written by entries' ids; the others
   * lost the race for their claim. No two entries of a batch make the same claim.
   *
   * @throws PoisonedBatch if the data of some entry is at fault and nothing was written
   * @throws CommitUnknown if the batch may have been committed
   * @throws anything else if nothing was written
   */
  readonly write: (entries: readonly Entry[]) => Promise<ReadonlyMap<string, Written>>;
  readonly idOf: (entry: Entry) => string;
  /** The agent whose share of the queue it takes. */
  readonly agentOf: (entry: Entry) => string;
  /** Names what only one entry can have; null if it claims nothing. */
  readonly claimOf: (entry: Entry) => string | null;
  /** How much it adds to {@link WriterLimits.batchPayloads}. */
  readonly sizeOf: (entry: Entry) => number;
  /** The decision that it is about. */
  readonly decisionOf: (entry: Entry) => string;
}

interface Waiting<Entry, Written> {
  readonly entry: Entry;
  /** Monotonic milliseconds after which nobody waits for the entry any more. */
  readonly deadline: { readonly at: number };
  readonly resolve: (written: Written | null) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Group commit: entries that arrive while statements are under way share the next one. There are no timers; an idle writer
 * writes at the end of the event loop's turn, and a busy one in batches as large as its neighbours are slow.
 *
 * INVARIANT: an entry's promise resolves only with its own id in a committed result.
 */
export class GroupWriter<Entry, Written> {
  readonly #kind: EntryKind<Entry, Written>;
  readonly #limits: WriterLimits;
  readonly #monotonic: () => number;
  readonly #observer: WriterObserver;
  readonly #queue: FairQueue<Waiting<Entry, Written>>;
  #inFlight = 0;

  constructor(
    kind: EntryKind<Entry, Written>,
    monotonic: () => number,
    observer: WriterObserver,
    limits = WRITER_LIMITS,
  ) {
    this.#kind = kind;
    this.#limits = limits;
    this.#monotonic = monotonic;
    this.#observer = observer;
    this.#queue = new FairQueue(limits.queue, limits.queuePerAgent);
  }

  get depth(): number {
    return this.#queue.size;
  }

  /**
   * Records one entry. Resolves once it is durable, with null if another row holds its claim.
   *
   * @param deadline read when the entry's turn comes: an entry that nobody waits for is dropped unwritten
   * @throws Fault QUEUE_FULL, DEADLINE_EXCEEDED, STORE_UNAVAILABLE or COMMIT_UNKNOWN
   */
  record(entry: Entry, deadline: { readonly at: number }): Promise<Written | null> {
    return new Promise((resolve, reject) => {
      if (!this.#queue.push(this.#kind.agentOf(entry), { entry, deadline, resolve, reject })) {
        reject(new Fault("QUEUE_FULL", `Too many ${this.#kind.noun}s wait to be recorded.`, { retryAfterMs: 100 }));
        return;
      }
      // What arrives in one turn of the event loop goes out together, from however many sockets and streams: for each statement that
      // is spared, the flush is a few microseconds later.
      if (this.#queue.size === 1) setImmediate(() => this.#flush());
    });
  }

  #flush(): void {
    while (this.#inFlight < this.#limits.inFlight) {
      const batch = this.#nextBatch();
      if (batch.length === 0) return;
      this.#inFlight++;
      void this.#write(batch).finally(() => {
        this.#inFlight--;
        this.#flush();
      });
    }
  }

  /** The next entries in fair order, without those that nobody waits for, and without two that make the same claim. */
  #nextBatch(): Waiting<Entry, Written>[] {
    const { noun, agentOf, claimOf, sizeOf } = this.#kind;
    const batch: Waiting<Entry, Written>[] = [];
    const claims = new Set<string>();
    const postponed: Waiting<Entry, Written>[] = [];
    const now = this.#monotonic();
    let payloads = 0;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      if (next.deadline.at <= now) {
        next.reject(new Fault("DEADLINE_EXCEEDED", `The deadline passed before the ${noun} could be recorded.`));
        continue;
      }
      const claim = claimOf(next.entry);
      if (claim !== null && claims.has(claim)) {
        postponed.push(next);
        continue;
      }
      if (claim !== null) claims.add(claim);
      batch.push(next);
      payloads += sizeOf(next.entry);
      if (batch.length === this.#limits.batch || payloads >= this.#limits.batchPayloads) break;
    }
    for (const waiting of postponed.reverse()) this.#queue.unshift(agentOf(waiting.entry), waiting);
    return batch;
  }

  async #write(batch: readonly Waiting<Entry, Written>[]): Promise<void> {
    const started = this.#monotonic();
    try {
      const written = await this.#kind.write(batch.map((waiting) => waiting.entry));
      for (const waiting of batch) waiting.resolve(written.get(this.#kind.idOf(waiting.entry)) ?? null);
    } catch (error) {
      await this.#fail(batch, error);
    } finally {
      this.#observer.batch(batch.length, this.#monotonic() - started);
    }
  }

  /** A poisoned row must not fail its neighbours: halve the batch until it stands alone. */
  async #fail(batch: readonly Waiting<Entry, Written>[], error: unknown): Promise<void> {
    this.#observer.storeError(error);
    if (error instanceof PoisonedBatch && batch.length > 1) {
      const middle = Math.ceil(batch.length / 2);
      await this.#write(batch.slice(0, middle));
      await this.#write(batch.slice(middle));
      return;
    }
    const { noun, decisionOf } = this.#kind;
    for (const { entry, reject } of batch) reject(storeFault(error, noun, decisionOf(entry)));
  }
}

function storeFault(cause: unknown, noun: string, decisionId: string): Fault {
  if (cause instanceof PoisonedBatch)
    return new Fault("INTERNAL", `The ${noun} could not be recorded.`, { cause, decisionId });
  const code = cause instanceof CommitUnknown ? "COMMIT_UNKNOWN" : "STORE_UNAVAILABLE";
  const message = `The ${noun} could not be recorded, so it is not answered.`;
  return new Fault(code, message, { cause, decisionId, retryAfterMs: 1000 });
}
