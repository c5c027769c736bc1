/** Of all that is random in tests, but for keys and names. The same in each run, unless `DATACRAWL_TEST_SEED` is another. */
export const SEED = Number(process.env["DATACRAWL_TEST_SEED"] ?? 20_261_128);
if (!Number.isInteger(SEED))
  throw new Error(`DATACRAWL_TEST_SEED=${process.env["DATACRAWL_TEST_SEED"]}: it must be an integer`);

/** A row of numbers that depends on the seed and on its name alone. */
export interface Chance {
  /** From 0 to 1, without 1. */
  readonly unit: () => number;
  /** From `min` to `max`, without `max`. */
  readonly int: (min: number, max: number) => number;
  readonly one: <Item>(items: readonly Item[]) => Item;
}

export function chanceOf(name: string): Chance {
  let state = [...name].reduce((hash, character) => Math.imul(hash, 31) + character.charCodeAt(0), SEED) | 0;
  // mulberry32
  const unit = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (min: number, max: number): number => min + Math.floor(unit() * (max - min));
  const one = <Item>(items: readonly Item[]): Item => items[int(0, items.length)] as Item;
  return { unit, int, one };
}
