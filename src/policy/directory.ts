import { type BigIntStats, closeSync, constants, fstatSync, opendirSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Micros } from "../core/clock.ts";
import { messageOf } from "../core/fault.ts";
import type { Problem } from "./yaml.ts";

/** A file's path, as problems name it, and its text. */
export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/** What a directory of policies holds, as plain data. */
export interface PolicyDirectory {
  /** In the order of their names. */
  readonly rules: readonly TextFile[];
  /** Empty if tests were not asked for. */
  readonly tests: readonly TextFile[];
  /** What keeps the rules from being read whole: a bundle without that file could lack a rule that denies. */
  readonly problems: readonly Problem[];
  readonly testProblems: readonly Problem[];
  /** What is in the directory and is not read. */
  readonly warnings: readonly Problem[];
  /** Differs whenever what would be read differs. */
  readonly fingerprint: string;
  /** False if something changed while the files were read: the texts may belong to different states. */
  readonly unchanged: boolean;
  /** When a rule file or the directory last changed, by the clock of their file system. */
  readonly changedAt: Micros;
}

/** What one read may come to. A policy of thousands of rules has a tenth of it. */
export const POLICY_LIMITS = { fileBytes: 1 << 20, totalBytes: 4 << 20, entries: 10_000 } as const;

/**
 * Reads a directory with synchronous calls, each of which a file system that hangs can keep for ever: a process with other
 * work reads through {@link PolicyReader}. Never throws, and never opens anything but regular files.
 */
export function readPolicyDirectory(dir: string, withTests = true): PolicyDirectory {
  const before = list(dir);
  const rules = readAll(before.rules);
  const tests = withTests ? readAll(before.tests) : { files: [], problems: [] };
  const after = list(dir);
  return {
    rules: rules.files,
    tests: tests.files,
    problems: [...before.problems, ...rules.problems],
    testProblems: withTests ? [...before.testProblems, ...tests.problems] : [],
    warnings: before.warnings,
    fingerprint: after.fingerprint,
    unchanged: before.fingerprint === after.fingerprint,
    changedAt: after.changedAt,
  };
}

/** The names, identities, sizes and times of what would be read, as a text. */
export function fingerprintOf(dir: string): string {
  return list(dir).fingerprint;
}

/** What a directory entry is, links followed; `nothing` for a link that leads nowhere, or for what cannot be looked at. */
export type EntryKind = "file" | "directory" | "fifo" | "socket" | "device" | "nothing";

export type Use =
  | { readonly as: "rules" | "tests" | "nothing" }
  | { readonly as: "problem" | "warning"; readonly message: string };

const WHAT: Readonly<Record<EntryKind, string>> = {
  file: "a file",
  directory: "a directory",
  fifo: "a named pipe",
  socket: "a socket",
  device: "a device",
  nothing: "a link that leads nowhere, or cannot be looked at",
};

/** Endings of files whose author means them to be read, and trailing characters that a listing does not show. */
const LOOKS_LIKE_RULES = /\.(?:ya?ml|json)[\s.]*$/i;
const MENTIONS_RULES = /\.(?:ya?ml|json)/i;
const DOCUMENTATION =
  /^(?:readme|licen[cs]e|notice|authors|changelog|codeowners|owners|makefile)(?:\.|$)|\.(?:md|txt|rst|adoc)$/i;

/**
 * What becomes of an entry, by its name. A problem, if its name says that its author means it to be read; a warning, if it may
 * be a copy or an editor's leftover; nothing, if it is documentation, or hidden and not about rules.
 */
export function useOf(name: string, kindOf: () => EntryKind): Use {
  const hidden = name.startsWith(".");
  if (name.endsWith(".yaml") && !hidden) {
    const kind = kindOf();
    if (kind === "file") return { as: isTestFile(name) ? "tests" : "rules" };
    return { as: "problem", message: `this is ${WHAT[kind]}; put a regular file here, or remove it` };
  }
  if (LOOKS_LIKE_RULES.test(name) && !hidden) {
    return {
      as: "problem",
      message: `the name ${JSON.stringify(name)} does not end in ".yaml", so it would not be read; rename it to end so (JSON is YAML), or move it to another directory`,
    };
  }
  const mentionsRules = MENTIONS_RULES.test(name);
  // Among the hidden are `..data` and `..<time>`, where Kubernetes keeps what the names in a mounted volume link to.
  if (hidden) return mentionsRules ? { as: "warning", message: "hidden files are not read" } : { as: "nothing" };
  if (DOCUMENTATION.test(name) && !mentionsRules) return { as: "nothing" };
  if (kindOf() === "directory") return { as: "warning", message: "directories below the policies are not read" };
  return { as: "warning", message: 'this is not read: the names of rule files end in ".yaml"' };
}

