import { Fault } from "../core/fault.ts";

/** Failures that cost nothing: people mistype. */
const FREE = 5;
/** How long further attempts are refused after the first failure that costs something; doubles with each. */
const FIRST_LOCK_MS = 30_000;
const MAX_LOCK_MS = 15 * 60_000;
/** When failures are forgotten. */
const FORGET_MS = 60 * 60_000;
/**
 * How many names, addresses and pairs are remembered. Since passwords are checked a few a second, an attacker who wants to have
 * something forgotten needs longer than the longest lock.
 */
const MAX_ENTRIES = 20_000;

interface Failures {
  readonly count: number;
  readonly lockedUntil: number;
  readonly lastAt: number;
}

/** An attempt that may be made. It counts as a failure unless one of these is called. */
export interface Attempt {
  /** Whether that name has signed in from there before, or the call came over the socket. */
  readonly familiar: boolean;
  succeeded(): void;
  /** Nothing was checked: the service failed. */
  abandoned(): void;
}

/**
 * Slows down guessing: failed sign-ins count against the name and against the address, and each has to wait longer and longer,
 * up to 15 minutes. Somebody who guesses at a name from elsewhere must not lock its owner out: from an address where a name has
 * signed in before, only failures of that name at that address count.
 */
export class SignInLimit {
  readonly #monotonic: () => number;
  readonly #failures = new Map<string, Failures>();
  readonly #familiar = new Map<string, true>();

  /** @param monotonic milliseconds */
  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /**
   * Counts an attempt before it is made, so that many at once are no way around.
   *
   * @param from an IP address, or `socket`
   * @throws Fault SIGN_IN_LIMITED
   */
  begin(name: string, from: string): Attempt {
    const network = networkOf(from);
    const pair = `${name} ${network}`;
    // Who can open the socket is on the host: guessing over the network must leave that way in.
    const familiar = from === "socket" || this.#familiar.has(pair);
    const counted = familiar ? [`pair ${pair}`] : [`name ${name}`, `from ${network}`];
    const now = this.#monotonic();
    const waits = counted.map((key) => (this.#current(key, now)?.lockedUntil ?? now) - now);
    const wait = Math.max(...waits);
    if (wait > 0) {
      const seconds = Math.ceil(wait / 1000);
      throw new Fault("SIGN_IN_LIMITED", `Too many sign-ins have failed. Try again in ${seconds} s.`, {
        retryAfterMs: seconds * 1000,
      });
    }
    for (const key of counted) this.#change(key, 1, now);
    const abandoned = (): void => {
      for (const key of counted) this.#change(key, -1, now);
    };
    return {
      familiar,
      abandoned,
      succeeded: () => {
        abandoned();
        this.#failures.delete(`pair ${pair}`);
        remember(this.#familiar, pair, true);
      },
    };
  }

  #current(key: string, now: number): Failures | undefined {
    const failures = this.#failures.get(key);
    return failures === undefined || now - failures.lastAt > FORGET_MS ? undefined : failures;
  }

  #change(key: string, by: 1 | -1, now: number): void {
    const count = (this.#current(key, now)?.count ?? 0) + by;
    const lock = count < FREE ? 0 : Math.min(FIRST_LOCK_MS * 2 ** (count - FREE), MAX_LOCK_MS);
    if (count <= 0) this.#failures.delete(key);
    else remember(this.#failures, key, { count, lockedUntil: now + lock, lastAt: now });
  }
}

/** A person who has one address of IPv6 has the other 2⁶⁴ of its network. */
function networkOf(from: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(from);
  if (mapped !== null) return mapped[1] as string;
  if (!from.includes(":")) return from;
  const [head = "", tail = ""] = from.split("::");
  const groups = head.split(":").filter((group) => group !== "");
  const after = tail.split(":").filter((group) => group !== "");
  while (groups.length + after.length < 8) groups.push("0");
  return `${[...groups, ...after].slice(0, 4).join(":")}::/64`;
}

/** Sets `key` as the newest, and forgets the oldest beyond the bound. */
function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= MAX_ENTRIES) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
