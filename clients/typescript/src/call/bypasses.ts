import type { Clock } from "@datacrawl/core/clock";

/** An allow under a grant that this process gave. */
export interface Bypassed {
  readonly idempotencyKey: string;
  /** Whether all that it needed is still so: the open circuit, the grant, and no deny of the service. */
  readonly holds: () => boolean;
}

/** How long a bypass may be started: as long as a decision of the service. */
const KEPT_MS = 24 * 60 * 60 * 1000;
const MAX_KEPT = 10_000;

/** The bypasses of this process that may be started, by decision id. Bounded; what was forgotten cannot be started. */
export class Bypasses {
  readonly #clock: Pick<Clock, "monotonic">;
  /** Oldest first. */
  readonly #known = new Map<string, Bypassed & { readonly since: number }>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  add(decisionId: string, bypassed: Bypassed): void {
    this.#known.set(decisionId, { ...bypassed, since: this.#clock.monotonic() });
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_KEPT && oldest !== undefined) this.#known.delete(oldest);
  }

  find(decisionId: string): Bypassed | null {
    const found = this.#known.get(decisionId);
    return found !== undefined && this.#clock.monotonic() - found.since < KEPT_MS ? found : null;
  }
}
