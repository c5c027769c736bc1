import type { Micros } from "../../core/clock.ts";
import type { ReviewTerms } from "../../core/decision.ts";
import { Fault } from "../../core/fault.ts";
import type { DecisionRow } from "../row/record.ts";
import { FairQueue } from "./fair-queue.ts";

/** What is to be recorded together or not at all: a row, what it was judged on, and the key that it claims. */
export interface Entry {
  readonly row: DecisionRow;
  /** SHA-256 of the row. */
  readonly hash: Uint8Array;
  /** The judged payload, kept apart from the row so that it may be erased. */
  readonly payload: { readonly salt: Uint8Array; readonly canonical: string } | null;
  /**
   * The claim that the row makes on (agent, idempotency key, variant): it is written only if nobody holds that claim.
   * Null for a row that claims nothing and is always written.
   */
  readonly claim: { readonly variant: Uint8Array } | null;
  /** The review that the row opens under its review id; null if it opens none. */
  readonly review: ReviewTerms | null;
}

/** Where entries become durable. */
export interface RecordStore {
  /**
   * Writes a batch in one transaction and resolves after it is durably committed, with the entries that were written by
   * decision id; the others lost the race for their claim. No two entries of a batch make the same claim.
   *
   * @throws PoisonedBatch if the data of some entry is at fault and nothing was written
   * @throws CommitUnknown if the batch may have been committed
   * @throws anything else if nothing was written
   */
  recordBatch(entries: readonly Entry[]): Promise<ReadonlyMap<string, Written>>;
}

/** An entry that is durable. */
export interface Written {
  /**
   * When its claim expires, by the store's clock; null if it made none or opened a review (such claims last longer, and are not
   * remembered), or if the store was lost before it could tell.
   */
  readonly claimExpiresAt: Micros | null;
}

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

/** What the writer tells about itself; all optional work, called synchronously. */
export interface WriterObserver {
  batch(size: number, milliseconds: number): void;
  storeError(error: unknown): void;
}

interface Waiting {
  readonly entry: Entry;
  /** Monotonic milliseconds after which nobody waits for the entry any more. */
  readonly deadline: { readonly at: number };
  readonly resolve: (written: Written | null) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Group commit: entries that arrive while statements are under way share the next one. There are no timers; an idle writer
 * writes at once, and a busy one in batches as large as its neighbours are slow.
 *
 * INVARIANT: an entry's promise resolves only with its own id in a committed result.
 */
export class RecordWriter {
  readonly #store: RecordStore;
  readonly #limits: WriterLimits;
  readonly #monotonic: () => number;
  readonly #observer: WriterObserver;
  readonly #queue: FairQueue<Waiting>;
  #inFlight = 0;

  constructor(store: RecordStore, monotonic: () => number, observer: WriterObserver, limits = WRITER_LIMITS) {
    this.#store = store;
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
      if (!this.#queue.push(entry.row.agentId, { entry, deadline, resolve, reject })) {
        reject(new Fault("QUEUE_FULL", "Too many decisions wait to be recorded.", { retryAfterMs: 100 }));
        return;
      }
      // Entries of the same tick go out together: the flush runs after whatever else this tick enqueues.
      if (this.#queue.size === 1) queueMicrotask(() => this.#flush());
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
  #nextBatch(): Waiting[] {
    const batch: Waiting[] = [];
    const claims = new Set<string>();
    const postponed: Waiting[] = [];
    const now = this.#monotonic();
    let payloads = 0;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      if (next.deadline.at <= now) {
        next.reject(new Fault("DEADLINE_EXCEEDED", "The deadline passed before the decision could be recorded."));
        continue;
      }
      const claim = claimKey(next.entry);
      if (claim !== null && claims.has(claim)) {
        postponed.push(next);
        continue;
      }
      if (claim !== null) claims.add(claim);
      batch.push(next);
      payloads += next.entry.payload?.canonical.length ?? 0;
      if (batch.length === this.#limits.batch || payloads >= this.#limits.batchPayloads) break;
    }
    for (const waiting of postponed.reverse()) this.#queue.unshift(waiting.entry.row.agentId, waiting);
    return batch;
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const started = this.#monotonic();
    try {
      const written = await this.#store.recordBatch(batch.map((waiting) => waiting.entry));
      for (const waiting of batch) waiting.resolve(written.get(waiting.entry.row.decisionId) ?? null);
    } catch (error) {
      await this.#fail(batch, error);
    } finally {
      this.#observer.batch(batch.length, this.#monotonic() - started);
    }
  }

  /** A poisoned row must not fail its neighbours: halve the batch until it stands alone. */
  async #fail(batch: readonly Waiting[], error: unknown): Promise<void> {
    this.#observer.storeError(error);
    if (error instanceof PoisonedBatch && batch.length > 1) {
      const middle = Math.ceil(batch.length / 2);
      await this.#write(batch.slice(0, middle));
      await this.#write(batch.slice(middle));
      return;
    }
    for (const { entry, reject } of batch) reject(storeFault(error, entry.row.decisionId));
  }
}

function claimKey({ row, claim }: Entry): string | null {
  if (claim === null) return null;
  return `${row.agentId} ${Buffer.from(claim.variant).toString("latin1")} ${row.idempotencyKey}`;
}

function storeFault(cause: unknown, decisionId: string): Fault {
  if (cause instanceof PoisonedBatch)
    return new Fault("INTERNAL", "The decision could not be recorded.", { cause, decisionId });
  const code = cause instanceof CommitUnknown ? "COMMIT_UNKNOWN" : "STORE_UNAVAILABLE";
  const message = "The decision could not be recorded, so it is not answered.";
  return new Fault(code, message, { cause, decisionId, retryAfterMs: 1000 });
}
