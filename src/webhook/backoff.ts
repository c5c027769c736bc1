const FIRST_MS = 5_000;
const LONGEST_MS = 10 * 60_000;
/** How long a message is tried: over a weekend. */
const GIVE_UP_MS = 3 * 24 * 60 * 60_000;

/**
 * How long to wait after the `attempt`th failed attempt (from 1), in milliseconds; null to give up. Doubles from 5 s to 10 minutes,
 * more or less a quarter, so that messages which failed together do not come back together.
 *
 * @param ageMs how long ago the message was made
 * @param chance 0 to 1, by chance
 */
export function backoffMs(attempt: number, ageMs: number, chance: number): number | null {
  if (ageMs >= GIVE_UP_MS) return null;
  const wait = Math.min(FIRST_MS * 2 ** Math.min(attempt - 1, 20), LONGEST_MS);
  return Math.round(wait * (0.75 + chance / 2));
}
