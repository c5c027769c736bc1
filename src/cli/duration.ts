import { InvalidArgumentError } from "commander";

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** Seconds, from such as 30m, 4h, 90s. */
export function parseSeconds(text: string): number {
  const match = /^(\d{1,6})([smh])$/.exec(text);
  if (match === null) throw new InvalidArgumentError("Write a number and s, m or h, such as 30m.");
  return Number(match[1]) * (UNIT_SECONDS[match[2] as string] ?? 0);
}
