import type { RandomPool } from "../core/ids.ts";

/** Uniform in [0, 1). */
export function fraction(random: RandomPool): number {
  return random.take(6).readUIntLE(0, 6) / 2 ** 48;
}
