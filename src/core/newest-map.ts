/**
 * A map that forgets its oldest entries: it keeps at least half as many as its limit, and never more than that. Entries live in two
 * generations, and the older one goes as a whole when the newer one is full. A single map that deletes its oldest entry would search
 * through all those deleted before, a thousand at a time.
 *
 * @example
 * const recent = new NewestMap<string, Claim>(20_000);
 * recent.set(name, claim);
 * recent.get(name);
 */
export class NewestMap<Key, Value> {
  readonly #half: number;
  #newer = new Map<Key, Value>();
  #older = new Map<Key, Value>();

  /** @param limit entries, at least 2 */
  constructor(limit: number) {
    this.#half = Math.floor(limit / 2);
  }

  get size(): number {
    return this.#newer.size + this.#older.size;
  }

  get(key: Key): Value | undefined {
    return this.#newer.get(key) ?? this.#older.get(key);
  }

  /** The entry is the newest from now on. */
  set(key: Key, value: Value): void {
    this.#older.delete(key);
    if (this.#newer.size >= this.#half && !this.#newer.has(key)) {
      this.#older = this.#newer;
      this.#newer = new Map();
    }
    this.#newer.set(key, value);
  }

  delete(key: Key): void {
    this.#newer.delete(key);
    this.#older.delete(key);
  }

  clear(): void {
    this.#newer.clear();
    this.#older.clear();
  }
}
