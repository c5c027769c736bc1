import { basename } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { systemClock } from "../../core/clock.ts";
import { UsageError } from "../../core/fault.ts";
import { RandomPool, uuidV7 } from "../../core/ids.ts";
import { isLoopback } from "../../core/loopback.ts";
import { Gate } from "../../mcp/gate.ts";
import { ListFilter } from "../../mcp/list-filter.ts";
import { Runs } from "../../mcp/runs.ts";
import { serverNameOf, serverNameProblem } from "../../mcp/server-name.ts";
import { withoutService } from "../admin-options.ts";
import { ExitCode, type Io } from "../io.ts";
import { printable } from "../output.ts";
import { collect, parseDuration } from "../parse.ts";
import { shownAddress, untilStopped } from "../process.ts";
import { demoKey } from "./demo-key.ts";
import { hasProof, openOwnGuard } from "./own-guard.ts";

interface Flags {
  readonly name?: string;
  readonly url?: URL;
  readonly listen?: string;
  readonly timeout: number;
  readonly reviewWait: number;
  readonly passMethod?: readonly string[];
  readonly principal?: string;
  readonly session?: string;
  readonly journalDir?: string;
  readonly listFilter?: boolean;
  readonly once: boolean;
}

/** `datacrawl mcp`: between an MCP client and an MCP server. */
export function mcpCommand(io: Io): Command {
  return withoutService(new Command("mcp"))
    .argument("[command...]", "how an MCP server on standard streams is started, after --")
    .option("--name <name>", "the server's name in the names of tools; the command's file name without it", parseName)
    .addOption(
      new Option("--url <url>", "an MCP server over HTTP, instead of a command; needs --name").argParser(parseUrl),
    )
    .option("--listen <host:port>", "where clients of that server reach it: an address of this machine, or unix:/path")
    .addOption(
      new Option("--timeout <duration>", "how long a decision may take").argParser(parseTimeout).default(5000, "5s"),
    )
    .addOption(
      new Option("--review-wait <duration>", "how long a call waits for people before it is denied; 0 for not at all")
        .argParser(parseWait)
        .default(45_000, "45s"),
    )
    .option("--pass-method <method>", "let this method pass without a decision; may be repeated", collect)
    .option("--list-filter", "hide tools that the policy denies in any case from the server's lists of tools")
    .option("--no-once", "forward allowed calls without recording their start and outcome as executions")
    .option("--principal <name>", "the person or service on whose behalf the agent acts")
    .option("--session <id>", "the run or conversation that the calls belong to; with a command one for each start")
    .option("--journal-dir <path>", "where the journal and the grant are kept; without it there is no bypass")
    .addHelpText(
      "after",
      `
The credential and the service are those of "datacrawl authorize --help".

The server's tool "send" is asked about as <name>.send, with its arguments as the payload. An allowed call is started as an execution before
it is forwarded, and its outcome is reported. The server does not get the variables that begin with DATACRAWL_.`,
    )
    .action(async (words: string[], flags: Flags) => {
      const [file, ...args] = words;
      if (flags.url !== undefined && file === undefined) await overHttp(io, flags.url, flags);
      else if (file !== undefined && flags.url === undefined) await overStreams(io, [file, ...args], flags);
      else throw new UsageError(["write either -- and the command that starts the MCP server, or --url and --listen"]);
    });
}

async function overStreams(io: Io, command: readonly [string, ...string[]], flags: Flags): Promise<void> {
  if (flags.listen !== undefined)
    throw new UsageError(["--listen needs --url: a command is reached by standard streams"]);
  const program = basename(command[0]);
  const server = flags.name ?? serverNameOf(program);
  if (server === null) throw new UsageError([`--name is needed: "${program}" does not say which server it starts`]);
  const { gate, listFilter, close } = await openGate(
    io,
    flags,
    server,
    `mcp-${uuidV7(systemClock.now(), new RandomPool())}`,
  );
  const { runStdioProxy } = await import("../../mcp/stdio/proxy.ts");
  const { ServerProcess } = await import("../../mcp/stdio/server-process.ts");
  // A client that stops us waits for the server as well.
  void untilStopped().then(() => process.stdin.destroy());
  const ended = await runStdioProxy({
    gate,
    server: new ServerProcess({ command, cwd: io.cwd, env: io.env }),
    input: process.stdin,
    output: process.stdout,
    passMethods: new Set(flags.passMethod),
    listFilter,
    warn: warnWith(io),
  });
  await close();
  if (ended === null) return io.exit(ExitCode.ok);
  warnWith(io)(`the MCP server ${ended.how}`);
  io.exit(ended.isClean ? ExitCode.ok : ExitCode.failed);
}

