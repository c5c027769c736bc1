import { setImmediate as nextTick } from "node:timers/promises";
import { expect, test } from "vitest";
import { Flights, type SharedDeadline } from "../../src/idempotency/flights.ts";

/** Work that the test ends. */
function work(): {
  start: (deadline: SharedDeadline) => Promise<string>;
  started: SharedDeadline[];
  end: PromiseWithResolvers<string>;
} {
  const started: SharedDeadline[] = [];
  const end = Promise.withResolvers<string>();
  return { started, end, start: (deadline) => (started.push(deadline), end.promise) };
}

test("those who ask for the same share one piece of work, and its result", async () => {
  const flights = new Flights<string>();
  const { start, started, end } = work();
  const asked = [1, 2, 3].map(() => flights.share("same", 100, start));
  expect(asked.map(({ joined }) => joined)).toEqual([false, true, true]);
  expect(started).toHaveLength(1);
  end.resolve("result");
  expect(await Promise.all(asked.map(({ result }) => result))).toEqual(["result", "result", "result"]);
});

test("what is asked under another name is work of its own", () => {
  const flights = new Flights<string>();
  const { start, started } = work();
  for (const name of ["a", "b"]) expect(flights.share(name, 100, start).joined).toBe(false);
  expect(started).toHaveLength(2);
});

test("a failure is everybody's, and neither it nor a result is kept", async () => {
  const flights = new Flights<string>();
  const first = work();
  const asked = [flights.share("same", 100, first.start), flights.share("same", 100, first.start)];
  first.end.reject(new Error("failed"));
  for (const { result } of asked) await expect(result).rejects.toThrow("failed");
  expect(flights.size).toBe(0);
  const second = work();
  const again = flights.share("same", 100, second.start);
  expect(again.joined).toBe(false);
  second.end.resolve("result");
  expect(await again.result).toBe("result");
  await nextTick();
  expect(flights.size).toBe(0);
});

test("the work may take as long as the most patient of them waits", () => {
  const flights = new Flights<string>();
  const { start, started } = work();
  for (const deadlineAt of [100, 300, 200]) flights.share("same", deadlineAt, start);
  expect(started).toEqual([{ at: 300 }]);
});
