import type { DescEnum } from "@bufbuild/protobuf";
import type { Io } from "./io.ts";

/** One JSON value on stdout. What a terminal would obey is escaped, which to JSON is the same text. */
export function outJson(io: Io, value: unknown): void {
  const lines = JSON.stringify(value, null, 2).split("\n");
  io.out(`${lines.map(printable).join("\n")}\n`);
}

/** Rows under headings, in columns as wide as they need. */
export function outTable(io: Io, headings: readonly string[], rows: readonly (readonly string[])[]): void {
  const lines = [headings, ...rows.map((row) => row.map(printable))];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  for (const line of lines) {
    io.out(
      `${line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()}\n`,
    );
  }
}

/**
 * Text that came from a caller, made harmless for a terminal: control characters (with them all ANSI escapes) and marks that
 * change the direction of writing are shown as escapes.
 */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The name of an enum's value without its prefix, such as `ACTIVE`; its number if this version does not know it. */
export function wordOf(desc: DescEnum, value: number): string {
  return desc.value[value]?.localName ?? String(value);
}