/** How long requests that are under way may take to finish when the proxy stops. */
const DRAIN_MS = 5_000;

async function overHttp(io: Io, url: URL, flags: Flags): Promise<void> {
  if (flags.name === undefined) throw new UsageError(["--url needs --name: the server's name in the names of tools"]);
  const { loopbackAddress } = await import("../../sidecar/config.ts");
  const { HOSTS_WANTED, parseHosts } = await import("../../config.ts");
  const address = loopbackAddress(flags.listen ?? "", "--listen");
  if (typeof address === "string") throw new UsageError([`--listen ${address}`]);
  const allowedHosts = parseHosts(io.env["DATACRAWL_ALLOWED_HOSTS"]);
  if (allowedHosts === null) throw new UsageError([`DATACRAWL_ALLOWED_HOSTS: ${HOSTS_WANTED}`]);
  const stopped = untilStopped();
  const { gate, listFilter, close } = await openGate(io, flags, flags.name, undefined);
  const { openHttpProxy } = await import("../../mcp/http/proxy.ts");
  const passMethods = new Set(flags.passMethod);
  const listener = await openHttpProxy({ gate, url, address, allowedHosts, passMethods, listFilter });
  io.out(
    `The MCP server at ${url.origin}${url.pathname} is reached at ${shownAddress(listener.address)}${url.pathname}.\n`,
  );
  await stopped;
  await listener.close({ drainMs: DRAIN_MS });
  await close();
}

interface OpenGate {
  readonly gate: Gate;
  readonly listFilter: ListFilter | null;
  /** Waits for reports that are under way. */
  readonly close: () => Promise<void>;
}

async function openGate(io: Io, flags: Flags, server: string, session: string | undefined): Promise<OpenGate> {
  const apiKey = hasProof(io) ? undefined : await demoKey(io);
  const guard = openOwnGuard(io, { journalDir: flags.journalDir, apiKey }, true);
  const problem = await guard.opened;
  if (problem !== null) warnWith(io)(`${problem}; there will be no bypass`);
  const { timeout: timeoutMs, reviewWait: reviewWaitMs, principal, once } = flags;
  const sessionId = flags.session ?? session;
  const parts = { guard, clock: systemClock, random: new RandomPool() };
  const runs = new Runs({ ...parts, timeoutMs, warn: warnWith(io) });
  const gate = new Gate({ ...parts, runs, once, server, timeoutMs, reviewWaitMs, principal, sessionId });
  const listFilter = flags.listFilter === true ? new ListFilter({ ...parts, server, timeoutMs }) : null;
  const close = async (): Promise<void> => {
    await runs.settled();
    await guard.close();
  };
  return { gate, listFilter, close };
}

function warnWith(io: Io): (problem: string) => void {
  return (problem) => io.err(`datacrawl: ${printable(problem)}\n`);
}

function parseName(text: string): string {
  const problem = serverNameProblem(text);
  if (problem === null) return text;
  throw new InvalidArgumentError(`It ${problem}.`);
}

function parseUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "")
    throw new InvalidArgumentError(
      "Write an http:// or https:// URL without a password, such as https://mcp.example.com/mcp.",
    );
  if (url.protocol === "http:" && !isLoopback(url.hostname.replace(/^\[(.*)\]$/, "$1")))
    throw new InvalidArgumentError("It must be https://, since it is not this machine.");
  return url;
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
