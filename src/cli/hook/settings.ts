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

/** Ours, by what it runs: the words that `install` writes, and what people write by hand. */
function isOurs(entry: JsonValue, host: string): entry is JsonObject & { readonly command: string } {
  const command = isObject(entry) ? entry["command"] : undefined;
  return typeof command === "string" && command.includes("datacrawl") && command.includes(` hook ${host}`);
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
  const groupsOf = (settings: JsonObject): JsonValue[] => {
    const hooks = settings["hooks"] ?? {};
    const groups = isObject(hooks) ? (hooks[event] ?? []) : null;
    if (!Array.isArray(groups)) throw new UsageError([`"hooks" is not what ${host} reads: correct it first`]);
    return groups;
  };
  const entriesOf = (group: JsonValue): JsonValue[] => {
    const entries = isObject(group) ? group["hooks"] : undefined;
    return Array.isArray(entries) ? entries : [];
  };
  const withGroups = (settings: JsonObject, groups: JsonValue[]): JsonObject => {
    const { [event]: _, ...others } = (settings["hooks"] ?? {}) as JsonObject;
    const { hooks: __, ...rest } = settings;
    // In their places, so that nothing else of the file moves.
    const hooks = groups.length > 0 ? { ...(settings["hooks"] as JsonObject | undefined), [event]: groups } : others;
    return Object.keys(hooks).length > 0 ? { ...settings, hooks } : rest;
  };
  const remove = (settings: JsonObject): JsonObject => {
    const groups = groupsOf(settings);
    if (!groups.some((group) => entriesOf(group).some((entry) => isOurs(entry, host)))) return settings;
    const left = groups.flatMap((group) => {
      const entries = entriesOf(group);
      const kept = entries.filter((entry) => !isOurs(entry, host));
      if (kept.length === entries.length) return [group];
      return kept.length === 0 ? [] : [{ ...(group as JsonObject), hooks: kept }];
    });
    return withGroups(settings, left);
  };
  return {
    remove,
    add: (settings, command, timeoutMs) => {
      const others = remove(settings);
      const ours = { matcher: "*", hooks: [entryOf(command, timeoutMs)] };
      return withGroups(others, [...groupsOf(others), ours]);
    },
    commands: (settings) =>
      groupsOf(settings)
        .flatMap(entriesOf)
        .filter((entry) => isOurs(entry, host))
        .map(({ command }) => command),
  };
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
