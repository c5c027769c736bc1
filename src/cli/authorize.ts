import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command } from "commander";
import { DataCrawl, type Decision, type Verdict } from "../client/index.ts";
import { loadDataConfig } from "../config.ts";
import { messageOf, UsageError } from "../fault.ts";
import { withoutService } from "./admin-options.ts";
import { ExitCode, type Io } from "./io.ts";
import { outJson, printable } from "./output.ts";
import { parsePayload } from "./payload.ts";

interface Flags {
  readonly tool: string;
  readonly payload: Record<string, unknown>;
  readonly key?: string;
  readonly json?: true;
}

const EXIT: Readonly<Record<Decision, ExitCode>> = {
  allow: ExitCode.ok,
  deny: ExitCode.deny,
  needs_review: ExitCode.needsReview,
};

/** `datacrawl authorize`: one question, asked as a guard asks it, so that whatever goes wrong is a deny. */
export function authorizeCommand(io: Io): Command {
  return withoutService(new Command("authorize"))
    .requiredOption("--tool <name>", "the tool that the agent is about to call")
    .requiredOption("--payload <json>", "its arguments, a JSON object", parsePayload)
    .option("--key <text>", "the idempotency key; derived from the request without it")
    .option("--json", "print the verdict")
    .addHelpText(
      "after",
      `
The credential is DATACRAWL_API_KEY; or DATACRAWL_TOKEN_FILE, or DATACRAWL_CLIENT_CERT_FILE and DATACRAWL_CLIENT_KEY_FILE, with
DATACRAWL_AGENT_ID; or else demo-agent.key in DATACRAWL_DATA_DIR. The service is DATACRAWL_URL (gRPC); DATACRAWL_CA_FILE names
authorities to trust.

Example:
  datacrawl authorize --tool stripe.refund --payload '{"amount":50,"currency":"EUR"}' --key refund-17
`,
    )
    .action(async (flags: Flags) => {
      const client = openClient(io);
      const request = { tool: flags.tool, payload: flags.payload, idempotencyKey: flags.key };
      const verdict = await client.authorize(request);
      await client.close();
      if (flags.json) outJson(io, verdict);
      else describe(io, verdict);
      io.exit(EXIT[verdict.decision]);
    });
}

/** The library reads the same variables; where none says who asks, it is the demo agent. */
function openClient(io: Io): DataCrawl {
  const ca = readCa(io);
  const hasProof = PROOFS.some((variable) => io.env[variable]);
  try {
    return new DataCrawl({ ca, ...(!hasProof && { apiKey: demoKey(io) }) });
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(error.message.split("; "));
    throw error;
  }
}

const PROOFS = ["DATACRAWL_API_KEY", "DATACRAWL_TOKEN_FILE", "DATACRAWL_CLIENT_CERT_FILE", "DATACRAWL_CLIENT_KEY_FILE"];

function readCa({ env, cwd }: Io): string | undefined {
  const path = env["DATACRAWL_CA_FILE"];
  try {
    return path ? readFileSync(resolve(cwd, path), "utf8") : undefined;
  } catch (error) {
    throw new UsageError([`DATACRAWL_CA_FILE cannot be read: ${messageOf(error)}`]);
  }
}

function describe(io: Io, verdict: Verdict): void {
  const { decision, reason, message, decisionId, replayed } = verdict;
  io.out(`${decision}  ${reason}  ${printable(message)}\n`);
  io.out(`decision ${decisionId}${replayed ? " (replayed)" : ""}\n`);
}

function demoKey(io: Io): string {
  const path = join(loadDataConfig(io.env, io.cwd).dataDir, "demo-agent.key");
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    throw new UsageError([
      `no credential: set DATACRAWL_API_KEY, or one of the others in --help (there is no ${path})`,
    ]);
  }
}
