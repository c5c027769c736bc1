/** How long a policy's no is remembered: as long as the service stands by a decision, and as long as a grant can live. */
const KEPT_MS = 24 * 60 * 60 * 1000;
const MAX_KEPT = 10_000;

/**
 * The requests to which this process has heard no from the service: what no bypass overturns. Bounded; what must be forgotten
 * for want of room makes every request suspect until it would have been forgotten anyway.
 */
export class Denials {
  /** Digest to the time it was heard, oldest first. */
  readonly #heard = new Map<string, number>();
  #incompleteUntil = Number.NEGATIVE_INFINITY;

  /** @param now milliseconds on the monotonic clock, as everywhere here */
  add(digest: string, now: number): void {
    this.#heard.delete(digest);
    this.#heard.set(digest, now);
    for (const [oldest, at] of this.#heard) {
      const expired = now - at >= KEPT_MS;
      if (!expired && this.#heard.size <= MAX_KEPT) break;
      this.#heard.delete(oldest);
      if (!expired) this.#incompleteUntil = at + KEPT_MS;
    }
  }

  /** The service has since said yes. */
  remove(digest: string): void {
    this.#heard.delete(digest);
  }

  /** Whether the service may have said no. */
  suspects(digest: string, now: number): boolean {
    const at = this.#heard.get(digest);
    return now < this.#incompleteUntil || (at !== undefined && now - at < KEPT_MS);
  }
}
