import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "@datacrawl/core/clock";
import type { Deadline } from "@datacrawl/core/deadline";
import type { RandomPool } from "@datacrawl/core/ids";
import { fraction } from "./chance.ts";

/** What a call came to, whatever its attempts. */
export interface CallResult<Final> {
  readonly attempts: number;
  /** From the first attempt on. */
  readonly tookMs: number;
  /** An attempt before the last one failed. */
  readonly failedBefore: boolean;
  readonly final: Final | { readonly kind: "cancelled" };
}

export const MAX_ATTEMPTS = 3;
const FIRST_PAUSE_MS = 100;

/**
 * Tries until an attempt comes to something else than that the service is unavailable, at most `maxAttempts` times. Ends with
 * `deadline`, a moment for the event loop aside, if its attempts do.
 */
export async function withRetries<Final extends { readonly kind: string }>(
  { clock, random }: { readonly clock: Clock; readonly random: RandomPool },
  deadline: Deadline,
  attempt: () => Promise<Final>,
  maxAttempts = MAX_ATTEMPTS,
): Promise<CallResult<Final>> {
  const startedAt = clock.monotonic();
  for (let attempts = 1; ; attempts++) {
    const final = await attempt();
    const done = (end: CallResult<Final>["final"], failedBefore: boolean): CallResult<Final> => {
      return { attempts, tookMs: clock.monotonic() - startedAt, failedBefore, final: end };
    };
    if (final.kind !== "unavailable" || attempts === maxAttempts) return done(final, attempts > 1);
    // Grows threefold, and half of it is chance: processes that failed together do not come back together.
    const pause = FIRST_PAUSE_MS * 3 ** (attempts - 1) * (0.5 + fraction(random) / 2);
    if (pause >= deadline.leftMs) return done(final, attempts > 1);
    const paused = await deadline.race(sleep(pause));
    if (paused.kind === "cancelled") return done(paused, true);
  }
}
