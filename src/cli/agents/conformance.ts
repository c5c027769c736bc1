import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, Option } from "commander";
import { z } from "zod";
import { systemClock } from "../../core/clock.ts";
import { type Case, LEVELS, type Method, METHODS, TRANSPORTS, type Transport } from "@datacrawl/conformance/case";
import type { Report } from "@datacrawl/conformance/report";
import type { Directory, HostileServer } from "@datacrawl/conformance/serve";
import { UsageError } from "../../core/fault.ts";
import { withoutService } from "../admin-options.ts";
import { ExitCode, type Io } from "../io.ts";
import { untilStopped } from "../process.ts";
import { formerly } from "../former-flag.ts";
import { outJson, outTable, printable } from "../output.ts";
import { parseDuration } from "../parse.ts";

/** `datacrawl conformance serve|list|run`. The kit is loaded by the command that needs it: no other pays for it. */
export function conformanceCommand(io: Io): Command {
  return withoutService(new Command("conformance"))
    .addCommand(serveCommand(io))
    .addCommand(listCommand(io))
    .addCommand(runCommand(io));
}

function serveCommand(io: Io): Command {
  return new Command("serve")
    .description("Run the hostile server until SIGTERM or SIGINT. It allows everything; it listens only on loopback.")
    .option("--grpc-addr <host:port>", "where gRPC listens", "127.0.0.1:7450")
    .option("--connect-addr <host:port>", "where Connect listens, and GET /endpoints", "127.0.0.1:7451")
    .option("--json", "print every address and the authority of the TLS ones as JSON")
    .action(async ({ grpcAddr, connectAddr, json }: { grpcAddr: string; connectAddr: string; json?: true }) => {
      const { serveConformance } = await import("@datacrawl/conformance/serve");
      const stopped = untilStopped();
      const server = await serveConformance({ grpcAddr, connectAddr, clock: systemClock });
      const { endpoints, authority } = server;
      if (json) outJson(io, { endpoints, authority });
      else {
        const rows = Object.entries(endpoints).map(([name, urls]) => [name, urls.grpc, urls.connect]);
        outTable(io, ["ENDPOINT", "GRPC", "CONNECT"], rows);
      }
      await stopped;
      await server.close();
    });
}

interface Selection {
  readonly method: Method;
  readonly transport?: Transport;
  readonly family?: string[];
  readonly case?: string[];
  readonly level?: string;
}

function listCommand(io: Io): Command {
  return selecting(new Command("list"))
    .description("List the cases: how each is selected, and its right verdict.")
    .option("--json", "print a list of cases as JSON")
    .action(async (flags: Selection & { json?: true }) => {
      const { listed } = await import("@datacrawl/conformance/catalogue");
      const cases = (await select(flags)).map(listed);
      if (flags.json) return outJson(io, cases);
      const rows = cases.map(({ name, level, verdict, says }) => [name, level, verdict, says]);
      outTable(io, ["CASE", "LEVEL", "RIGHT", "WHAT THE SERVER DOES"], rows);
    });
}

interface RunFlags extends Selection {
  readonly client: string;
  readonly url?: string;
  readonly transport: Transport;
  readonly deadline: number;
  readonly slack: number;
  readonly json?: true;
}

function runCommand(io: Io): Command {
  const command = selecting(new Command("run"), "grpc")
    .description("Run the cases against a client. Exit status 1 if any failed.")
    .requiredOption("--client <command>", "the client's adapter: JSON lines on stdin and stdout (docs/conformance.md)")
    .option("--url <url>", "the main Connect address of a running server (default: one of its own)")
    .addOption(duration("--deadline <duration>", "the deadline of each call", "1s"))
    .addOption(duration("--slack <duration>", "how much later than its deadline a call may end", "100ms"))
    .option("--json", "print counts by family and every failure as JSON")
    .action(async (flags: RunFlags) => {
      const report = await runCases(flags, io);
      if (flags.json) outJson(io, { transport: flags.transport, client: flags.client, ...report });
      else tell(io, report);
      if (report.failed > 0) io.exit(ExitCode.failed);
    });
  formerly(command, "--deadline-ms <n>", "--deadline", (value) => `${value}ms`);
  formerly(command, "--slack-ms <n>", "--slack", (value) => `${value}ms`);
  return command;
}

