import type { Clock, Micros } from "../../core/clock.ts";

/** Beyond this the service is not ready: a row's time would be misleading. */
const MAX_SKEW: Micros = 30_000_000;
/** Answers that took longer say too little about when the store read its clock. */
const MAX_ROUND_TRIP_MS = 200;

/**
 * The store's time as this process knows it: its own clock, corrected by what the store last said. All replicas so write the
 * times of one clock.
 */
export class StoreClock {
  readonly #clock: Clock;
  #offset: Micros = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes in the store's time, which was asked for `roundTripMs` ago. */
  observe(storeNow: Micros, roundTripMs: number): void {
    if (roundTripMs > MAX_ROUND_TRIP_MS) return;
    this.#offset = Math.round(storeNow - (this.#clock.now() - (roundTripMs * 1000) / 2));
  }

  now(): Micros {
    return this.#clock.now() + this.#offset;
  }

  /** What is wrong with this machine's clock, or null. */
  get problem(): string | null {
    if (Math.abs(this.#offset) <= MAX_SKEW) return null;
    return `this machine's clock is ${Math.round(this.#offset / 1_000_000)} s off the database's: synchronise it (NTP)`;
  }
}
