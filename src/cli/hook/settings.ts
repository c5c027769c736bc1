import type { JsonObject, JsonValue } from "../../core/json.ts";
import { UsageError } from "../../core/fault.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** Where a host keeps the commands that it runs before its tools. */
export interface HostSettings {
  /** By the name of the scope, whose settings they are. */
  readonly files: Readonly<Record<string, (home: string, cwd: string, env: Env) => string>>;
  /** What the shell does if the command does not end with 0: it may be missing or killed. */
  readonly otherwise: string;
  /** The settings with `command` run before every tool, in place of the one that ours was. */
  add(settings: JsonObject, command: string, timeoutMs: number): JsonObject;
  /** The settings without our command. */
  remove(settings: JsonObject): JsonObject;
  /** Our commands in them. */
  commands(settings: JsonObject): readonly string[];
  /** Why the host would not run the command although it is there, as a sentence; null if it would. */
  problem(settings: JsonObject): string | null;
}

/**
 * For hosts that take a blocking status for no answer unless something is printed: a command that is killed prints nothing, so the shell
 * speaks for it.
 */
export const SPOKEN_BLOCK = "{ echo 'DataCrawl: the hook did not end by itself' >&2; exit 2; }";

/** What an entry runs if it is ours, by the words that `install` writes, and that people write by hand; else null. */
function ourCommand(entry: JsonValue, member: "command" | "bash", host: string): string | null {
  const command = isObject(entry) ? entry[member] : undefined;
  const isOurs = typeof command === "string" && command.includes("datacrawl") && command.includes(` hook ${host}`);
  return isOurs ? command : null;
}

/** @throws UsageError if the entries of `event` are no list */
function entriesAt(settings: JsonObject, event: string, host: string): JsonValue[] {
  const hooks = settings["hooks"] ?? {};
  const entries = isObject(hooks) ? (hooks[event] ?? []) : null;
  if (!Array.isArray(entries)) throw new UsageError([`"hooks" is not what ${host} reads: correct it first`]);
  return entries;
}

/** The settings with other entries of `event`; without the event if there are none. */
function withEntriesAt(settings: JsonObject, event: string, entries: JsonValue[]): JsonObject {
  const { [event]: _, ...others } = (settings["hooks"] ?? {}) as JsonObject;
  const { hooks: __, ...rest } = settings;
  // In their places, so that nothing else of the file moves.
  const hooks = entries.length > 0 ? { ...(settings["hooks"] as JsonObject | undefined), [event]: entries } : others;
  return Object.keys(hooks).length > 0 ? { ...settings, hooks } : rest;
}

/**
 * Settings of hosts that list commands by event and by group: `{"hooks": {EVENT: [{"matcher", "hooks": [ENTRY]}]}}`.
 *
 * @param entryOf the entry of a command
 */
export function groupedHooks(
  host: string,
  event: string,
  entryOf: (command: string, timeoutMs: number) => JsonObject,
): Pick<HostSettings, "add" | "remove" | "commands"> {
  const groupsOf = (settings: JsonObject): JsonValue[] => entriesAt(settings, event, host);
  const entriesOf = (group: JsonValue): JsonValue[] => {
    const entries = isObject(group) ? group["hooks"] : undefined;
    return Array.isArray(entries) ? entries : [];
  };
  const isOurs = (entry: JsonValue): boolean => ourCommand(entry, "command", host) !== null;
  const remove = (settings: JsonObject): JsonObject => {
    const groups = groupsOf(settings);
    if (!groups.some((group) => entriesOf(group).some(isOurs))) return settings;
    const left = groups.flatMap((group) => {
      const entries = entriesOf(group);
      const kept = entries.filter((entry) => !isOurs(entry));
      if (kept.length === entries.length) return [group];
      return kept.length === 0 ? [] : [{ ...(group as JsonObject), hooks: kept }];
    });
    return withEntriesAt(settings, event, left);
  };
  return {
    remove,
    add: (settings, command, timeoutMs) => {
      const others = remove(settings);
      const ours = { matcher: "*", hooks: [entryOf(command, timeoutMs)] };
      return withEntriesAt(others, event, [...groupsOf(others), ours]);
    },
    commands: (settings) =>
      groupsOf(settings)
        .flatMap(entriesOf)
        .map((entry) => ourCommand(entry, "command", host))
        .filter((command) => command !== null),
  };
}

/**
 * Files of hooks that list commands by event, in version 1 of Copilot CLI's format: `{"version": 1, "hooks": {EVENT: [ENTRY]}}`.
 *
 * @param entryOf the entry of a command
 */
export function flatHooks(
  host: string,
  event: string,
  entryOf: (command: string, timeoutMs: number) => JsonObject,
): Pick<HostSettings, "add" | "remove" | "commands"> {
  const isOurs = (entry: JsonValue): boolean => ourCommand(entry, "bash", host) !== null;
  const remove = (settings: JsonObject): JsonObject => {
    const entries = entriesAt(settings, event, host);
    if (!entries.some(isOurs)) return settings;
    const left = withEntriesAt(
      settings,
      event,
      entries.filter((entry) => !isOurs(entry)),
    );
    // What `add` begins with: nothing then needs the file.
    return Object.keys(left).join() === "version" ? {} : left;
  };
  return {
    remove,
    add: (settings, command, timeoutMs) => {
      const others = { version: 1, ...remove(settings) };
      // The last one judges what the others have made of the arguments.
      return withEntriesAt(others, event, [...entriesAt(others, event, host), entryOf(command, timeoutMs)]);
    },
    commands: (settings) =>
      entriesAt(settings, event, host)
        .map((entry) => ourCommand(entry, "bash", host))
        .filter((command) => command !== null),
  };
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
