import { randomUUID } from "node:crypto";
import fc from "fast-check";
import type { DecisionRow } from "../../src/audit/row/record.ts";
import { DECISION_OF, type Reason } from "../../src/core/decision.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { entryFor } from "../support/entries.ts";
import type { TestStore } from "../support/stores.ts";
import type { DecisionFilter, DecisionSummary } from "../../src/audit/row/decision-filter.ts";

export const AGENTS = ["agent-a", "agent-b"];
export const TOOLS = ["gmail.send", "gmail.drafts.send", "gmail", "gmailx.send", "GMAIL.send", "x*y", "stripe.refund"];
export const PRINCIPALS = ["ann@example.com", "Ann@example.com"];
const SESSIONS = ["run-1", "run-2"];
const GRANTS = [randomUUID(), randomUUID()];
const TEXTS = ['Rule "a" denies this call.', "İstanbul ist groß", "100% a_b", "\\ \u001b[31m", ""];
const REASONS = Object.keys(DECISION_OF) as Reason[];

/** Rows of every kind, several of the same microsecond, recorded from `start` on. */
export function variedRows(count: number, start: number, random: () => number): Partial<DecisionRow>[] {
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  return Array.from({ length: count }, (_, index) => {
    const reason = pick(REASONS);
    return {
      recordedAt: start + Math.floor(index / 3),
      agentId: pick(AGENTS),
      tool: pick(TOOLS),
      reason,
      decision: DECISION_OF[reason],
      source: pick(["service", "guard"] as const),
      message: pick(TEXTS),
      ruleId: pick([null, "rule-a", "RULE-B"]),
      grantId: reason === "CIRCUIT_BYPASS" ? pick(GRANTS) : null,
      principal: pick([null, ...PRINCIPALS]),
      sessionId: pick([null, ...SESSIONS]),
    };
  });
}

/** Records the rows, in batches. @returns them as lists show them */
export async function record(store: TestStore, rows: readonly Partial<DecisionRow>[]): Promise<DecisionSummary[]> {
  const records = new SqlRecordStore(store.database.kysely);
  const entries = rows.map((row) => entryFor(row.idempotencyKey ?? randomUUID(), row, null));
  for (let at = 0; at < entries.length; at += 200) await records.recordBatch(entries.slice(at, at + 200));
  return entries.map(({ row }) => summaryOf(row));
}

export function summaryOf(row: DecisionRow): DecisionSummary {
  const {
    credentialId: _1,
    requestDigest: _2,
    payloadDigest: _3,
    decidedAt: _4,
    traceId: _5,
    detail: _6,
    ...rest
  } = row;
  const { guardJournalId: _7, guardSequence: _8, guardRecordHash: _9, ...summary } = rest;
  return summary;
}

/** Newest first, as lists have them. */
export function newestFirst(decisions: readonly DecisionSummary[]): DecisionSummary[] {
  return decisions.toSorted((a, b) => b.recordedAt - a.recordedAt || (a.decisionId < b.decisionId ? 1 : -1));
}

/** Whether `filter` matches, written a second time and as plainly as can be. */
export function naively(filter: DecisionFilter, row: DecisionSummary): boolean {
  if (filter.agentId !== null && filter.agentId !== row.agentId) return false;
  if (filter.tool !== null && filter.tool !== "*") {
    const matches = filter.tool.endsWith(".*")
      ? row.tool.startsWith(filter.tool.replace("*", ""))
      : row.tool === filter.tool;
    if (!matches) return false;
  }
  if (filter.decisions.length > 0 && !filter.decisions.includes(row.decision)) return false;
  if (filter.reasons.length > 0 && !filter.reasons.includes(row.reason)) return false;
  if (filter.source !== null && filter.source !== row.source) return false;
  if (filter.from !== null && row.recordedAt < filter.from) return false;
  if (filter.to !== null && row.recordedAt >= filter.to) return false;
  if (filter.grantId !== null && filter.grantId !== row.grantId) return false;
  if (filter.principal !== null && filter.principal !== row.principal) return false;
  if (filter.sessionId !== null && filter.sessionId !== row.sessionId) return false;
  if (filter.text === null) return true;
  const text = ascii(filter.text);
  return [row.message, row.idempotencyKey, row.ruleId ?? ""].some((searched) => ascii(searched).includes(text));
}

function ascii(text: string): string {
  return [...text].map((char) => (char >= "A" && char <= "Z" ? char.toLowerCase() : char)).join("");
}

/** Any filter over rows that were recorded from `start` on, `span` microseconds long. */
export function filters(start: number, span: number): fc.Arbitrary<DecisionFilter> {
  const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(value, { nil: null, freq: 1 });
  const time = maybe(fc.integer({ min: start - 2, max: start + span + 2 }));
  return fc.record({
    agentId: maybe(fc.constantFrom(...AGENTS, "nobody")),
    tool: maybe(fc.constantFrom(...TOOLS, "gmail.*", "GMAIL.*", "g.*", "*", "gmail.drafts.*", "%")),
    decisions: fc.subarray(["allow", "deny", "needs_review"] as const),
    reasons: fc.oneof(fc.constant([]), fc.subarray(REASONS)),
    source: maybe(fc.constantFrom("service" as const, "guard" as const)),
    from: time,
    to: time,
    text: maybe(
      fc.constantFrom("rule", "RULE-b", "CALL.", "%", "_", "\\", "İ", "i̇", "ß", "SS", "'", "\u001b[31m", "a-", "zzz"),
    ),
    grantId: fc.oneof(fc.constant(null), fc.constant(null), maybe(fc.constantFrom(...GRANTS, randomUUID()))),
    principal: maybe(fc.constantFrom(...PRINCIPALS, "nobody")),
    sessionId: maybe(fc.constantFrom(...SESSIONS, "nothing")),
    unresolvedExecution: fc.constant(false),
  });
}
