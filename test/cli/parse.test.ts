import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { parseDuration, parseLimit, parseMonth, parseSeconds, parseTime } from "../../src/cli/parse.ts";

const DAY_MS = 86_400_000;

describe("a duration on the command line", () => {
  test.each([
    ["250ms", 250],
    ["1s", 1000],
    ["90s", 90_000],
    ["30m", 1_800_000],
    ["4h", 14_400_000],
    ["7d", 7 * DAY_MS],
  ])("%s is %d ms", (text, milliseconds) => expect(parseDuration(text)).toBe(milliseconds));

  test.each(["", "0s", "30", "1.5h", "-3s", "+3s", "3 s", "3S", "3w", "s", "1e3s", "1234567890s", "1h30m"])(
    "is refused with what to write instead: %j",
    (text) => expect(() => parseDuration(text)).toThrow("such as 30m"),
  );

  test("in whole seconds is refused if it is none", () => {
    expect(parseSeconds("30m")).toBe(1800);
    expect(parseSeconds("2000ms")).toBe(2);
    expect(() => parseSeconds("1500ms")).toThrow("whole seconds");
  });
});

describe("a time on the command line", () => {
  test.each([
    ["2026-11-22", "2026-11-22T00:00:00.000Z"],
    ["2026-11-22T20:00Z", "2026-11-22T20:00:00.000Z"],
    ["2026-11-22T20:00:01.5Z", "2026-11-22T20:00:01.500Z"],
    ["2026-11-22T20:00:00+02:00", "2026-11-22T18:00:00.000Z"],
    ["2028-02-29", "2028-02-29T00:00:00.000Z"],
  ])("%s is %s", (text, iso) => expect(new Date(parseTime(text) / 1000).toISOString()).toBe(iso));

  test("is also how long ago it was", () => {
    const before = systemClock.now();
    const then = parseTime("4h");
    expect(then).toBeGreaterThanOrEqual(before - 4 * 3_600_000_000);
    expect(then).toBeLessThanOrEqual(systemClock.now() - 4 * 3_600_000_000);
  });

  // Date.parse takes all of these for times, some of them in the zone of the machine.
  test.each([
    "2026",
    "1",
    "2026-11",
    "Nov 22 2026",
    "2026-11-22T20:00",
    "2026-11-22 20:00Z",
    "2026-02-30",
    "2027-02-29",
  ])("is refused if it is not written out: %j", (text) => expect(() => parseTime(text)).toThrow("Write a date"));

  test("is read back as every date is written", () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date("2200-01-01T00:00:00Z"), noInvalidDate: true }), (date) => {
        expect(parseTime(date.toISOString())).toBe(date.getTime() * 1000);
        expect(parseTime(date.toISOString().slice(0, 10))).toBe(Math.floor(date.getTime() / DAY_MS) * DAY_MS * 1000);
      }),
    );
  });

  test("of any text is a time or refused, never something else", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9TZ:.+-]{0,25}$/)), (text) => {
        try {
          expect(Number.isSafeInteger(parseTime(text))).toBe(true);
        } catch (error) {
          expect(String(error)).toContain("Write a date");
        }
      }),
    );
  });
});

describe("a month on the command line", () => {
  test("is from its first moment to the next month's", () => {
    expect(parseMonth("2026-12")).toEqual({
      from: Date.parse("2026-12-01T00:00:00Z") * 1000,
      to: Date.parse("2027-01-01T00:00:00Z") * 1000,
    });
  });

  test.each(["2026-13", "2026-00", "2026-1", "2026-11-01", "11-2026", ""])("is refused: %j", (text) =>
    expect(() => parseMonth(text)).toThrow("such as 2026-11"),
  );
});

describe("how many rows of a list", () => {
  test("is a number from 1 to 100000", () => {
    expect([parseLimit("1"), parseLimit("100000")]).toEqual([1, 100_000]);
    for (const text of ["0", "-1", "1.5", "100001", "1e3", "", "all"]) expect(() => parseLimit(text)).toThrow("--all");
  });
});
