import { claimProblem } from "../core/request.ts";
import { toolPatternProblem } from "../policy/pattern.ts";
import { checkAgentFilter, checkUuid, invalid } from "./checks.ts";
import type { DecisionFilter, DecisionSummary } from "../audit/row/decision-filter.ts";

const MAX_TEXT = 200;

/** `filter` in one spelling. @throws Fault FIELD_INVALID */
export function checkFilter(filter: DecisionFilter): DecisionFilter {
  const { agentId, tool, text, grantId, principal, sessionId } = filter;
  checkAgentFilter(agentId, "filter.agent_id");
  const problem = tool === null ? null : toolProblem(tool);
  if (problem !== null) throw invalid("filter.tool", problem);
  if (text !== null && (text.length > MAX_TEXT || !isText(text))) {
    throw invalid("filter.text", `must be at most ${MAX_TEXT} characters, without NUL`);
  }
  checkClaim("filter.principal", principal);
  checkClaim("filter.session_id", sessionId);
  return {
    ...filter,
    tool: tool === "*" ? null : tool,
    text: text === null ? null : lowerAscii(text),
    grantId: grantId === null ? null : checkUuid("filter.grant_id", grantId),
    decisions: [...new Set(filter.decisions)].toSorted(),
    reasons: [...new Set(filter.reasons)].toSorted(),
  };
}

/** Recorded names may hold anything; patterns are those of rules. */
function toolProblem(tool: string): string | null {
  if (!isText(tool)) return "must be text without NUL";
  return tool.endsWith("*") && toolPatternProblem(tool) !== null ? 'must be an exact name or such as "gmail.*"' : null;
}

/** What no request can hold no row has. */
function checkClaim(field: string, claim: string | null): void {
  const problem = claim === null ? null : claimProblem(claim);
  if (problem !== null) throw invalid(field, problem);
}

function isText(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}

/** Whether a checked filter matches: the same as in SQL, for decisions that are at hand. */
export function matcher(filter: DecisionFilter): (decision: DecisionSummary) => boolean {
  const { agentId, tool, decisions, reasons, source, from, to, text, grantId } = filter;
  const { principal, sessionId, unresolvedExecution } = filter;
  const prefix = tool?.endsWith(".*") === true ? tool.slice(0, -1) : null;
  return (row) =>
    // What is at hand was just recorded, and its execution is not overdue yet.
    !unresolvedExecution &&
    (agentId === null || row.agentId === agentId) &&
    (tool === null || (prefix === null ? row.tool === tool : row.tool.startsWith(prefix))) &&
    (decisions.length === 0 || decisions.includes(row.decision)) &&
    (reasons.length === 0 || reasons.includes(row.reason)) &&
    (source === null || row.source === source) &&
    (from === null || row.recordedAt >= from) &&
    (to === null || row.recordedAt < to) &&
    (grantId === null || row.grantId === grantId) &&
    (principal === null || row.principal === principal) &&
    (sessionId === null || row.sessionId === sessionId) &&
    (text === null ||
      [row.message, row.idempotencyKey, row.ruleId ?? ""].some((searched) => lowerAscii(searched).includes(text)));
}

/** As Postgres' `lower` in the C collation, which is the same on every machine. */
export function lowerAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
