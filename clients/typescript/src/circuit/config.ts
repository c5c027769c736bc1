import type { CircuitConfig } from "./circuit.ts";

export interface BreakerConfig {
  /** Consecutive failures that open the circuit; at least 1. */
  readonly failures: number;
  /** Milliseconds from the opening, or from a failed probe, to the next probe; ±10 %. Whole, 1 to an hour. */
  readonly probeAfterMs: number;
  /** Milliseconds from the first success to full admission; 5,000 if absent. Whole, 1 to an hour. */
  readonly rampMs?: number;
}

/** Every duration that follows from the configuration, in milliseconds. Processes of one agent are configured alike. */
export interface Timing extends CircuitConfig {
  /** How long one probe may take; after that it is given up and another may follow. */
  readonly leaseMs: number;
  /** Between two exchanges with the fleet. */
  readonly pollMs: number;
  /** How long the fleet's word alone may deny. */
  readonly heedMs: number;
}

const HOUR_MS = 3_600_000;

/** @throws RangeError */
export function timing({ failures, probeAfterMs, rampMs = 5_000 }: BreakerConfig): Timing {
  if (!Number.isSafeInteger(failures) || failures < 1)
    throw new RangeError("failures must be a whole number from 1 on");
  if (!isDuration(probeAfterMs)) throw new RangeError("probeAfterMs must be whole milliseconds, from 1 to an hour");
  if (!isDuration(rampMs)) throw new RangeError("rampMs must be whole milliseconds, from 1 to an hour");
  return {
    failures,
    probeAfterMs,
    rampMs,
    leaseMs: clamp(probeAfterMs / 2, 1_000, 10_000),
    pollMs: clamp(probeAfterMs / 10, 50, 1_000),
    heedMs: 10 * probeAfterMs,
  };
}

function isDuration(milliseconds: number): boolean {
  return Number.isSafeInteger(milliseconds) && milliseconds >= 1 && milliseconds <= HOUR_MS;
}

function clamp(value: number, low: number, high: number): number {
  return Math.floor(Math.min(high, Math.max(low, value)));
}
