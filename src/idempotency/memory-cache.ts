import type { Micros } from "../core/clock.ts";
import { NewestMap } from "../core/newest-map.ts";
import type { Claim, ClaimCache, ClaimSlot } from "./ledger.ts";

/** Claims remembered in this process: the newest of them, at most `limit`. */
export class MemoryClaimCache implements ClaimCache {
  readonly #claims: NewestMap<string, Claim>;
  readonly #now: () => Micros;

  /** @param now the store's time, as good as this process knows it */
  constructor(now: () => Micros, limit = 20_000) {
    this.#now = now;
    this.#claims = new NewestMap(limit);
  }

  at(agentId: string, idempotencyKey: string): ClaimSlot {
    // Agent ids have no spaces.
    const name = `${agentId} ${idempotencyKey}`;
    return { get: async () => this.#get(name), set: (claim) => this.#claims.set(name, claim) };
  }

  #get(name: string): Claim | null {
    const claim = this.#claims.get(name);
    if (claim === undefined) return null;
    if (claim.expiresAt <= this.#now()) {
      this.#claims.delete(name);
      return null;
    }
    return claim;
  }

  async close(): Promise<void> {
    this.#claims.clear();
  }
}
