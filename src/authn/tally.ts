/** Counts by name what strangers cause, within bounds: beyond so many names the rest is counted together. */
export class Tally {
  readonly #maxNames: number;
  #counts = new Map<string, number>();

  constructor(maxNames: number) {
    this.#maxNames = maxNames;
  }

  /** @param otherwise the name under which it is counted when there are too many */
  add(name: string, otherwise: string, count = 1): void {
    const counted = this.#counts.has(name) || this.#counts.size < this.#maxNames ? name : otherwise;
    this.#counts.set(counted, (this.#counts.get(counted) ?? 0) + count);
  }

  /** What was counted since the last call. */
  take(): [name: string, count: number][] {
    const counts = [...this.#counts];
    this.#counts = new Map();
    return counts;
  }
}
