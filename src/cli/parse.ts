import { InvalidArgumentError } from "commander";
import { type Micros, systemClock } from "../core/clock.ts";

/** What people write behind flags, the same for every command. Each parser throws commander's InvalidArgumentError. */

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/** Milliseconds, from such as 500ms, 90s, 30m, 4h, 7d; at least 1. */
export function parseDuration(text: string): number {
  const milliseconds = durationOf(text);
  if (milliseconds !== null && milliseconds > 0) return milliseconds;
  throw new InvalidArgumentError("Write a number and ms, s, m, h or d, such as 30m.");
}

/** The same in whole seconds, for what the contract counts in them. */
export function parseSeconds(text: string): number {
  const seconds = parseDuration(text) / 1000;
  if (Number.isInteger(seconds)) return seconds;
  throw new InvalidArgumentError("Write whole seconds, such as 90s, 30m, 4h.");
}

function durationOf(text: string): number | null {
  const [, count, unit = ""] = /^(\d{1,9})(ms|[smhd])$/.exec(text) ?? [];
  return count === undefined ? null : Number(count) * (UNIT_MS.get(unit) ?? 0);
}

const TIME = /^(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2}))?$/;

/** A time: a date, which is its first moment in UTC, a time with its zone, or a duration ago, such as 4h. */
export function parseTime(text: string): Micros {
  const ago = durationOf(text);
  if (ago !== null) return systemClock.now() - ago * 1000;
  const [, date] = TIME.exec(text) ?? [];
  const millis = date === undefined || !isDate(date) ? Number.NaN : Date.parse(text);
  if (!Number.isNaN(millis)) return millis * 1000;
  throw new InvalidArgumentError(
    "Write a date, a time such as 2026-11-22T20:00:00Z, or how long ago, such as 4h or 7d.",
  );
}

/** Date.parse takes February 30 for March 2. */
function isDate(text: string): boolean {
  const date = new Date(text);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}

/** A whole month of UTC, such as 2026-11: its first moment and the next month's. */
export function parseMonth(text: string): { readonly from: Micros; readonly to: Micros } {
  const [, year, month] = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(text) ?? [];
  if (year === undefined) throw new InvalidArgumentError("Write a month such as 2026-11.");
  const firstOf = (index: number): Micros => Date.UTC(Number(year), index) * 1000;
  return { from: firstOf(Number(month) - 1), to: firstOf(Number(month)) };
}

const MOST = 100_000;

/** How many rows of a list, from 1 to 100,000. */
export function parseLimit(text: string): number {
  const limit = Number(text);
  if (/^\d{1,6}$/.test(text) && limit >= 1 && limit <= MOST) return limit;
  throw new InvalidArgumentError(`Write a number from 1 to ${MOST}, or --all.`);
}

/** For a flag that may be repeated. */
export function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}
