import type { Micros } from "@datacrawl/core/clock";

/** How long a policy's no is remembered: as long as the service stands by a decision, and as long as a grant can live. */
const KEPT_MS = 24 * 60 * 60 * 1000;
const MAX_KEPT = 10_000;

/** In place of a request's digest: all that the agent may ask. */
export const EVERY_REQUEST = "*";

/** Times without a unit are milliseconds on the monotonic clock, as everywhere here. */
interface No {
  readonly heardAt: number;
  /** By the service's clock; null if it did not say. */
  readonly decidedAt: Micros | null;
}

interface Yes {
  readonly askedAt: number;
  readonly decidedAt: Micros | null;
  readonly replayed: boolean;
}

/**
 * The requests to which this process has heard no from the service: what no bypass overturns. Bounded; what must be forgotten
 * for want of room makes every request suspect until it would have been forgotten anyway.
 */
export class Denials {
  /** By digest, oldest first. */
  readonly #heard = new Map<string, No>();
  #incompleteUntil = Number.NEGATIVE_INFINITY;
  /** The last call was not sent, for want of a credential. Such an agent must not gain from a circuit that its probes leave open. */
  unsent = false;

  add(digest: string, { heardAt, decidedAt }: No): void {
    const before = this.#heard.get(digest);
    this.#heard.delete(digest);
    this.#heard.set(digest, {
      heardAt,
      decidedAt: before === undefined ? decidedAt : latest(before.decidedAt, decidedAt),
    });
    for (const [oldest, { heardAt: at }] of this.#heard) {
      const expired = heardAt - at >= KEPT_MS;
      if (!expired && this.#heard.size <= MAX_KEPT) break;
      this.#heard.delete(oldest);
      if (!expired) this.#incompleteUntil = at + KEPT_MS;
    }
  }

  /**
   * The service has said yes. INVARIANT: only a yes that was decided after the no ends it, not one that is replayed from before or
   * came late.
   */
  remove(digest: string, yes: Yes): void {
    const no = this.#heard.get(digest);
    if (no !== undefined && isLater(yes, no)) this.#heard.delete(digest);
  }

  /** Whether the service may have said no: to this request, or to the agent since an operator has granted it a bypass. */
  suspects(digest: string, now: number, grantedAt: Micros): boolean {
    if (now < this.#incompleteUntil || this.#standing(digest, now) !== null) return true;
    const no = this.#standing(EVERY_REQUEST, now);
    return no !== null && (no.decidedAt === null || grantedAt <= no.decidedAt);
  }

  #standing(digest: string, now: number): No | null {
    const no = this.#heard.get(digest);
    return no !== undefined && now - no.heardAt < KEPT_MS ? no : null;
  }
}

function isLater({ askedAt, decidedAt, replayed }: Yes, no: No): boolean {
  if (no.decidedAt === null) return !replayed && askedAt >= no.heardAt;
  return decidedAt !== null && decidedAt > no.decidedAt;
}

/** Null, which asks most of a yes, if one is not known. */
function latest(one: Micros | null, other: Micros | null): Micros | null {
  return one === null || other === null ? null : Math.max(one, other);
}
