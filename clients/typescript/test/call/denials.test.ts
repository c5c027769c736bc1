import { describe, expect, it } from "vitest";
import { Denials, EVERY_REQUEST } from "../../src/call/denials.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** When the grant was issued that is to be used. */
const GRANTED_AT = 1;
const no = (heardAt: number, decidedAt: number | null = null) => ({ heardAt, decidedAt });

describe("denials", () => {
  it("are suspect for a day", () => {
    const denials = new Denials();
    expect(denials.suspects("a", 0, GRANTED_AT)).toBe(false);
    denials.add("a", no(0));
    expect(denials.suspects("a", DAY_MS - 1, GRANTED_AT)).toBe(true);
    expect(denials.suspects("b", 1, GRANTED_AT)).toBe(false);
    expect(denials.suspects("a", DAY_MS, GRANTED_AT)).toBe(false);
  });

  it("count from the last one heard", () => {
    const denials = new Denials();
    denials.add("a", no(0));
    denials.add("a", no(1000));
    expect(denials.suspects("a", DAY_MS + 1, GRANTED_AT)).toBe(true);
  });

  it.each([
    { heard: [5], yes: { decidedAt: 6, replayed: true }, ends: true },
    { heard: [5], yes: { decidedAt: 5, replayed: false }, ends: false },
    { heard: [5], yes: { decidedAt: 4, replayed: false }, ends: false },
    { heard: [5, 3], yes: { decidedAt: 4, replayed: false }, ends: false },
    { heard: [5], yes: { decidedAt: null, replayed: false }, ends: false },
    { heard: [null], yes: { decidedAt: 6, replayed: true }, ends: false },
    { heard: [null], yes: { decidedAt: 6, replayed: false }, ends: true },
    { heard: [null], yes: { decidedAt: 6, replayed: false, askedAt: 99 }, ends: false },
    { heard: [null, 5], yes: { decidedAt: 6, replayed: true }, ends: false },
    { heard: [5, null], yes: { decidedAt: 6, replayed: true }, ends: false },
  ])("decided at $heard end with a yes that was decided later: $yes, $ends", ({ heard, yes, ends }) => {
    const denials = new Denials();
    for (const decidedAt of heard) denials.add("a", no(100, decidedAt));
    denials.remove("a", { askedAt: 100, ...yes });
    expect(denials.suspects("a", 101, GRANTED_AT)).toBe(!ends);
  });

  it("of every request are of each one", () => {
    const denials = new Denials();
    denials.add(EVERY_REQUEST, no(0, 5));
    denials.remove("a", { askedAt: 1, decidedAt: 6, replayed: false });
    expect(denials.suspects("a", 1, GRANTED_AT)).toBe(true);
    expect(denials.suspects("a", 1, 5)).toBe(true);
    // Who is frozen gets no grant: since then it was unfrozen.
    expect(denials.suspects("a", 1, 6)).toBe(false);
    denials.remove(EVERY_REQUEST, { askedAt: 1, decidedAt: 6, replayed: false });
    expect(denials.suspects("a", 1, GRANTED_AT)).toBe(false);
  });

  it("make everything suspect when there were too many, until the forgotten would have expired", () => {
    const denials = new Denials();
    for (let n = 0; n <= 10_000; n++) denials.add(`d${n}`, no(n));
    expect(denials.suspects("never heard of", 20_000, GRANTED_AT)).toBe(true);
    expect(denials.suspects("never heard of", DAY_MS - 1, GRANTED_AT)).toBe(true);
    expect(denials.suspects("never heard of", DAY_MS, GRANTED_AT)).toBe(false);
    expect(denials.suspects("d10000", DAY_MS, GRANTED_AT)).toBe(true);
  });

  it("make room by letting the expired go, which costs nothing", () => {
    const denials = new Denials();
    for (let n = 0; n < 10_000; n++) denials.add(`d${n}`, no(0));
    denials.add("new", no(DAY_MS));
    expect(denials.suspects("never heard of", DAY_MS, GRANTED_AT)).toBe(false);
  });
});
