import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PayloadBudget } from "../../src/authorize/payload-budget.ts";

const full = expect.objectContaining({ code: "QUEUE_FULL", retryAfterMs: 100 });

describe("the payload budget", () => {
  test("is spent by size, one agent's share first", () => {
    const budget = new PayloadBudget({ total: 100, perAgent: 40 });
    budget.hold("loop", 30);
    expect(() => budget.hold("loop", 11)).toThrow(full);
    budget.hold("loop", 10);
    budget.hold("b", 40);
    expect(() => budget.hold("c", 21)).toThrow(full);
    budget.hold("c", 20);
    budget.release("loop", 30);
    budget.hold("c", 20);
  });

  test("whatever comes and goes, it holds no more than the limits, and all is free again afterwards", () => {
    const step = fc.tuple(fc.constantFrom("a", "b", "c"), fc.nat(50), fc.boolean());
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const budget = new PayloadBudget({ total: 100, perAgent: 60 });
        const held: [string, number][] = [];
        const sum = (of: [string, number][]): number => of.reduce((total, [, size]) => total + size, 0);
        const releaseOne = (): void => {
          const one = held.shift();
          if (one !== undefined) budget.release(...one);
        };
        for (const [agent, size, leaves] of steps) {
          if (leaves) releaseOne();
          const own = sum(held.filter(([name]) => name === agent));
          if (own + size > 60 || sum(held) + size > 100) expect(() => budget.hold(agent, size)).toThrow(full);
          else {
            budget.hold(agent, size);
            held.push([agent, size]);
          }
        }
        while (held.length > 0) releaseOne();
        budget.hold("a", 60);
        budget.hold("b", 40);
      }),
    );
  });
});
