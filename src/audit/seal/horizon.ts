import type { Micros } from "../../core/clock.ts";

/** Who was writing to the trail at a moment. */
export interface Observation {
  /** The database's time, read before the writers were. */
  readonly at: Micros;
  /** This process' monotonic time before it asked the database, and after it had its answer. */
  readonly asked: Micros;
  readonly answered: Micros;
  /**
   * The transactions that had begun to write to the trail and had not ended, prepared ones too: Postgres' virtual transaction ids,
   * which are not used again until it restarts.
   */
  readonly writers: readonly string[];
}

/** A prepared transaction has another id after Postgres restarted: `-1/`, and its transaction id. */
const RESTORED = "-1/";

/** Clocks are set right a little at a time, and the database's may be set back and forth between two observations. */
const SLACK: Micros = 2_000_000;
/** By how much the clock was set back since an earlier process looked is not known. */
const UNKNOWN_SET_BACK: Micros = 60_000_000;

/**
 * From when on rows without a seal can be, so that a scan for them need not read the whole trail.
 *
 * A row becomes visible when its transaction commits, which may be long after the database took it: the transaction is large,
 * waits, or was prepared and survives a restart. So the newest sealed row's time is no bound. But a transaction holds a lock on
 * the table from before its first row until its end, and locks can be seen. INVARIANT: after a whole scan that followed the
 * observation k, a row that has no seal was inserted by one of the writers of k, or after the time of k. A writer that was not
 * there at the observation before began to write after that one's time; or Postgres has restarted since, and it is one of
 * those that were there, under another id. (Or it has the id of one that has ended: then that one's rows wait for it to end, too.)
 *
 * "After" is by the database's clock, which may be set back, or be another server's after a failover. By how much, at most, shows in
 * how much more time has passed by this process' own clock since the observation before.
 */
export class Horizon {
  /** The next scan begins here. */
  #from: Micros;
  /** Null before the first. */
  #last: Observation | null = null;
  #writers = new Map<string, Writer>();
  #scannedAt: Micros = 0;

  /** @param settled as {@link Horizon.settled} was in an earlier process; 0 if there was none */
  constructor(settled: Micros) {
    this.#from = settled;
  }

  /** Takes in an observation that was made before the scan that follows it. @returns from when on that scan must look */
  observe(observation: Observation): Micros {
    const last = this.#last;
    const earliest =
      last === null ? Math.min(this.#from, observation.at) - UNKNOWN_SET_BACK : last.at - setBack(last, observation);
    this.#from = Math.min(this.#from, earliest);
    // A writer that has ended since may have committed; one that still writes is looked for when it has ended.
    const present = new Set(observation.writers);
    for (const [name, { since }] of this.#writers) if (!present.has(name)) this.#from = Math.min(this.#from, since);
    const unknown = { since: earliest, seen: last?.at ?? observation.at };
    const restored = oldest([unknown, ...this.#all()]);
    const ofUnseen = (name: string): Writer => (name.startsWith(RESTORED) ? restored : unknown);
    const writerOf = (name: string): Writer => oldest([unknown, this.#writers.get(name) ?? ofUnseen(name)]);
    this.#writers = new Map(observation.writers.map((name) => [name, writerOf(name)]));
    this.#last = observation;
    return Math.max(0, this.#from - SLACK);
  }

  /** The scan that followed the last observation has found everything, and all of it has a seal. */
  scanned(): void {
    if (this.#last === null) return;
    this.#from = this.#last.at;
    this.#scannedAt = this.#last.at;
  }

  /** The time of the last observation that a whole scan followed; 0 if none did. */
  get scannedAt(): Micros {
    return this.#scannedAt;
  }

  /** Every row that was inserted before this has a seal, or never commits. @param scanned whether to count the scan under way */
  settled(scanned: boolean): Micros {
    const from = scanned ? (this.#last?.at ?? this.#from) : this.#from;
    return Math.max(0, Math.min(from, ...this.#all().map(({ since }) => since)));
  }

  /** How long the oldest writer has been writing, in microseconds, as far as this process has seen; 0 if there is none. */
  get oldestWriter(): Micros {
    const at = this.#last?.at ?? 0;
    return at - Math.min(at, ...this.#all().map(({ seen }) => seen));
  }

  #all(): Writer[] {
    return [...this.#writers.values()];
  }
}

/** A transaction that was writing at the last observation. */
interface Writer {
  /** Its rows were inserted at or after this time. */
  readonly since: Micros;
  /** It had not begun before this time, as far as this process knows. */
  readonly seen: Micros;
}

function oldest(writers: readonly Writer[]): Writer {
  return {
    since: Math.min(...writers.map(({ since }) => since)),
    seen: Math.min(...writers.map(({ seen }) => seen)),
  };
}

/** By how much the database's clock may have been set back between two observations. */
function setBack(before: Observation, after: Observation): Micros {
  return Math.max(0, after.answered - before.asked - (after.at - before.at));
}
