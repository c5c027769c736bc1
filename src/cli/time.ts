import type { Micros } from "../clock.ts";
import { UsageError } from "../fault.ts";

const TIME = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/;

/** A time as operators write it, a date alone being its first moment in UTC. @throws UsageError */
export function timeOf(flag: string, text: string): Micros {
  const millis = TIME.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(millis)) return millis * 1000;
  throw new UsageError([`${flag} is "${text}": it must be a time such as 2026-11-01 or 2026-11-01T12:00:00Z`]);
}
