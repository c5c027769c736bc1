import { type Command, Option } from "commander";
import { parseDuration } from "./parse.ts";

const HEADING = "Options of every command that asks the service:";

/** How long each answer of the service may take, unless `--timeout` or {@link answersWithin} says otherwise. */
const DEFAULT_TIMEOUT = "30s";

const TIMEOUTS = new WeakMap<Command, string>();

/** Gives a command another default for `--timeout`, such as "10m". */
export function answersWithin(duration: string, command: Command): Command {
  TIMEOUTS.set(command, duration);
  return command;
}

/** What `command` takes because it calls AdminService. */
export function adminOptions(command?: Command): Option[] {
  const timeout = (command && TIMEOUTS.get(command)) ?? DEFAULT_TIMEOUT;
  return [
    new Option("--admin-url <url>", "the service's admin port; DATACRAWL_ADMIN_URL; without it the socket"),
    new Option("--as <name>", "sign in as this operator, and out afterwards"),
    new Option("--password-stdin", "read the password from standard input, not from the terminal"),
    new Option("--totp <code>", "the one-time code, where the account needs one"),
    new Option("--timeout <duration>", "how long each answer may take, such as 500ms, 10s, 2m")
      .argParser((text) => parseDuration(text))
      .default(parseDuration(timeout), timeout),
  ].map((option) => option.helpGroup(HEADING));
}

const TAKES_VALUE: ReadonlyMap<string, boolean> = new Map(
  adminOptions().map((option) => [option.long ?? "", option.required]),
);

/** How many of `args` from `at` on are one of the {@link adminOptions} with its value; 0 if there is none. */
function flagLength(args: readonly string[], at: number): number {
  const word = args[at] ?? "";
  const takesValue = TAKES_VALUE.get(word.split("=", 1)[0] ?? "");
  if (takesValue === undefined) return 0;
  return takesValue && !word.includes("=") ? 2 : 1;
}

/** The first word that is not an admin flag or its value: the command's name. Undefined if there is none. */
export function calledName(args: readonly string[]): string | undefined {
  let at = 0;
  for (let length = flagLength(args, at); length > 0; length = flagLength(args, at)) at += length;
  return args[at];
}

/**
 * The same line with the flags for the service behind the words that name the command, where commander reads them: people write
 * them anywhere. Where the words name no command, only what is left of the line, so that the error is about the command.
 */
export function arrange(program: Command, args: readonly string[]): string[] {
  const words: string[] = [];
  const flags: string[] = [];
  let command = program;
  let at = 0;
  while (command.commands.length > 0) {
    const length = flagLength(args, at);
    const child = command.commands.find((one) => one.name() === args[at]);
    if (length > 0) flags.push(...args.slice(at, at + length));
    else if (child !== undefined) {
      words.push(child.name());
      command = child;
    } else return [...words, ...args.slice(at)];
    at += Math.max(1, length);
  }
  return [...words, ...flags, ...args.slice(at)];
}

const LOCAL = new WeakSet<Command>();

/** Marks a command, with those below it, as one that never calls AdminService: it has no {@link adminOptions}. */
export function withoutService(command: Command): Command {
  LOCAL.add(command);
  return command;
}

export function asksService(command: Command): boolean {
  for (let one: Command | null = command; one !== null; one = one.parent) if (LOCAL.has(one)) return false;
  return true;
}
