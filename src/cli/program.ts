import { Command, CommanderError } from "commander";
import { UsageError } from "../fault.ts";
import { ExitCode, type Io } from "./io.ts";
import { policyCommand } from "./policy.ts";

/** Runs `datacrawl` with `args` (without node and script). Never throws: what went wrong is on stderr and in the status. */
export async function run(args: readonly string[], io: Io): Promise<void> {
  const program = new Command("datacrawl")
    .description("Fail-closed authorization for AI agents.")
    .addCommand(policyCommand(io));
  prepare(program, io);
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) {
      io.exit(error.exitCode === 0 ? ExitCode.ok : ExitCode.usage);
    } else {
      const problems = error instanceof UsageError ? error.problems : [error instanceof Error ? error.message : String(error)];
      for (const problem of problems) io.err(`datacrawl: ${problem}\n`);
      io.exit(ExitCode.failed);
    }
  }
}

/** Commander exits the process and writes to its streams by default; here both go through `io`, for all subcommands. */
function prepare(command: Command, io: Io): void {
  command.exitOverride().configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(text) });
  for (const child of command.commands) prepare(child, io);
}
