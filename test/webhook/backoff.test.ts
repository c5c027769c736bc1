import fc from "fast-check";
import { expect, test } from "vitest";
import { backoffMs } from "../../src/webhook/backoff.ts";

const DAY = 24 * 60 * 60_000;

test("waits twice as long each time, up to ten minutes, and a quarter more or less", () => {
  expect([1, 2, 3, 7, 8, 9, 1000].map((attempt) => backoffMs(attempt, 0, 0.5))).toEqual([
    5_000, 10_000, 20_000, 320_000, 600_000, 600_000, 600_000,
  ]);
  expect([0, 1].map((chance) => backoffMs(1, 0, chance))).toEqual([3_750, 6_250]);
});

test("tries for three days, and gives up then", () => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.nat(6 * DAY), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, age, chance) => {
      const wait = backoffMs(attempt + 1, age, chance);
      if (age >= 3 * DAY) expect(wait).toBeNull();
      else expect(wait).toSatisfy((ms: number) => ms >= 3_750 && ms <= 750_000);
    }),
  );
});
