import { toolShape } from "../pattern.ts";

/** Whether a tool may match both; it may be that none does. */
export function mayOverlap(a: string, b: string): boolean {
  const [left, right] = [toolShape(a), toolShape(b)];
  if (left.suffix === null) return right.suffix === null ? a === b : matchesShape(right, left.prefix);
  if (right.suffix === null) return matchesShape(left, right.prefix);
  const prefixes = left.prefix.startsWith(right.prefix) || right.prefix.startsWith(left.prefix);
  return prefixes && (left.suffix.endsWith(right.suffix) || right.suffix.endsWith(left.suffix));
}

function matchesShape({ prefix, suffix }: ReturnType<typeof toolShape>, tool: string): boolean {
  const end = suffix ?? "";
  return tool.length >= prefix.length + end.length && tool.startsWith(prefix) && tool.endsWith(end);
}

/** Whether every agent that `narrow` matches is matched by `wide`. */
export function coversAgent(wide: string, narrow: string): boolean {
  if (!wide.endsWith("*")) return wide === narrow;
  const prefix = wide.slice(0, -1);
  return (narrow.endsWith("*") ? narrow.slice(0, -1) : narrow).startsWith(prefix);
}
