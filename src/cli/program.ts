import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, CommanderError, Help } from "commander";
import { messageOf, UsageError } from "../core/fault.ts";
import { PACKAGE_ROOT } from "../package-root.ts";
import { adminOptions, arrange, asksService, calledName } from "./admin-options.ts";
import type { CommandEntry, CommandGroup } from "./command-entry.ts";
import { addExamples, examplesOf } from "./examples.ts";
import { type AdminFlags, ExitCode, type Io, type ProcessIo } from "./io.ts";
import { printableLines } from "./output.ts";

const { version: VERSION } = JSON.parse(readFileSync(join(PACKAGE_ROOT, "package.json"), "utf8")) as {
  version: string;
};

const STATUSES = "Exit status: 0 done or allow, 1 failed, 2 deny, 3 needs_review, 64 wrong usage.";

/** Runs `datacrawl` with `args` (without node and script). Never throws: what went wrong is on stderr and in the status. */
export async function run(args: readonly string[], io: ProcessIo, groups: readonly CommandGroup[]): Promise<void> {
  try {
    const line = helpAsFlag(args);
    const program = await openProgram([calledName(line)], io, groups);
    await program.parseAsync(arrange(program, line), { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) {
      const isHelp = error.exitCode === 0;
      // Help is no allow.
      io.exit(isHelp && blocksUnlessAllowed(args) ? ExitCode.deny : isHelp ? ExitCode.ok : ExitCode.usage);
    } else {
      const problems = error instanceof UsageError ? error.problems : [messageOf(error)];
      // They may quote what a caller sent.
      for (const problem of problems) io.err(`datacrawl: ${printableLines(problem)}\n`);
      io.exit(ExitCode.failed);
    }
  }
}

/** Words behind `hook` that name no host. */
const NO_HOSTS: readonly (string | undefined)[] = ["install", "uninstall", "test", "--help", "-h"];

/** Whether a host runs this command before a tool, so that nothing but an allow may end it otherwise than with 2. As in bin/datacrawl.js. */
export function blocksUnlessAllowed(args: readonly string[]): boolean {
  return args.includes("--exit-2") || (args[0] === "hook" && !NO_HOSTS.includes(args[1]));
}

/** The program, in which the commands of these names are whole. The others have a name and a description, for `--help`. */
export async function openProgram(
  loaded: readonly (string | undefined)[],
  processIo: ProcessIo,
  groups: readonly CommandGroup[],
): Promise<Command> {
  const program = new Command("datacrawl").version(VERSION).helpCommand(false);
  program.description(["Fail-closed authorization for AI agents.", "", ...examplesOf("datacrawl")].join("\n"));
  program.configureHelp({ boxWrap, subcommandTerm: (command) => command.name() });
  program.addHelpText("after", `\n${STATUSES}\ndatacrawl COMMAND --help has more, with examples.`);
  let flags: AdminFlags = { timeout: 0 };
  program.hook("preAction", (_, action) => {
    flags = action.opts<AdminFlags>();
  });
  const io: Io = { ...processIo, adminFlags: () => flags };
  for (const { heading, commands } of groups)
    for (const entry of commands)
      program.addCommand((await openCommand(entry, loaded.includes(entry.name), io)).helpGroup(heading));
  prepare(program, io, program.name());
  return program;
}

async function openCommand(entry: CommandEntry, whole: boolean, io: Io): Promise<Command> {
  const command = whole ? await entry.load(io) : new Command(entry.name);
  return command.description(entry.description);
}

/** Commander exits the process and writes to its streams by default; here both go through `io`, for all subcommands. */
function prepare(command: Command, io: Io, path: string): void {
  const isGroup = command.commands.length > 0;
  if (!isGroup && asksService(command)) for (const option of adminOptions(command)) command.addOption(option);
  if (command.parent !== null) addExamples(command, path);
  command
    .exitOverride()
    .showHelpAfterError(`(${path} --help shows ${isGroup ? "the commands" : "how it is used"})`)
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(printableLines(text)) });
  for (const child of command.commands) prepare(child, io, `${path} ${child.name()}`);
}

/** Lines that are to be typed stay whole. */
function boxWrap(this: Help, text: string, width: number): string {
  return text.includes("\n  datacrawl ") ? text : Help.prototype.boxWrap.call(this, text, width);
}

/** `help audit verify` as `audit verify --help`. */
function helpAsFlag(args: readonly string[]): readonly string[] {
  return calledName(args) === "help" ? [...args.filter((word) => word !== "help"), "--help"] : args;
}
