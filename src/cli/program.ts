import { existsSync, readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { UsageError, messageOf } from "../fault.ts";
import { addExample } from "./examples.ts";
import { type AdminFlags, ExitCode, type Io, type ProcessIo } from "./io.ts";
import { printableLines } from "./output.ts";

/** Of package.json, found from src/ as well as from dist/src/. */
const VERSION = ["../../package.json", "../../../package.json"]
  .map((path) => new URL(path, import.meta.url))
  .filter((url) => existsSync(url))
  .map((url) => (JSON.parse(readFileSync(url, "utf8")) as { version: string }).version)[0] as string;

/** Each command in a file of its own, loaded when it is called: most need a small part of the whole. */
const COMMANDS: Readonly<Record<string, (io: Io) => Promise<Command>>> = {
  serve: async (io) => (await import("./serve.ts")).serveCommand(io),
  sidecar: async (io) => (await import("./sidecar.ts")).sidecarCommand(io),
  operator: async (io) => (await import("./operator.ts")).operatorCommand(io),
  agent: async (io) => (await import("./agent.ts")).agentCommand(io),
  authorize: async (io) => (await import("./authorize.ts")).authorizeCommand(io),
  policy: async (io) => (await import("./policy.ts")).policyCommand(io),
  decision: async (io) => (await import("./decision.ts")).decisionCommand(io),
  tail: async (io) => (await import("./tail.ts")).tailCommand(io),
  overview: async (io) => (await import("./overview.ts")).overviewCommand(io),
  audit: async (io) => (await import("./audit.ts")).auditCommand(io),
  bypass: async (io) => (await import("./bypass.ts")).bypassCommand(io),
  circuit: async (io) => (await import("./circuit.ts")).circuitCommand(io),
  review: async (io) => (await import("./review.ts")).reviewCommand(io),
  conformance: async (io) => (await import("./conformance.ts")).conformanceCommand(io),
  webhook: async (io) => (await import("./webhook.ts")).webhookCommand(io),
  keys: async (io) => (await import("./keys.ts")).keysCommand(io),
  migrate: async (io) => (await import("./migrate.ts")).migrateCommand(io),
};

/** The others call AdminService, over the socket or the network. */
const LOCAL_COMMANDS: ReadonlySet<string> = new Set([
  "serve",
  "sidecar",
  "authorize",
  "conformance",
  "keys",
  "migrate",
]);

/** Runs `datacrawl` with `args` (without node and script). Never throws: what went wrong is on stderr and in the status. */
export async function run(args: readonly string[], processIo: ProcessIo): Promise<void> {
  const { program, io } = await openProgram(args[0] ?? "", processIo);
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) {
      io.exit(error.exitCode === 0 ? ExitCode.ok : ExitCode.usage);
    } else {
      const problems = error instanceof UsageError ? error.problems : [messageOf(error)];
      // They may quote what a caller sent.
      for (const problem of problems) io.err(`datacrawl: ${printableLines(problem)}\n`);
      io.exit(ExitCode.failed);
    }
  }
}

/** The program with the command that is called, or with all of them where none is. */
export async function openProgram(name: string, processIo: ProcessIo): Promise<{ program: Command; io: Io }> {
  const program = new Command("datacrawl").version(VERSION).description("Fail-closed authorization for AI agents.");
  const io: Io = { ...processIo, adminFlags: () => program.opts<AdminFlags>() };
  const called = COMMANDS[name];
  if (called !== undefined && !LOCAL_COMMANDS.has(name)) addAdminOptions(program);
  for (const load of called === undefined ? Object.values(COMMANDS) : [called]) program.addCommand(await load(io));
  prepare(program, io, program.name());
  return { program, io };
}

/** On the program, so that every command below it has them. */
function addAdminOptions(program: Command): void {
  program
    .option("--admin-url <url>", "the service's admin port; DATACRAWL_ADMIN_URL; without it the socket")
    .option("--as <name>", "sign in as this operator, and out afterwards")
    .option("--password-stdin", "read the password from standard input, not from the terminal")
    .option("--totp <code>", "the one-time code, where the account needs one");
}

/** Commander exits the process and writes to its streams by default; here both go through `io`, for all subcommands. */
function prepare(command: Command, io: Io, path: string): void {
  addExample(command, path);
  command.configureHelp({ showGlobalOptions: true });
  command
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(printableLines(text)) });
  for (const child of command.commands) prepare(child, io, `${path} ${child.name()}`);
}
