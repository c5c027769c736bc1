import { GRANT_KEY_USE, type GrantClaims, type BypassOrder, signBypassOrder } from "../../../../src/core/grant.ts";
import { firstLink, type KeyLink, type SigningKey, makeSigningKey, nextLink } from "../../../../src/core/key-chain.ts";
import type { Clock, Micros } from "../../../../src/core/clock.ts";
import type { GrantOffer } from "../../src/grants/grants.ts";

export const agentId = "billing-1";
export const minute: Micros = 60_000_000;
export const hour: Micros = 60 * minute;
const start: Micros = 1_770_000_000_000_000;

/** A clock that tests set. The wall and the monotonic clock go together unless one is set alone. */
export class HandClock implements Clock {
  wall = start;
  ticks = 1000;

  now(): Micros {
    return this.wall;
  }

  monotonic(): number {
    return this.ticks;
  }

  pass(time: Micros): void {
    this.wall += time;
    this.ticks += time / 1000;
  }
}

/** What the service does about grants: it signs with its newest key and answers with its chain and clock. */
export class SigningService {
  readonly chain: KeyLink[];
  readonly #clock: HandClock;
  #key: SigningKey = makeSigningKey();

  constructor(clock: HandClock) {
    this.#clock = clock;
    this.chain = [firstLink(this.#key)];
  }

  rotate(): void {
    const next = makeSigningKey();
    this.chain.push(nextLink(GRANT_KEY_USE, this.#key, next));
    this.#key = next;
  }

  grant(epoch: number, changes: Partial<GrantClaims> = {}): string {
    const claims: GrantClaims = {
      grantId: "0b7d1f0e-6c1f-4a55-9c3e-2f5a9d1c7e11",
      agentId,
      tools: ["stripe.refund"],
      operator: "nora",
      reason: "maintenance",
      issuedAt: this.#clock.wall,
      expiresAt: this.#clock.wall + hour,
      epoch,
      ...changes,
    };
    return signBypassOrder({ kind: "grant", claims }, this.#key);
  }

  revocation(epoch: number, changes: Partial<Extract<BypassOrder, { kind: "revocation" }>> = {}): string {
    const { wall } = this.#clock;
    const order: BypassOrder = {
      kind: "revocation",
      agentId,
      epoch,
      issuedAt: wall,
      expiresAt: wall + hour,
      ...changes,
    };
    return signBypassOrder(order, this.#key);
  }

  answer(...unverifiedGrants: string[]): GrantOffer {
    return { fromService: true, unverifiedGrants, grantKeys: [...this.chain], serviceTime: this.#clock.wall };
  }
}
