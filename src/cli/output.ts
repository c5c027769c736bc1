import type { DescEnum } from "@bufbuild/protobuf";
import type { Io } from "./io.ts";

/** One JSON value on stdout. What a terminal would obey is escaped, which to JSON is the same text. */
export function outJson(io: Io, value: unknown): void {
  io.out(`${printableLines(JSON.stringify(value, null, 2))}\n`);
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
 * Text that came from a caller, made harmless for a terminal: control characters (with them all ANSI escapes), marks that change the
 * direction of writing, and what else nobody sees are shown as escapes.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (invisible) =>
    invisible
      .split("")
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

/** The same for text of several lines. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

/** The name of an enum's value without its prefix, such as `ACTIVE`; its number if this version does not know it. */
export function wordOf(desc: DescEnum, value: number): string {
  return desc.value[value]?.localName ?? String(value);
}
