import type { JsonObject } from "../core/json.ts";
import { type HashedEvent, makeEvent } from "../audit/row/event.ts";
import { Tally } from "../authn/tally.ts";
import type { Micros } from "../core/clock.ts";
import { Fault, type FaultCode } from "../core/fault.ts";
import type { RandomPool } from "../core/ids.ts";

/** What the trail records of an admin call, by an operator or an unauthenticated caller. */
export interface CallFacts {
  /** Such as `AdminService.CreateAgent`. */
  readonly method: string;
  /** An IP address, or `socket`. */
  readonly from: string;
  /** Null if it was not proven who calls. */
  readonly actor: string | null;
  /** What the call is about, as the caller wrote it. */
  readonly subject: string | null;
  readonly outcome: "ok" | FaultCode;
}

export interface CallTrailPorts {
  readonly append: (event: HashedEvent) => Promise<void>;
  readonly random: RandomPool;
  readonly now: () => Micros;
  /** Milliseconds. */
  readonly monotonic: () => number;
}

/** Rows that strangers may cause at once, and how often one more. */
const STRANGERS_BURST = 60;
const STRANGERS_EVERY_MS = 1000;
/** Distinct (method, outcome, address) of further ones that a report distinguishes. */
const MAX_DISTINCT = 50;
const SUBJECT_CHARACTERS = 128;

/**
 * Records every admin call before it is answered. Unauthenticated calls have rows of their own as long as
 * they are few: a stranger must not decide how many rows the trail has. Beyond that they are counted, and reported together.
 */
export class CallTrail {
  readonly #ports: CallTrailPorts;
  readonly #counted = new Tally(MAX_DISTINCT);
  #rows = STRANGERS_BURST;
  #refilledAt: number;

  constructor(ports: CallTrailPorts) {
    this.#ports = ports;
    this.#refilledAt = ports.monotonic();
  }

  /** Resolves when the call is in the trail, or counted. @throws Fault STORE_UNAVAILABLE */
  async record({ method, from, actor, subject, outcome }: CallFacts): Promise<void> {
    if (actor === null && !this.#mayHaveRow()) {
      this.#counted.add(`${method} ${outcome} ${from}`, `* ${outcome} *`);
      return;
    }
    const about = subject === null ? {} : { subject: shown(subject) };
    await this.#append({ kind: "admin.call", actor: actor ?? "unknown", ...about, detail: { method, from, outcome } });
  }

  /** Writes down what was only counted. What cannot be written is counted into the next report. */
  async report(): Promise<void> {
    const counted = this.#counted.take();
    if (counted.length === 0) return;
    const refused = counted.map(([name, count]) => {
      const [method, outcome, from] = name.split(" ") as [string, string, string];
      return { method, outcome, from, count };
    });
    try {
      await this.#append({ kind: "admin.refused", actor: "service", detail: { refused } });
    } catch (error) {
      for (const [name, count] of counted) this.#counted.add(name, "* * *", count);
      throw error;
    }
  }

  #mayHaveRow(): boolean {
    const earned = Math.floor((this.#ports.monotonic() - this.#refilledAt) / STRANGERS_EVERY_MS);
    this.#refilledAt += earned * STRANGERS_EVERY_MS;
    this.#rows = Math.min(STRANGERS_BURST, this.#rows + earned);
    if (this.#rows === 0) return false;
    this.#rows--;
    return true;
  }

  async #append(facts: { kind: string; actor: string; subject?: string; detail: JsonObject }): Promise<void> {
    try {
      await this.#ports.append(makeEvent(facts, this.#ports.now(), this.#ports.random));
    } catch (cause) {
      throw new Fault("STORE_UNAVAILABLE", "The call could not be recorded in the database, so it is not answered.", {
        cause,
        retryAfterMs: 1000,
      });
    }
  }
}

/** The caller's text, as the store can hold it. */
function shown(subject: string): string {
  return subject.slice(0, SUBJECT_CHARACTERS).toWellFormed().replaceAll("\0", "\ufffd");
}
