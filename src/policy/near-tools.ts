import { distance } from "../core/nearest.ts";
import { toolShape } from "./pattern.ts";

/** How far a misspelling may be from what was meant, in edits, and from how many characters on. */
const EDITS = 2;
const LEAST_LENGTH = 4;
/** Longer names are not compared: it would take long. */
const MAX_LENGTH = 64;
const MAX_NEAR = 3;

/**
 * The patterns of rules that `tool` may be a misspelling for, where none but `*` matches it: case counts in patterns, and a typing
 * error makes another tool. Nearest first, at most three.
 */
export function nearTools(patterns: readonly string[], tool: string): readonly string[] {
  const named = [...new Set(patterns)].filter((pattern) => pattern !== "*");
  if (named.some((pattern) => editsTo(pattern, tool) === 0)) return [];
  const lower = tool.toLowerCase();
  return named
    .map((pattern) => ({ pattern, edits: editsTo(pattern.toLowerCase(), lower) }))
    .filter(({ edits }) => edits <= EDITS)
    .toSorted((a, b) => a.edits - b.edits)
    .slice(0, MAX_NEAR)
    .map(({ pattern }) => pattern);
}

/** How many edits of `tool`, in the parts that the pattern gives, make it match; 0 if it does. */
function editsTo(pattern: string, tool: string): number {
  const { prefix, suffix } = toolShape(pattern);
  if (suffix === null) return edits(prefix, tool);
  if (tool.length >= prefix.length + suffix.length && tool.startsWith(prefix) && tool.endsWith(suffix)) return 0;
  const parts = tool.split(".");
  const [before, after] = [dotsIn(prefix), dotsIn(suffix)];
  if (parts.length < before + after + 1) return Number.POSITIVE_INFINITY;
  const head = parts.slice(0, before).map((part) => `${part}.`);
  const tail = parts.slice(parts.length - after).map((part) => `.${part}`);
  return edits(prefix, head.join("")) + edits(suffix, tail.join(""));
}

function edits(meant: string, written: string): number {
  if (meant === written) return 0;
  if (meant.length < LEAST_LENGTH || Math.max(meant.length, written.length) > MAX_LENGTH)
    return Number.POSITIVE_INFINITY;
  return distance(meant, written);
}

function dotsIn(text: string): number {
  return text.split(".").length - 1;
}
