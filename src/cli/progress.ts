import { stderr } from "node:process";
import { systemClock } from "../core/clock.ts";

const EVERY_MS = 250;
const BAR = 24;

/** A line at the terminal that shows how far a long command is, how fast, and how long it still takes. Elsewhere: nothing. */
export class Progress {
  readonly #started = systemClock.monotonic();
  #shown = -Infinity;

  /** @param fraction from 0 to 1, as far as one knows */
  show(rows: number, fraction: number): void {
    const now = systemClock.monotonic();
    if (!stderr.isTTY || now - this.#shown < EVERY_MS) return;
    this.#shown = now;
    stderr.write(`\r\u001b[K${progressText(rows, fraction, (now - this.#started) / 1000)}`);
  }

  end(): void {
    if (stderr.isTTY) stderr.write("\r\u001b[K");
  }
}

/** @param seconds since the start */
export function progressText(rows: number, fraction: number, seconds: number): string {
  const known = Math.min(1, Math.max(0, fraction));
  const bar = "#".repeat(Math.round(known * BAR)).padEnd(BAR, ".");
  const rate = Math.round(rows / Math.max(seconds, 0.001)).toLocaleString("en");
  const left = known > 0 ? `, ${timeText((seconds * (1 - known)) / known)} left` : "";
  return `[${bar}] ${Math.floor(known * 100)}%  ${rows.toLocaleString("en")} rows, ${rate} rows/s${left}`;
}

function timeText(seconds: number): string {
  const whole = Math.ceil(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
