import { describe, expect, it } from "vitest";
import { Denials } from "../../src/guard/denials.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

describe("denials", () => {
  it("are suspect for a day", () => {
    const denials = new Denials();
    expect(denials.suspects("a", 0)).toBe(false);
    denials.add("a", 0);
    expect(denials.suspects("a", DAY_MS - 1)).toBe(true);
    expect(denials.suspects("b", 1)).toBe(false);
    expect(denials.suspects("a", DAY_MS)).toBe(false);
  });

  it("count from the last one heard, and end with a yes", () => {
    const denials = new Denials();
    denials.add("a", 0);
    denials.add("a", 1000);
    expect(denials.suspects("a", DAY_MS + 1)).toBe(true);
    denials.remove("a");
    expect(denials.suspects("a", 1001)).toBe(false);
  });

  it("make everything suspect when there were too many, until the forgotten would have expired", () => {
    const denials = new Denials();
    for (let n = 0; n <= 10_000; n++) denials.add(`d${n}`, n);
    expect(denials.suspects("never heard of", 20_000)).toBe(true);
    expect(denials.suspects("never heard of", DAY_MS - 1)).toBe(true);
    expect(denials.suspects("never heard of", DAY_MS)).toBe(false);
    expect(denials.suspects("d10000", DAY_MS)).toBe(true);
  });

  it("make room by letting the expired go, which costs nothing", () => {
    const denials = new Denials();
    for (let n = 0; n < 10_000; n++) denials.add(`d${n}`, 0);
    denials.add("new", DAY_MS);
    expect(denials.suspects("never heard of", DAY_MS)).toBe(false);
  });
});
