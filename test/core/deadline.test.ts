import { expect, test } from "vitest";
import type { Clock } from "../../src/core/clock.ts";
import { systemClock } from "../../src/core/clock.ts";
import { Deadline } from "../../src/core/deadline.ts";

const never = new Promise<never>(() => {});
const after = (milliseconds: number): number => systemClock.monotonic() + milliseconds;

test("work that is done before its deadline gives its value, or its error", async () => {
  using deadline = new Deadline(systemClock, after(60_000));
  expect(await deadline.race(Promise.resolve(7))).toEqual({ kind: "done", value: 7 });
  await expect(deadline.race(Promise.reject(new Error("no")))).rejects.toThrow("no");
});

test("work that is not done is given up at its deadline, and when its caller cancels", async () => {
  using passed = new Deadline(systemClock, after(-1));
  expect(await passed.race(never)).toEqual({ kind: "deadline" });
  const caller = new AbortController();
  using deadline = new Deadline(systemClock, after(60_000), { signal: caller.signal });
  const racing = deadline.race(never);
  caller.abort();
  expect(await racing).toEqual({ kind: "cancelled" });
  using late = new Deadline(systemClock, after(60_000), { signal: caller.signal });
  expect(await late.race(never)).toEqual({ kind: "cancelled" });
});

test("a part of the work ends no later than the whole, and with its caller", async () => {
  let now = 0;
  const clock: Clock = { now: () => 0, monotonic: () => now };
  const caller = new AbortController();
  using whole = new Deadline(clock, 100, { signal: caller.signal, awaited: false });
  using short = whole.within(40);
  using long = whole.within(400);
  expect([short.at, long.at, short.awaited]).toEqual([40, 100, false]);
  now = 41;
  expect([short.passed, whole.passed, whole.leftMs]).toEqual([true, false, 59]);
  caller.abort();
  expect(await long.race(never)).toEqual({ kind: "cancelled" });
});

test("a deadline that is disposed of no longer listens to its caller", () => {
  const caller = new AbortController();
  const counted = Object.assign(caller.signal, { removed: 0 });
  counted.removeEventListener = () => void counted.removed++;
  new Deadline(systemClock, after(60_000), { signal: counted })[Symbol.dispose]();
  expect(counted.removed).toBe(1);
});
