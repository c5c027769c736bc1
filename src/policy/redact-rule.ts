import type { Node } from "yaml";
import { toolPatternProblem } from "./pattern.ts";
import { parseRedactPath, type RedactPath } from "./redact-path.ts";
import type { RedactRule } from "./redaction.ts";
import { type Entry, type YamlFile } from "./yaml.ts";

const REDACT_KEYS: readonly string[] = ["tools", "paths"];

/** Reads a file's `redact` list. Entries with problems are left out. */
export function readRedactRules(file: YamlFile, entry: Entry): RedactRule[] {
  return (file.list(entry, "redact") ?? []).flatMap((node) => readRedactRule(file, node) ?? []);
}

function readRedactRule(file: YamlFile, node: Node | null): RedactRule | null {
  const entries = file.mapping(node, "an element of redact", REDACT_KEYS);
  if (entries === null || node === null) return null;
  const tools = file.required(node, entries, "tools", 'a list, such as [stripe.charge] or ["stripe.*"]');
  const paths = file.required(node, entries, "paths", "a list, such as [payload.card.number]");
  const patterns = tools === null ? null : file.texts(tools, "tools", toolPatternProblem);
  const places = paths === null ? null : readPaths(file, paths);
  return patterns === null || places === null ? null : { tools: patterns, paths: places };
}

function readPaths(file: YamlFile, entry: Entry): RedactPath[] | null {
  const paths: RedactPath[] = [];
  const nodes = file.list(entry, "paths");
  for (const node of nodes ?? []) {
    const text = file.text(node, "an element of paths", entry.key);
    const path = text === null ? null : parseRedactPath(text);
    if (path === null || node === null) continue;
    if ("message" in path) file.refuseWithin(node, path.offset, path.message);
    else paths.push(path);
  }
  return nodes !== null && paths.length === nodes.length ? paths : null;
}
