import type { Micros } from "../core/clock.ts";
import type { Claim, ClaimCache, ClaimSlot } from "./ledger.ts";

/** Claims remembered in this process: the newest `limit` of them. */
export class MemoryClaimCache implements ClaimCache {
  readonly #claims = new Map<string, Claim>();
  readonly #now: () => Micros;
  readonly #limit: number;

  /** @param now the store's time, as good as this process knows it */
  constructor(now: () => Micros, limit = 20_000) {
    this.#now = now;
    this.#limit = limit;
  }

  at(agentId: string, idempotencyKey: string): ClaimSlot {
    // Agent ids have no spaces.
    const name = `${agentId} ${idempotencyKey}`;
    return { get: async () => this.#get(name), set: (claim) => this.#set(name, claim) };
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

  #set(name: string, claim: Claim): void {
    this.#claims.delete(name);
    this.#claims.set(name, claim);
    if (this.#claims.size <= this.#limit) return;
    const oldest = this.#claims.keys().next();
    if (oldest.done !== true) this.#claims.delete(oldest.value);
  }

  async close(): Promise<void> {
    this.#claims.clear();
  }
}
