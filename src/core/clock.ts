/**
 * Time, as it is passed to everything that needs it. The wall clock is read here and nowhere else.
 */

/** Integer microseconds since 1970-01-01T00:00:00Z. Exact as a double until the year 2255. */
export type Micros = number;

/** The time; tests pass their own. */
export interface Clock {
  /** Wall time in microseconds. May jump. */
  now(): Micros;
  /** Milliseconds from an arbitrary start. Never goes back; the measure of every duration and deadline. */
  monotonic(): number;
}

/** The system's clocks. */
export const systemClock: Clock = {
  now: () => Math.round((performance.timeOrigin + performance.now()) * 1000) + wallCorrection(),
  monotonic: () => performance.now(),
};

/**
 * `performance.timeOrigin + now()` has microseconds but ignores later adjustments of the system clock; `Date.now()` follows
 * them but has milliseconds. Follow `Date.now()` where the two differ by more than its resolution.
 */
function wallCorrection(): Micros {
  const drift = Date.now() - (performance.timeOrigin + performance.now());
  return Math.abs(drift) < 2 ? 0 : Math.round(drift * 1000);
}

/** RFC 3339 in UTC with microseconds, as Postgres and people read it. */
export function isoMicros(at: Micros): string {
  const millis = Math.floor(at / 1000);
  const rest = String(at - millis * 1000).padStart(3, "0");
  return `${new Date(millis).toISOString().slice(0, -1)}${rest}Z`;
}
