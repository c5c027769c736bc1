import { Command, InvalidArgumentError, Option } from "commander";
import type { JsonObject, Verdict } from "@datacrawl/client";
import { verdictOf } from "@datacrawl/client/internal/verdict";
import { type Decision, isAllow } from "../../core/decision.ts";
import { withoutService } from "../admin-options.ts";
import { ExitCode, type Io } from "../io.ts";
import { outJson, printable } from "../output.ts";
import { parseDuration } from "../parse.ts";
import { parsePayload } from "../payload.ts";
import { demoKey } from "./demo-key.ts";
import { closeInTime, ENDING_MS, hasProof, openOwnGuard } from "./own-guard.ts";

interface Flags {
  readonly tool: string;
  readonly payload: Record<string, unknown>;
  readonly key?: string;
  readonly principal?: string;
  readonly session?: string;
  readonly timeout: number;
  readonly json?: true;
  readonly exit2?: true;
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
    .option("--principal <name>", "the person or service on whose behalf the agent acts")
    .option("--session <id>", "the run or conversation that the call belongs to")
    .addOption(
      new Option("--timeout <duration>", "how long the command may take from its start, from 500ms to 10m")
        .argParser(parseTimeout)
        .default(5000, "5s"),
    )
    .option("--exit-2", "exit with status 2 except for an allow: for hosts that block a tool only on status 2")
    .option("--json", "print the verdict")
    .addHelpText(
      "after",
      `
The credential is DATACRAWL_API_KEY; or DATACRAWL_TOKEN_FILE, or DATACRAWL_CLIENT_CERT_FILE and DATACRAWL_CLIENT_KEY_FILE, with
DATACRAWL_AGENT_ID; or else demo-agent.key in DATACRAWL_DATA_DIR. The service is DATACRAWL_URL (gRPC); DATACRAWL_CA_FILE names
authorities to trust.

A process for each question costs far more than the question. A hook that runs often asks a sidecar.`,
    )
    .action((flags: Flags) => authorize(io, flags));
}

async function authorize(io: Io, flags: Flags): Promise<void> {
  const endsAt = io.startedAt + flags.timeout;
  // By the variables that the client library reads; where none says who asks, as the demo agent.
  const guard = openOwnGuard(io, hasProof(io) ? {} : { apiKey: await demoKey(io) });
  const { tool, payload, key: idempotencyKey, principal, session: sessionId } = flags;
  const request = { tool, payload: payload as JsonObject, idempotencyKey, principal, sessionId };
  const verdict = verdictOf(await guard.authorize(request, { deadlineAt: endsAt - ENDING_MS }));
  // Print before the client is closed: a caller that waits for the verdict may end this process at any moment.
  io.exit(EXIT[verdict.decision]);
  if (flags.json) outJson(io, verdict);
  else describe(io, verdict);
  if (flags.exit2 && !isAllow(verdict.decision)) io.err(`datacrawl: ${sentenceOf(verdict)}\n`);
  await closeInTime(guard);
}

function parseTimeout(text: string): number {
  const milliseconds = parseDuration(text);
  if (milliseconds >= 500 && milliseconds <= 600_000) return milliseconds;
  throw new InvalidArgumentError("Write a time from 500ms to 10m.");
}

function describe(io: Io, verdict: Verdict): void {
  io.out(`${sentenceOf(verdict)}\n`);
  io.out(`decision ${verdict.decisionId}${verdict.replayed ? " (replayed)" : ""}\n`);
}

function sentenceOf({ decision, reason, message }: Verdict): string {
  return `${decision}  ${reason}  ${printable(message)}`;
}
