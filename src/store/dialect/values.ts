import type { Micros } from "../../core/clock.ts";

/**
 * How a session must write values for {@link PARSERS} to read them, whatever the server's, the database's or the login's own
 * settings are.
 */
export const VALUE_SETTINGS = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'";

/**
 * By the type's oid, how both drivers read what their libraries would read differently from one another, or lose a part of.
 * An array of one of these is not read by them: aggregate to JSON.
 *
 * A parser that throws fails the statement, with its outcome unknown: nothing that is not exact gets past a driver.
 */
export const PARSERS: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  [20, parseInt8],
  [1082, (date) => date],
  [1184, parseTime],
  [1186, parseInterval],
  [1700, parseNumeric],
]);

/** A value that was read and that no number holds exactly. What the statement did it has done. */
export class UnreadableValue extends Error {
  override readonly name = "UnreadableValue";
  /** As Postgres names numbers that are out of range: the value is at fault, not the database, and the message quotes it. */
  static readonly SQL_STATE = "22003";

  constructor(kind: string, text: string) {
    super(`the database returned the ${kind} ${text}, which no number holds exactly`);
  }
}

/** @throws UnreadableValue beyond 2^53, where a number would be another one */
export function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new UnreadableValue("integer", text);
  return value;
}

/** @throws UnreadableValue for what is not finite, and for integers beyond 2^53 */
export function parseNumeric(text: string): number {
  if (/^-?\d+$/.test(text)) return parseInt8(text);
  const value = Number(text);
  if (!Number.isFinite(value)) throw new UnreadableValue("number", text);
  return value;
}

const TIME = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00$/;

/** @throws UnreadableValue for `infinity`, and for times that a number does not hold to the microsecond (before 1684, after 2255) */
export function parseTime(text: string): Micros {
  const [, date, time, fraction = ""] = TIME.exec(text) ?? [];
  const micros = Date.parse(`${date}T${time}Z`) * 1000 + Number(fraction.padEnd(6, "0"));
  if (!Number.isSafeInteger(micros)) throw new UnreadableValue("time", text);
  return micros;
}

const INTERVAL = /^(?:(-?\d+) days?)? ?(?:(-?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?$/;

/** @throws UnreadableValue for months and years, whose length depends on where they begin */
export function parseInterval(text: string): Micros {
  const [match, days = "0", sign = "", hours = "0", minutes = "0", seconds = "0", fraction = ""] =
    INTERVAL.exec(text) ?? [];
  const whole = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds);
  const time = whole * 1_000_000 + Number(fraction.padEnd(6, "0"));
  const micros = Number(days) * 86_400_000_000 + (sign === "-" ? -time : time);
  if (match === undefined || match === "" || !Number.isSafeInteger(micros)) throw new UnreadableValue("interval", text);
  return micros;
}
