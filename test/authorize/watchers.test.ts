import { describe, expect, test } from "vitest";
import { Watchers } from "../../src/authorize/watchers.ts";

const settled = async (work: Promise<void>): Promise<boolean> =>
  await Promise.race([work.then(() => true), new Promise<boolean>((resolve) => setTimeout(resolve, 0, false))]);

describe("watchers", () => {
  test("are woken for their own decision, by this process and by looking", async () => {
    const asked: string[][] = [];
    let resolved: string[] = [];
    const watchers = new Watchers(async (ids) => {
      asked.push([...ids]);
      return resolved;
    });
    using one = watchers.add("a", "d1");
    using same = watchers.add("b", "d1");
    using other = watchers.add("a", "d2");
    const changes = [one.nextChange(), same.nextChange(), other.nextChange()];
    watchers.wake("d1");
    expect(await Promise.all(changes.map(settled))).toEqual([true, true, false]);
    resolved = ["d2"];
    await watchers.look();
    expect(asked).toEqual([["d1", "d2"]]);
    expect(await settled(changes[2] as Promise<void>)).toBe(true);
    // Each change once.
    expect(await settled(other.nextChange())).toBe(false);
  });

  test("are forgotten when they go, and nobody is asked for nothing", async () => {
    let looks = 0;
    const watchers = new Watchers(async () => {
      looks++;
      return [];
    });
    const both = [watchers.add("a", "d"), watchers.add("a", "d")];
    expect(watchers.size).toBe(1);
    for (const watcher of both) watcher[Symbol.dispose]();
    expect(watchers.size).toBe(0);
    await watchers.look();
    expect(looks).toBe(0);
  });

  test("of one agent are bounded, and leave room when they go", () => {
    const watchers = new Watchers(async () => []);
    const held = Array.from({ length: 64 }, (_, n) => watchers.add("greedy", `d${n}`));
    expect(() => watchers.add("greedy", "one more")).toThrow(/watches 64 decisions at once/);
    watchers.add("other", "d0")[Symbol.dispose]();
    held[0]?.[Symbol.dispose]();
    expect(() => watchers.add("greedy", "one more")).not.toThrow();
  });
});
