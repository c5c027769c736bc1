import { isScalar } from "yaml";
import type { Micros } from "../core/clock.ts";
import { describe, type Entry, type YamlFile } from "./yaml.ts";

const SECOND: Micros = 1_000_000;
const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** A time such as `90s`, `30m`, `4h` or `1d`, of at most `maxDays`; or null with a problem. */
export function readDuration(file: YamlFile, entry: Entry, key: string, maxDays: number): Micros | null {
  const { value } = entry;
  const text = isScalar(value) && value.anchor === undefined ? value.value : undefined;
  const [, count, unit] = /^([1-9]\d{0,6})([smhd])$/.exec(String(text)) ?? [];
  const seconds = Number(count) * (UNIT_SECONDS[unit ?? ""] ?? 0);
  if (seconds > 0 && seconds <= maxDays * 86_400) return seconds * SECOND;
  file.refuse(
    value ?? entry.key,
    `${key} is ${describe(value)}; write a time such as 90s, 30m, 4h or 1d, at most ${maxDays}d`,
  );
  return null;
}