export function isTestFile(path: string): boolean {
  return path.endsWith("_test.yaml");
}

interface Listing {
  readonly rules: readonly string[];
  readonly tests: readonly string[];
  readonly problems: readonly Problem[];
  readonly testProblems: readonly Problem[];
  readonly warnings: readonly Problem[];
  readonly fingerprint: string;
  readonly changedAt: Micros;
}

function list(dir: string): Listing {
  const paths: Record<"rules" | "tests", string[]> = { rules: [], tests: [] };
  const found: Record<"problem" | "testProblem" | "warning", Problem[]> = { problem: [], testProblem: [], warning: [] };
  const marks: unknown[] = [];
  let changedAt = 0n;
  try {
    changedAt = statSync(dir, { bigint: true }).ctimeNs;
    for (const name of namesIn(dir)) {
      const path = join(dir, name);
      const stats = lazy(() => statsOf(path));
      const use = useOf(name, () => kindOf(stats()));
      if (use.as === "rules" || use.as === "tests") paths[use.as].push(path);
      else if (use.as === "warning") found.warning.push(problemAt(path, use.message));
      else if (use.as === "problem")
        found[isTestFile(name) ? "testProblem" : "problem"].push(problemAt(path, use.message));
      if (use.as === "rules") {
        marks.push([name, ...identityOf(stats())]);
        changedAt = max(changedAt, stats()?.ctimeNs ?? 0n);
      } else if (use.as === "problem") marks.push([name, use.message]);
    }
  } catch (error) {
    found.problem.push(problemAt(dir, `the directory of policies is not readable: ${messageOf(error)}`));
    marks.push(messageOf(error));
  }
  return {
    ...paths,
    problems: found.problem,
    testProblems: found.testProblem,
    warnings: found.warning,
    fingerprint: JSON.stringify(marks),
    changedAt: Number(changedAt / 1000n),
  };
}

function namesIn(dir: string): readonly string[] {
  const names: string[] = [];
  const open = opendirSync(dir);
  try {
    for (let entry = open.readSync(); entry !== null; entry = open.readSync()) {
      names.push(entry.name);
      if (names.length > POLICY_LIMITS.entries) throw new Error(`it has more than ${POLICY_LIMITS.entries} entries`);
    }
  } finally {
    open.closeSync();
  }
  return names.toSorted();
}

/** Links are followed. Null for a link that leads nowhere, and for what cannot be looked at. */
function statsOf(path: string): BigIntStats | null {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return null;
  }
}

function kindOf(stats: BigIntStats | null): EntryKind {
  if (stats === null) return "nothing";
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  if (stats.isFIFO()) return "fifo";
  return stats.isSocket() ? "socket" : "device";
}

function identityOf(stats: BigIntStats | null): readonly string[] {
  return stats === null ? [] : [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].map(String);
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

function readAll(paths: readonly string[]): {
  readonly files: readonly TextFile[];
  readonly problems: readonly Problem[];
} {
  const files: TextFile[] = [];
  const problems: Problem[] = [];
  let bytes = 0;
  for (const path of paths) {
    try {
      const content = readRegularFile(path);
      bytes += content.length;
      if (bytes > POLICY_LIMITS.totalBytes) {
        const limit = `with the files before it, it has more than ${POLICY_LIMITS.totalBytes} bytes, the most of one bundle`;
        return { files, problems: [...problems, problemAt(path, limit)] };
      }
      files.push({ path, text: new TextDecoder("utf-8", { fatal: true }).decode(content) });
    } catch (error) {
      problems.push(problemAt(path, `the file is not readable as UTF-8: ${messageOf(error)}`));
    }
  }
  return { files, problems };
}

/** What is at `path` may be replaced between looking and opening, so opening must not wait either, as that of a pipe does. */
function readRegularFile(path: string): Buffer {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stats = fstatSync(file, { bigint: true });
    const kind = kindOf(stats);
    if (kind !== "file") throw new Error(`it is ${WHAT[kind]}`);
    const limit = POLICY_LIMITS.fileBytes;
    if (stats.size > limit) throw new Error(`it has ${stats.size} bytes, at most ${limit} are read`);
    // The size is not believed: a file may grow meanwhile, and those of /proc have none.
    const buffer = Buffer.alloc(limit + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length <= limit; length += read)
      read = readSync(file, buffer, length, buffer.length - length, null);
    if (length > limit) throw new Error(`it has more than ${limit} bytes`);
    return buffer.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

function problemAt(file: string, message: string): Problem {
  return { file, line: 1, column: 1, message };
}
