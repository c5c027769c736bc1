import type { RandomPool } from "@datacrawl/core/ids";

/** Uniform in [0, 1). */
export function fraction(random: RandomPool): number {
  return random.take(6).readUIntLE(0, 6) / 2 ** 48;
}
