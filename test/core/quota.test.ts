import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Fault } from "../../src/core/fault.ts";
import { Quota } from "../../src/core/quota.ts";

const tooMuch = (owner: string, held: number): Fault => new Fault("QUEUE_FULL", `${owner} holds ${held}.`);
const full = expect.objectContaining({ code: "QUEUE_FULL" });

describe("a quota", () => {
  test("is spent by amount, one owner's share first", () => {
    const quota = new Quota({ total: 100, perOwner: 40 }, tooMuch);
    quota.hold("loop", 30);
    expect(() => quota.hold("loop", 11)).toThrow("loop holds 30.");
    quota.hold("loop", 10);
    quota.hold("b", 40);
    expect(() => quota.hold("c", 21)).toThrow(full);
    quota.hold("c", 20);
    quota.release("loop", 30);
    quota.hold("c", 20);
  });

  test("whatever comes and goes, it holds no more than the limits, and all is free again afterwards", () => {
    const step = fc.tuple(fc.constantFrom("a", "b", "c"), fc.nat(50), fc.boolean());
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const quota = new Quota({ total: 100, perOwner: 60 }, tooMuch);
        const held: [string, number][] = [];
        const sum = (of: [string, number][]): number => of.reduce((total, [, size]) => total + size, 0);
        const releaseOne = (): void => {
          const one = held.shift();
          if (one !== undefined) quota.release(...one);
        };
        for (const [agent, size, leaves] of steps) {
          if (leaves) releaseOne();
          const own = sum(held.filter(([name]) => name === agent));
          if (own + size > 60 || sum(held) + size > 100) expect(() => quota.hold(agent, size)).toThrow(full);
          else {
            quota.hold(agent, size);
            held.push([agent, size]);
          }
        }
        while (held.length > 0) releaseOne();
        quota.hold("a", 60);
        quota.hold("b", 40);
      }),
    );
  });
});