function selecting(command: Command, defaultTransport?: Transport): Command {
  const transport = new Option("--transport <name>", "only cases of this transport").choices(TRANSPORTS);
  return command
    .addOption(defaultTransport === undefined ? transport : transport.default(defaultTransport))
    .addOption(new Option("--level <level>", "only cases of this level").choices(LEVELS))
    .addOption(new Option("--method <name>", "only cases of this method").choices(METHODS).default("Authorize"))
    .option("--family <name...>", "only cases of these families")
    .option("--case <name...>", "only these cases");
}

/** Throws a UsageError if nothing is left. */
async function select({ transport, method, family, case: names, level }: Selection): Promise<Case[]> {
  const { CASES } = await import("@datacrawl/conformance/catalogue");
  const selected = CASES.filter(
    (one) =>
      (transport === undefined || one.transports.includes(transport)) &&
      one.method === method &&
      (family === undefined || family.includes(one.family)) &&
      (names === undefined || names.includes(one.name)) &&
      (level === undefined || one.level === level),
  );
  // Running nothing would pass.
  if (selected.length === 0) throw new UsageError(["no case has this name, method, family, transport and level"]);
  return selected;
}

function duration(flags: string, description: string, fallback: string): Option {
  return new Option(flags, description)
    .argParser((text) => parseDuration(text))
    .default(parseDuration(fallback), fallback);
}

async function runCases(flags: RunFlags, io: Io): Promise<Report> {
  const { startAdapter } = await import("@datacrawl/conformance/adapter");
  const { run } = await import("@datacrawl/conformance/runner");
  const { summarize } = await import("@datacrawl/conformance/report");
  const cases = await select(flags);
  const own = flags.url === undefined ? await ownServer() : null;
  const directory = own ?? (await directoryAt(flags.url ?? ""));
  const dir = await mkdtemp(join(tmpdir(), "datacrawl-conformance-"));
  const caFile = join(dir, "authority.pem");
  await writeFile(caFile, directory.authority);
  const adapter = startAdapter(flags.client, { ...io.env, ...trusting(caFile) }, io.cwd);
  try {
    const { transport, deadline: deadlineMs, slack: slackMs } = flags;
    const runId = randomBytes(4).toString("hex").slice(0, 7);
    const options = { adapter, transport, cases, directory, caFile, runId, deadlineMs, slackMs, clock: systemClock };
    return summarize(await run(options));
  } finally {
    await adapter.close();
    await own?.close();
    await rm(dir, { recursive: true });
  }
}

async function ownServer(): Promise<HostileServer> {
  const { serveConformance } = await import("@datacrawl/conformance/serve");
  return await serveConformance({ grpcAddr: "127.0.0.1:0", connectAddr: "127.0.0.1:0", clock: systemClock });
}

const DIRECTORY = z.object({
  endpoints: z.record(z.string(), z.object({ grpc: z.string(), connect: z.string() })),
  authority: z.string(),
});

async function directoryAt(url: string): Promise<Directory> {
  try {
    const response = await fetch(new URL("/endpoints", url));
    return DIRECTORY.parse(await response.json());
  } catch (error) {
    throw new UsageError([`${url} is not a conformance server's Connect address: ${String(error)}`]);
  }
}

/** Makes Node, OpenSSL's users (Go, Python, Ruby, …) and gRPC's C core trust the kit's authority, for clients that have no option. */
function trusting(caFile: string): Record<string, string> {
  return { NODE_EXTRA_CA_CERTS: caFile, SSL_CERT_FILE: caFile, GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: caFile };
}

function tell(io: Io, report: Report): void {
  for (const failure of report.failures)
    io.out(`FAIL  ${failure.case}  (${failure.level})  ${printable(failure.problem ?? "")}\n`);
  const rows = report.families.map(({ family, passed, failed }) => [family, String(passed), String(failed)]);
  outTable(io, ["FAMILY", "PASSED", "FAILED"], [...rows, ["all", String(report.passed), String(report.failed)]]);
}
