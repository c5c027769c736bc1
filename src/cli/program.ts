import { existsSync, readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { UsageError } from "../fault.ts";
import { agentCommand } from "./agent.ts";
import { auditCommand } from "./audit.ts";
import { authorizeCommand } from "./authorize.ts";
import { bypassCommand } from "./bypass.ts";
import { circuitCommand } from "./circuit.ts";
import { ExitCode, type Io } from "./io.ts";
import { keysCommand } from "./keys.ts";
import { migrateCommand } from "./migrate.ts";
import { policyCommand } from "./policy.ts";
import { serveCommand } from "./serve.ts";

/** Of package.json, found from src/ as well as from dist/src/. */
const VERSION = ["../../package.json", "../../../package.json"]
  .map((path) => new URL(path, import.meta.url))
  .filter((url) => existsSync(url))
  .map((url) => (JSON.parse(readFileSync(url, "utf8")) as { version: string }).version)[0] as string;

/** Runs `datacrawl` with `args` (without node and script). Never throws: what went wrong is on stderr and in the status. */
export async function run(args: readonly string[], io: Io): Promise<void> {
  const program = new Command("datacrawl")
    .version(VERSION)
    .description("Fail-closed authorization for AI agents.")
    .addCommand(serveCommand(io))
    .addCommand(agentCommand(io))
    .addCommand(authorizeCommand(io))
    .addCommand(policyCommand(io))
    .addCommand(auditCommand(io))
    .addCommand(bypassCommand(io))
    .addCommand(circuitCommand(io))
    .addCommand(keysCommand(io))
    .addCommand(migrateCommand(io));
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
