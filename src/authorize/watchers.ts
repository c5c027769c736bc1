import { Fault } from "../core/fault.ts";
import { Quota } from "../core/quota.ts";

const PER_AGENT = 64;

function tooMany(agentId: string): Fault {
  const message = `The agent ${agentId} watches ${PER_AGENT} decisions at once.`;
  return new Fault("RATE_LIMITED", message, { retryAfterMs: 5000 });
}

export interface Watcher extends Disposable {
  /** Resolves when the decision may have changed, seen from this call on. */
  nextChange(): Promise<void>;
}

/** Who waits for which decision. Resolutions by this process wake it at once, and those by others when it looks. */
export class Watchers {
  readonly #ofDecision = new Map<string, Set<() => void>>();
  readonly #ofAgent = new Quota({ perOwner: PER_AGENT }, tooMany);
  readonly #resolvedAmong: (decisionIds: readonly string[]) => Promise<readonly string[]>;

  /** @param resolvedAmong those of the decisions whose reviews are not open any more */
  constructor(resolvedAmong: (decisionIds: readonly string[]) => Promise<readonly string[]>) {
    this.#resolvedAmong = resolvedAmong;
  }

  get size(): number {
    return this.#ofDecision.size;
  }

  /** @throws Fault RATE_LIMITED if the agent watches too many at once */
  add(agentId: string, decisionId: string): Watcher {
    this.#ofAgent.hold(agentId);
    let { promise, resolve } = Promise.withResolvers<void>();
    const wake = (): void => resolve();
    const waiting = this.#ofDecision.get(decisionId) ?? new Set();
    this.#ofDecision.set(decisionId, waiting.add(wake));
    return {
      nextChange: () => {
        ({ promise, resolve } = Promise.withResolvers<void>());
        return promise;
      },
      [Symbol.dispose]: () => {
        waiting.delete(wake);
        if (waiting.size === 0) this.#ofDecision.delete(decisionId);
        this.#ofAgent.release(agentId);
      },
    };
  }

  /** The decision's review is not open any more. */
  wake(decisionId: string): void {
    for (const wake of this.#ofDecision.get(decisionId) ?? []) wake();
  }

  /** Wakes those whose decisions another process, or time, has resolved. */
  async look(): Promise<void> {
    if (this.#ofDecision.size === 0) return;
    for (const decisionId of await this.#resolvedAmong([...this.#ofDecision.keys()])) this.wake(decisionId);
  }
}
