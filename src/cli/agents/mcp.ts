import { basename } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { systemClock } from "../../core/clock.ts";
import { UsageError } from "../../core/fault.ts";
import { RandomPool, uuidV7 } from "../../core/ids.ts";
import { Gate } from "../../mcp/gate.ts";
import { runStdioProxy } from "../../mcp/stdio/proxy.ts";
import { ServerProcess } from "../../mcp/stdio/server-process.ts";
import { serverNameOf, serverNameProblem } from "../../mcp/server-name.ts";
import { withoutService } from "../admin-options.ts";
import { ExitCode, type Io } from "../io.ts";
import { printable } from "../output.ts";
import { collect, parseDuration } from "../parse.ts";
import { untilStopped } from "../process.ts";
import { demoKey } from "./demo-key.ts";
import { hasProof, openOwnGuard } from "./own-guard.ts";

interface Flags {
  readonly name?: string;
  readonly timeout: number;
  readonly reviewWait: number;
  readonly passMethod?: readonly string[];
  readonly principal?: string;
  readonly session?: string;
  readonly journalDir?: string;
}

/** `datacrawl mcp`: between an MCP client and an MCP server. */
export function mcpCommand(io: Io): Command {
  return withoutService(new Command("mcp"))
    .argument("[command...]", "how the MCP server is started, after --")
    .option("--name <name>", "the server's name in the names of tools; the command's file name without it", parseName)
    .addOption(
      new Option("--timeout <duration>", "how long a decision may take").argParser(parseTimeout).default(5000, "5s"),
    )
    .addOption(
      new Option("--review-wait <duration>", "how long a call waits for people before it is denied; 0 for not at all")
        .argParser(parseWait)
        .default(45_000, "45s"),
    )
    .option("--pass-method <method>", "let this method pass without a decision; may be repeated", collect)
    .option("--principal <name>", "the person or service on whose behalf the agent acts")
    .option("--session <id>", "the run or conversation that the calls belong to; one for each start without it")
    .option("--journal-dir <path>", "where the journal and the grant are kept; without it there is no bypass")
    .addHelpText(
      "after",
      `
The credential and the service are those of "datacrawl authorize --help".

The server's tool "send" is asked about as <name>.send, with its arguments as the payload. The server does not get the variables that
begin with DATACRAWL_.`,
    )
    .action((command: string[], flags: Flags) => mcp(io, command, flags));
}

async function mcp(io: Io, command: readonly string[], flags: Flags): Promise<void> {
  const [file, ...args] = command;
  if (file === undefined) throw new UsageError(["no server: write -- and the command that starts it"]);
  const server = flags.name ?? serverNameOf(basename(file));
  if (server === null)
    throw new UsageError([`--name is needed: "${basename(file)}" does not say which server it starts`]);
  const random = new RandomPool();
  const apiKey = hasProof(io) ? undefined : await demoKey(io);
  const guard = openOwnGuard(io, { journalDir: flags.journalDir, apiKey }, true);
  const gate = new Gate({
    guard,
    server,
    timeoutMs: flags.timeout,
    reviewWaitMs: flags.reviewWait,
    principal: flags.principal,
    sessionId: flags.session ?? `mcp-${uuidV7(systemClock.now(), random)}`,
    clock: systemClock,
    random,
  });
  const warn = (problem: string): void => io.err(`datacrawl: ${printable(problem)}\n`);
  const problem = await guard.opened;
  if (problem !== null) warn(`${problem}; there will be no bypass`);
  const child = new ServerProcess({ command: [file, ...args], cwd: io.cwd, env: io.env });
  // A client that stops us waits for the server as well.
  void untilStopped().then(() => process.stdin.destroy());
  const ended = await runStdioProxy({
    gate,
    server: child,
    input: process.stdin,
    output: process.stdout,
    passMethods: new Set(flags.passMethod),
    warn,
  });
  await guard.close();
  if (ended === null) return io.exit(ExitCode.ok);
  warn(`the MCP server ${ended.how}`);
  io.exit(ended.isClean ? ExitCode.ok : ExitCode.failed);
}

function parseName(text: string): string {
  const problem = serverNameProblem(text);
  if (problem === null) return text;
  throw new InvalidArgumentError(`It ${problem}.`);
}

function parseTimeout(text: string): number {
  const milliseconds = parseDuration(text);
  if (milliseconds <= 600_000) return milliseconds;
  throw new InvalidArgumentError("Write a time of at most 10m.");
}

function parseWait(text: string): number {
  if (text === "0") return 0;
  const milliseconds = parseDuration(text);
  if (milliseconds <= 7 * 86_400_000) return milliseconds;
  throw new InvalidArgumentError("Write a time of at most 7d, or 0.");
}
