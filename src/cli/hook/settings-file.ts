import { existsSync, readFileSync, realpathSync, rmSync, statSync } from "node:fs";
import { chmod, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { makeDirectory, syncDirectory, writeDurably } from "../../core/durable.ts";
import { Fault, messageOf, type Path, UsageError } from "../../core/fault.ts";
import type { JsonObject } from "../../core/json.ts";
import { parseJsonText } from "../../core/json-text.ts";
import { undecodableFault } from "../../core/undecodable.ts";
import { isObject } from "./settings.ts";

/** A file of settings as it is; `text` is null if there is none. */
export interface SettingsFile {
  readonly path: string;
  readonly text: string | null;
  readonly settings: JsonObject;
}

/** @throws UsageError if it cannot be read, or is not one JSON object that every reader understands alike */
export function readSettings(path: string): SettingsFile {
  if (!existsSync(path)) return { path, text: null, settings: {} };
  let text: string;
  try {
    // People keep their settings elsewhere and link to them: the link stays.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(readFileSync(path));
  } catch (error) {
    throw new UsageError([`${path} cannot be read: ${messageOf(error)}`]);
  }
  const place: Path = [];
  try {
    const settings = text.trim() === "" ? {} : parseJsonText(text, place);
    if (isObject(settings)) return { path: realpathSync(path), text, settings };
  } catch (error) {
    const fault = undecodableFault(error, place);
    if (!(fault instanceof Fault)) throw error;
    throw new UsageError([`${path} is not JSON that can be changed safely: ${fault.message} Correct it first.`]);
  }
  throw new UsageError([`${path} holds no JSON object: correct it first`]);
}

/** The text of changed settings, indented as the file is; null if nothing is left, so that there should be no file. */
export function textOf({ text }: SettingsFile, changed: JsonObject): string | null {
  if (Object.keys(changed).length === 0) return null;
  const indent = /^\{\r?\n([ \t]+)"/.exec(text ?? "")?.[1] ?? 2;
  const end = text === null || text.endsWith("\n") ? "\n" : "";
  return `${JSON.stringify(changed, null, indent)}${end}`;
}

/** Replaces the file, or removes it: after a crash it is the old one or the new one, whole. Keeps its mode. */
export async function writeSettings({ path, text }: SettingsFile, changed: string | null): Promise<void> {
  const dir = dirname(path);
  if (changed === null) {
    rmSync(path, { force: true });
    return await syncDirectory(dir);
  }
  const mode = text === null ? 0o600 : statSync(path).mode & 0o777;
  await makeDirectory(dir);
  const unfinished = join(dir, `.${basename(path)}.${process.pid}.new`);
  try {
    await writeDurably(unfinished, changed, mode);
    // Whatever the umask says.
    await chmod(unfinished, mode);
    await rename(unfinished, path);
  } finally {
    await rm(unfinished, { force: true });
  }
  await syncDirectory(dir);
}

const CONTEXT = 3;

/** What changes, line by line: one block between the lines that stay. Empty if nothing does. */
export function diffOf(before: string | null, after: string | null): string {
  const [old, now] = [linesOf(before), linesOf(after)];
  if (before === after) return "";
  const shortest = Math.min(old.length, now.length);
  let top = 0;
  while (top < shortest && old[top] === now[top]) top += 1;
  let bottom = 0;
  while (bottom < shortest - top && old.at(-1 - bottom) === now.at(-1 - bottom)) bottom += 1;
  const part = (lines: readonly string[], from: number, to: number, mark: string): string[] =>
    lines.slice(Math.max(0, from), to).map((line) => `${mark}${line}`);
  return [
    ...part(old, top - CONTEXT, top, " "),
    ...part(old, top, old.length - bottom, "-"),
    ...part(now, top, now.length - bottom, "+"),
    ...part(now, now.length - bottom, now.length - bottom + CONTEXT, " "),
  ].join("\n");
}

function linesOf(text: string | null): readonly string[] {
  return text === null || text === "" ? [] : text.replace(/\n$/, "").split("\n");
}
