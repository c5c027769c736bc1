import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { UsageError } from "../../core/fault.ts";
import type { JsonObject } from "../../core/json.ts";
import { PACKAGE_ROOT } from "../../package-root.ts";
import type { Io } from "../io.ts";
import { outJson, printableLines } from "../output.ts";
import type { HookFlags } from "./answer.ts";
import type { Host } from "./host.ts";
import type { HostSettings } from "./settings.ts";
import { diffOf, readSettings, textOf, writeSettings } from "./settings-file.ts";

export interface ScopeFlags {
  readonly scope: string;
  readonly json?: true;
  readonly yes?: true;
}

/** What a host's time-out allows beyond ours: a machine that is busy starts processes slowly. */
const SPARE_MS = 15_000;

/** Adds our hook to the host's settings, or shows what would change. */
export async function installHook(
  io: Io,
  host: Host,
  flags: ScopeFlags & HookFlags & { command?: string },
): Promise<void> {
  if (flags.grantPermission && !host.grants)
    throw new UsageError([`a hook of ${host.title} cannot grant permissions: leave out --grant-permission`]);
  const command = commandLine(io, host, flags);
  const timeoutMs = flags.timeout + flags.reviewTimeout + SPARE_MS;
  await change(io, host, flags, (settings, of) => {
    const problem = of.problem(settings);
    if (problem !== null) throw new UsageError([problem]);
    return of.add(settings, command, timeoutMs);
  });
}

export function uninstallHook(io: Io, host: Host, flags: ScopeFlags): Promise<void> {
  return change(io, host, flags, (settings, of) => of.remove(settings));
}

async function change(
  io: Io,
  host: Host,
  { scope, json, yes }: ScopeFlags,
  make: (settings: JsonObject, of: HostSettings) => JsonObject,
): Promise<void> {
  const file = readSettings(settingsPath(io, host, scope));
  const changed = make(file.settings, host.settings);
  const isSame = JSON.stringify(changed) === JSON.stringify(file.settings);
  const text = isSame ? file.text : textOf(file, changed);
  const diff = diffOf(file.text, text);
  const writes = yes === true && !isSame;
  if (!json) {
    const { path } = file;
    io.out(printableLines(isSame ? `${path} stays as it is.\n` : `${path}\n${diff}\n`));
    if (!isSame && !writes) io.err("Nothing is written. To write this: --yes\n");
  }
  if (writes) await writeSettings(file, text);
  if (json) outJson(io, { path: file.path, diff, changed: !isSame, written: writes });
}

/** @throws UsageError for an unknown scope */
export function settingsPath(io: Io, { name, settings }: Host, scope: string): string {
  const place = Object.hasOwn(settings.files, scope) ? settings.files[scope] : undefined;
  const scopes = Object.keys(settings.files).join(", ");
  if (place === undefined)
    throw new UsageError([`${name} has no scope ${JSON.stringify(scope)}: write one of ${scopes}`]);
  return place(homeOf(io), io.cwd, io.env);
}

function homeOf({ env }: Io): string {
  return env["HOME"] || homedir();
}

/**
 * What the host's shell runs. What stands behind `||` blocks where the command is missing, is killed or runs out of memory: it cannot end with its own status
 * then.
 */
function commandLine(
  io: Io,
  host: Host,
  flags: HookFlags & { readonly command?: string; readonly scope: string },
): string {
  // Settings that others share name no path of this machine.
  const ours = flags.scope === "project" ? "datacrawl" : quoted(join(PACKAGE_ROOT, "bin/datacrawl.js"));
  const words = [flags.command ?? ours, "hook", host.name, "--timeout", `${flags.timeout}ms`];
  words.push("--review-timeout", `${flags.reviewTimeout}ms`);
  if (flags.url !== undefined) words.push("--url", quoted(flags.url));
  if (flags.keyFile !== undefined) words.push("--key-file", quoted(resolve(io.cwd, flags.keyFile)));
  if (flags.grantPermission) words.push("--grant-permission");
  return `${words.join(" ")} || ${host.settings.otherwise}`;
}

/** As one word of a shell. */
function quoted(word: string): string {
  return /^[\w./:@=+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
