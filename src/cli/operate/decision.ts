import { type Client } from "@connectrpc/connect";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { Command } from "commander";
import type { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { DecisionSchema, ReasonSchema, SourceSchema } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import type { DecisionSummary } from "@datacrawl/proto/datacrawl/authz/v1/decisions_pb";
import { isoMicros } from "../../core/clock.ts";
import { withAdmin } from "../admin-client.ts";
import { showDecision } from "../audit/audit.ts";
import { type FilterFlags, filterOf, withFilter } from "./decision-filter.ts";
import type { Io } from "../io.ts";
import { outJson, outTable, wordOf } from "../output.ts";
import { parseLimit } from "../parse.ts";

interface ListFlags extends FilterFlags {
  readonly limit: number;
  readonly all?: true;
  readonly json?: true;
}

/** `datacrawl decision list|show`. */
export function decisionCommand(io: Io): Command {
  const command = new Command("decision");
  withFilter(command.command("list"))
    .description("List decisions, newest first.")
    .option("--unresolved", "whose execution was started and has no outcome, though the time for a report has passed")
    .option("--limit <n>", "how many at most", parseLimit, 100)
    .option("--all", "all of them")
    .option("--json", "print a list of decisions")
    .action((flags: ListFlags) => list(io, flags));
  command
    .command("show")
    .description("Show everything that is known about a decision. Exit status 1 if its hash does not match.")
    .argument("<decision-id>", "a UUID")
    .option("--json", "print one JSON value")
    .action((decisionId: string, flags: { readonly json?: true }) => showDecision(io, decisionId, flags));
  return command;
}

async function list(io: Io, flags: ListFlags): Promise<void> {
  const limit = flags.all ? Number.POSITIVE_INFINITY : flags.limit;
  const { decisions, more } = await withAdmin(io, (admin) => listUpTo(io, admin, flags, limit));
  if (flags.json) outJson(io, decisions.map(decisionJson));
  else outTable(io, DECISION_HEADINGS, decisions.map(decisionCells));
  if (more) io.err(`There may be more than these ${decisions.length}: --limit, or --all.\n`);
}

/** As many as asked for, through as many pages as it takes. */
async function listUpTo(
  io: Io,
  admin: Client<typeof AdminService>,
  flags: FilterFlags,
  limit: number,
): Promise<{ decisions: DecisionSummary[]; more: boolean }> {
  const filter = filterOf(flags);
  const decisions: DecisionSummary[] = [];
  for (let pageToken = ""; ; ) {
    const pageSize = Math.min(1000, limit - decisions.length);
    const page = await admin.listDecisions({ filter, pageSize, pageToken });
    decisions.push(...page.decisions);
    pageToken = page.nextPageToken;
    if (pageToken === "") return { decisions, more: false };
    if (decisions.length >= limit) return { decisions, more: true };
    if (page.timeWasUp && page.searchedTo !== undefined)
      io.err(`Searched back to ${timestampDate(page.searchedTo).toISOString()} …\n`);
  }
}

export const DECISION_HEADINGS = ["RECORDED", "DECISION", "REASON", "AGENT", "TOOL", "KEY", "ID"];

export function decisionCells(decision: DecisionSummary): string[] {
  const {
    recordedAt,
    decision: outcome,
    reason,
    source,
    agentId,
    tool,
    idempotencyKey,
    decisionId,
  } = decisionJson(decision);
  const said = source === "guard" ? `${reason} (guard)` : reason;
  return [recordedAt, outcome, said, agentId, tool, idempotencyKey, decisionId].map(String);
}

export function decisionJson(decision: DecisionSummary) {
  const { $typeName: _, recordedAtUs, source, decision: outcome, reason, ...same } = decision;
  return {
    ...same,
    recordedAt: isoMicros(Number(recordedAtUs)),
    source: wordOf(SourceSchema, source).toLowerCase(),
    decision: wordOf(DecisionSchema, outcome).toLowerCase(),
    reason: wordOf(ReasonSchema, reason),
  };
}
