import type { Clock } from "@datacrawl/core/clock";

/** How long a decision may be started. */
const KEPT_MS = 24 * 60 * 60 * 1000;
const MAX_KEPT = 10_000;

/** What this process knows of decisions that may be started, by decision id. Bounded: the oldest are forgotten first. */
export class RecentDecisions<Facts> {
  readonly #clock: Pick<Clock, "monotonic">;
  /** Oldest first. */
  readonly #known = new Map<string, { readonly facts: Facts; readonly since: number }>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  add(decisionId: string, facts: Facts): void {
    this.#known.set(decisionId, { facts, since: this.#clock.monotonic() });
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_KEPT && oldest !== undefined) this.#known.delete(oldest);
  }

  find(decisionId: string): Facts | null {
    const found = this.#known.get(decisionId);
    return found !== undefined && this.#clock.monotonic() - found.since < KEPT_MS ? found.facts : null;
  }
}
