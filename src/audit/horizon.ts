import type { Micros } from "../clock.ts";

/** Who was writing to the trail at a moment. */
export interface Observation {
  /** The database's time, read before the writers were. */
  readonly at: Micros;
  /**
   * The transactions that had begun to write to the trail and had not ended, prepared ones too: Postgres' virtual transaction ids,
   * which are not used again until it restarts.
   */
  readonly writers: readonly string[];
}

/** A prepared transaction has another id after Postgres restarted: `-1/`, and its transaction id. */
const RESTORED = "-1/";

/** The database's clock may be set back a little, or be that of another server after a failover. */
const SLACK: Micros = 2_000_000;
const LARGE_SLACK: Micros = 60_000_000;
/** One scan in so many looks back by the large slack. */
const LARGE_EVERY = 6;

/**
 * From when on rows without a seal can be, so that a scan for them need not read the whole trail.
 *
 * A row becomes visible when its transaction commits, which may be long after the database took it: the transaction is large,
 * waits, or was prepared and survives a restart. So the newest sealed row's time is no bound. But a transaction holds a lock on
 * the table from before its first row until its end, and locks can be seen. INVARIANT: after a whole scan that followed the
 * observation k, a row that has no seal was inserted by one of the writers of k, or after the time of k. A writer that was not
 * there at the observation before began to write after that one's time; or Postgres has restarted since, and it is one of
 * those that were there, under another id. (Or it has the id of one that has ended: then that one's rows wait for it to end, too.)
 */
export class Horizon {
  /** The next scan begins here. */
  #from: Micros;
  /** The last observation's time; null before the first. */
  #at: Micros | null = null;
  /** The last observation's writers; each one's rows were inserted at or after its time here. */
  #writers = new Map<string, Micros>();
  #observations = 0;
  #scannedAt: Micros = 0;

  /** @param settled as {@link Horizon.settled} was told by an earlier process; 0 if there was none */
  constructor(settled: Micros) {
    this.#from = settled;
  }

  /** Takes in an observation that was made before the scan that follows it. @returns from when on that scan must look */
  observe({ at, writers }: Observation): Micros {
    // Whoever has ended since may have committed; whoever is still at it is looked for when it has ended.
    const present = new Set(writers);
    for (const [writer, since] of this.#writers) if (!present.has(writer)) this.#from = Math.min(this.#from, since);
    if (this.#at !== null && at < this.#at) this.#from = Math.min(this.#from, at);
    const sinceOfNew = this.#at ?? this.#from;
    const sinceOfRestored = Math.min(sinceOfNew, ...this.#writers.values());
    const sinceOf = (writer: string): Micros =>
      this.#writers.get(writer) ?? (writer.startsWith(RESTORED) ? sinceOfRestored : sinceOfNew);
    this.#writers = new Map(writers.map((writer) => [writer, sinceOf(writer)]));
    this.#at = at;
    const slack = this.#observations++ % LARGE_EVERY === 0 ? LARGE_SLACK : SLACK;
    return Math.max(0, this.#from - slack);
  }

  /** The scan that followed the last observation has found everything, and all of it has a seal. */
  scanned(): void {
    if (this.#at === null) return;
    this.#from = this.#at;
    this.#scannedAt = this.#at;
  }

  /** The time of the last observation that a whole scan followed; 0 if none did. */
  get scannedAt(): Micros {
    return this.#scannedAt;
  }

  /** Every row that was inserted before this has a seal, or never commits. @param scanned whether to count the scan under way */
  settled(scanned: boolean): Micros {
    return Math.min(scanned ? (this.#at ?? this.#from) : this.#from, ...this.#writers.values());
  }

  /** How long the longest writer has been at it, in microseconds, as far as this process has seen; 0 if there is none. */
  get oldestWriter(): Micros {
    return this.#at === null ? 0 : Math.max(0, this.#at - Math.min(this.#at, ...this.#writers.values()));
  }
}
