import fc from "fast-check";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { at, lasting, run } from "../../src/store/dialect/statements.ts";
import { parseInt8, parseInterval, parseNumeric, parseTime } from "../../src/store/dialect/values.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { query } from "../support/sql.ts";

/** The first and the last microsecond that a number holds: 1684 and 2255. */
const LAST = Number.MAX_SAFE_INTEGER;

describe("values as Postgres writes them", () => {
  test("a time is read to the microsecond, also before 1970 and in the years of one digit fewer", () => {
    expect(parseTime("1970-01-01 00:00:00+00")).toBe(0);
    expect(parseTime("2026-11-28 14:39:39.1234+00")).toBe(1_795_876_779_123_400);
    expect(parseTime("1969-12-31 23:59:59.5+00")).toBe(-500_000);
    expect(parseTime("2255-06-05 23:47:34.740991+00")).toBe(LAST);
  });

  test.each([
    "infinity",
    "-infinity",
    "2255-06-05 23:47:34.740992+00",
    "0001-01-01 00:00:00+00",
    "0044-03-15 00:00:00+00 BC",
    "10000-01-01 00:00:00+00",
    "2026-11-28 14:39:39+02",
    "Sat Nov 28 14:39:39 2026 UTC",
    "",
  ])("the time %o is refused", (text) => {
    expect(() => parseTime(text)).toThrow(`the database returned the time ${text}, which no number holds exactly`);
  });

  test("integers are read as long as a number holds them exactly", () => {
    expect(parseInt8("-9007199254740991")).toBe(-LAST);
    for (const parse of [parseInt8, parseNumeric])
      expect(() => parse("9007199254740992")).toThrow("the database returned the integer 9007199254740992");
    expect(parseNumeric("12.500000")).toBe(12.5);
    for (const text of ["NaN", "Infinity"]) expect(() => parseNumeric(text)).toThrow(text);
  });

  test("an interval is read if its length is certain", () => {
    expect(parseInterval("24:00:00")).toBe(86_400_000_000);
    expect(parseInterval("-00:00:00.000001")).toBe(-1);
    expect(parseInterval("2 days")).toBe(172_800_000_000);
    expect(parseInterval("1 day -01:00:00")).toBe(82_800_000_000);
    for (const text of ["1 mon", "1 year 2 days", "", "1:00"]) expect(() => parseInterval(text)).toThrow(text);
  });
});

describe.each(storeKinds())("values on $name", ({ open }) => {
  let store: TestStore;

  beforeAll(async () => {
    store = await open();
  });
  afterAll(() => store.close());

  test("times, intervals and integers are read as they were written", async () => {
    const whole = fc.integer({ min: -LAST, max: LAST });
    await fc.assert(
      fc.asyncProperty(whole, whole, async (time, number) => {
        const written = sql`SELECT ${at(time)} AS time, ${lasting(number)} AS interval, ${number}::bigint AS int8,
          ${number}::bigint::numeric AS "numeric"`;
        const [read] = await run(store.database.kysely, written, {});
        expect(read).toEqual({ time, interval: number, int8: number, numeric: number });
      }),
      { numRuns: 50 },
    );
  });

  test("a date is text, JSON is what it means, bytes are bytes, null is null", async () => {
    const written = sql`SELECT '2026-11-01'::date AS date, '{"a":[1,null]}'::json AS json, '\\x00ff'::bytea AS bytes,
      null::timestamptz AS nothing`;
    const [read] = await run<{ bytes: Uint8Array }>(store.database.kysely, written as never, {});
    expect(read).toMatchObject({ date: "2026-11-01", json: { a: [1, null] }, nothing: null });
    expect([...(read?.bytes ?? [])]).toEqual([0, 255]);
  });

  test("a value that no number holds exactly fails its statement", async () => {
    for (const value of ["'infinity'::timestamptz", "9007199254740993::bigint", "interval '1 month'"])
      await expect(query(store.database, `SELECT ${value}`), value).rejects.toMatchObject({
        message: expect.stringContaining("the database returned the"),
        outcome: "unknown",
        isOutage: false,
        quotesValues: true,
      });
    expect(await query(store.database, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });
});
