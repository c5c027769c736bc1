import { Command, InvalidArgumentError } from "commander";
import { SourceSchema } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { Outcome, OutcomeSchema } from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import type { Execution } from "@datacrawl/proto/datacrawl/authz/v1/executions_pb";
import { withAdmin } from "../admin-client.ts";
import type { Io } from "../io.ts";
import { outJson, outTable, printable, wordOf } from "../output.ts";
import { pagesUpTo } from "../pages.ts";
import { parseLimit } from "../parse.ts";
import { timeOrNull, timeText } from "../timestamp-text.ts";

interface ListFlags {
  readonly unresolved?: true;
  readonly agent?: string;
  readonly limit: number;
  readonly all?: true;
  readonly json?: true;
}

interface ResolveFlags {
  readonly outcome: Outcome;
  readonly comment: string;
  readonly json?: true;
}

const OUTCOMES = ["succeeded", "failed", "unknown"] as const;
const HEADINGS = ["STARTED", "STATE", "AGENT", "TOOL", "KEY", "DECISION"];

/** `datacrawl execution list|resolve`. */
export function executionCommand(io: Io): Command {
  const command = new Command("execution");
  command
    .command("list")
    .description("List executions, newest first; unresolved ones with the longest overdue first.")
    .option("--unresolved", "only those that have no outcome, though the time for a report has passed")
    .option("--agent <id>", "only this agent's")
    .option("--limit <n>", "how many at most", parseLimit, 100)
    .option("--all", "all of them")
    .option("--json", "print a list of executions")
    .action(async (flags: ListFlags) => {
      const filter = { unresolved: flags.unresolved === true, agentId: flags.agent ?? "" };
      const { items: executions, more } = await withAdmin(io, (admin) =>
        pagesUpTo(
          flags.all ? Number.POSITIVE_INFINITY : flags.limit,
          (page) => admin.listExecutions({ ...filter, ...page }),
          (listed) => listed.executions,
        ),
      );
      if (flags.json) outJson(io, executions.map(jsonOf));
      else outTable(io, HEADINGS, executions.map(cellsOf));
      if (more) io.err(`There are more than these ${executions.length}: --limit, or --all.\n`);
    });
  command
    .command("resolve")
    .description("Record how an execution ended that nobody reported.")
    .argument("<decision-id>", "a UUID")
    .requiredOption("--outcome <word>", OUTCOMES.join(", "), parseOutcome)
    .requiredOption("--comment <text>", "how you know, for the audit trail")
    .option("--json", "print the execution")
    .addHelpText("after", "\nNeeds a named operator who has just signed in (--as NAME), and who is not the agent.")
    .action(async (decisionId: string, { outcome, comment, json }: ResolveFlags) => {
      const request = { decisionId, outcome, comment };
      const { execution } = await withAdmin(io, (admin) => admin.resolveExecution(request));
      if (execution === undefined) return;
      if (json) outJson(io, jsonOf(execution));
      else
        io.out(
          `The execution of the decision ${printable(execution.decisionId)} is resolved: ${stateOf(execution)}.\n`,
        );
    });
  return command;
}

function parseOutcome(text: string): Outcome {
  const outcome = OUTCOMES.find((known) => known === text.toLowerCase());
  if (outcome === undefined) throw new InvalidArgumentError(`Write one of ${OUTCOMES.join(", ")}.`);
  return Outcome[outcome.toUpperCase() as Uppercase<typeof outcome>];
}

function cellsOf(execution: Execution): string[] {
  const { startedAt, agentId, tool, idempotencyKey, decisionId } = execution;
  return [timeText(startedAt), stateOf(execution), agentId, tool, idempotencyKey, decisionId];
}

/** The outcome, or what there is in its place. */
export function stateOf({ outcome, unresolved }: Execution): string {
  if (outcome !== Outcome.UNSPECIFIED) return wordOf(OutcomeSchema, outcome).toLowerCase();
  return unresolved ? "unresolved" : "started";
}

export function jsonOf(execution: Execution) {
  const { decisionId, executionId, agentId, tool, idempotencyKey, startedBy, unresolved, outcome } = execution;
  return {
    decisionId,
    executionId,
    agentId,
    tool,
    idempotencyKey,
    principal: execution.principal ?? null,
    sessionId: execution.sessionId ?? null,
    startedAt: timeOrNull(execution.startedAt),
    startedBy,
    source: wordOf(SourceSchema, execution.source).toLowerCase(),
    reportDueAt: timeOrNull(execution.reportDueAt),
    unresolved,
    outcome: outcome === Outcome.UNSPECIFIED ? null : wordOf(OutcomeSchema, outcome).toLowerCase(),
    endedAt: timeOrNull(execution.endedAt),
    reportedBy: execution.reportedBy || null,
    resolvedBy: execution.resolvedBy || null,
    comment: execution.comment || null,
    errorCode: execution.errorCode || null,
    durationMs: execution.durationMs === undefined ? null : Number(execution.durationMs),
    summary: execution.summary || null,
  };
}
