/**
 * What the processes of one agent share about one service. Everything that comes from there is a claim: it may
 * deny for a bounded time, and can admit nothing that this process would not admit by itself.
 *
 * Times are milliseconds of this process's monotonic clock.
 */

/** What the fleet was last known to say. Its values are in range, but may be lies. */
export interface FleetView {
  readonly open: boolean;
  /** When the fleet's next probe is due; of no meaning unless open. */
  readonly probeAt: number;
  /** The right to be the fleet's probe, if this process holds it. */
  readonly lease: Lease | null;
  /** Another process has calls to probe with and waits for the lease. */
  readonly challenged: boolean;
  /** When a probe last succeeded somewhere in the fleet. */
  readonly recoveredAt: number | null;
}

interface Lease {
  readonly number: number;
  readonly until: number;
}

/** How a probe under a lease ended. */
export interface LeaseOutcome {
  readonly lease: number;
  readonly outcome: "success" | "failure" | "ignored";
}

/**
 * - `no`: this process needs no probe now, and gives back a lease that it holds.
 * - `idle`: it would probe, but nobody has called lately.
 * - `busy`: calls are waiting to be let through.
 * - `probing`: the lease is in use.
 */
export type Want = "no" | "idle" | "busy" | "probing";

/** This process' report to the fleet. Ages are milliseconds. */
export interface Standing {
  /** How long its own failures have kept its circuit open; null if they do not. */
  readonly openAge: number | null;
  /** How long ago a failure last counted. */
  readonly failureAge: number | null;
  /** How long until it would probe if it were alone. */
  readonly dueIn: number;
  readonly want: Want;
  readonly outcome: LeaseOutcome | null;
  /** The fleet's probe is to be due now: an operator says so. */
  readonly probeNow: boolean;
}

/** The breaker, as the shared circuit sees it. */
export interface Member {
  /** Asked at each exchange. */
  standing(): Standing;
  /** The fleet has taken note of it. */
  delivered(standing: Standing): void;
  /** The view may have changed. */
  changed(): void;
}

/** The circuit that an agent's processes share. Nothing in it throws or waits. */
export interface SharedCircuit {
  /** Begins to take part. Called once. */
  attach(member: Member): void;
  /** What the fleet says; null if nothing trustworthy has been heard lately. */
  view(now: number): FleetView | null;
  /** Exchange words soon: this process's standing has changed. */
  wake(): void;
  /** Why the fleet cannot be heard, for people; null if it can. */
  readonly problem: string | null;
  /** Takes leave and disconnects; bounded. */
  close(): Promise<void>;
}

/**
 * How far the fleet's word is heeded when it says open.
 *
 * INVARIANT: calls are denied on the fleet's word alone for at most `boundMs` on end; then one goes all the same, to find
 * out. So a store that lies can deny for a bounded time, and not for ever.
 */
export class Heed {
  readonly #boundMs: number;
  #deniedSince: number | null = null;
  #distrustedUntil = Number.NEGATIVE_INFINITY;
  #overruled = false;

  constructor(boundMs: number) {
    this.#boundMs = boundMs;
  }

  /** `view` if it denies now, else null. */
  denial(view: FleetView | null, now: number): FleetView | null {
    this.#overruled = false;
    if (view === null) return null;
    if (!view.open) this.#distrustedUntil = Number.NEGATIVE_INFINITY;
    if (!view.open || now < this.#distrustedUntil) return null;
    this.#overruled = this.#deniedSince !== null && now - this.#deniedSince >= this.#boundMs;
    return this.#overruled ? null : view;
  }

  /** True if the fleet says open, and has denied for too long. */
  get overruled(): boolean {
    return this.#overruled;
  }

  /** A call was denied that this process by itself would have let through. */
  denied(now: number): void {
    this.#deniedSince ??= now;
  }

  /** A call was let through. */
  admitted(): void {
    this.#deniedSince = null;
  }

  /** This process has seen for itself that the service answers: for `milliseconds`, it needs no leave of the fleet's. */
  contradicted(now: number, milliseconds: number): void {
    this.#distrustedUntil = now + milliseconds;
  }
}
