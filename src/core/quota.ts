import type { Fault } from "./fault.ts";

export interface QuotaLimits {
  /** Of all owners together. */
  readonly total?: number;
  readonly perOwner?: number;
}

/** How much of something is held, by each owner and in all: bounded, so that what stalls, or one owner, cannot fill the memory. */
export class Quota {
  readonly #total: number;
  readonly #perOwner: number;
  readonly #full: (owner: string, held: number) => Fault;
  readonly #held = new Map<string, number>();
  #sum = 0;

  /** @param full what one more is refused with, to an owner that holds so much */
  constructor(
    { total = Number.POSITIVE_INFINITY, perOwner = Number.POSITIVE_INFINITY }: QuotaLimits,
    full: (owner: string, held: number) => Fault,
  ) {
    this.#total = total;
    this.#perOwner = perOwner;
    this.#full = full;
  }

  /** @param owner by default nobody in particular. @throws Fault if there is no room; otherwise {@link release} of as much must follow */
  hold(owner = "", amount = 1): void {
    const held = this.#held.get(owner) ?? 0;
    if (held + amount > this.#perOwner || this.#sum + amount > this.#total) throw this.#full(owner, held);
    this.#held.set(owner, held + amount);
    this.#sum += amount;
  }

  release(owner = "", amount = 1): void {
    const left = (this.#held.get(owner) ?? 0) - amount;
    if (left > 0) this.#held.set(owner, left);
    else this.#held.delete(owner);
    this.#sum -= amount;
  }
}
