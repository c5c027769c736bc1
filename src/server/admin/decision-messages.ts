import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { Decision, Reason, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import {
  type DecisionFilter as FilterMessage,
  type DecisionSummary as SummaryMessage,
  DecisionSummarySchema,
} from "@datacrawl/proto/datacrawl/authz/v1/decisions_pb";
import { invalid } from "../../admin/checks.ts";
import type { Micros } from "../../core/clock.ts";
import type { Reason as ReasonWord } from "../../core/decision.ts";
import { type DecisionFilter, type DecisionSummary, EVERY_DECISION } from "../../audit/row/decision-filter.ts";

/** Our words for the numbers on the wire. */
export const DECISION = { allow: Decision.ALLOW, deny: Decision.DENY, needs_review: Decision.NEEDS_REVIEW } as const;
export const SOURCE = { service: Source.SERVICE, guard: Source.GUARD } as const;
export const REASON: Readonly<Record<ReasonWord, Reason>> = Reason;

/** The filter of a request; nothing in it has been checked but its enums and times. @throws Fault FIELD_INVALID */
export function filterOf(unverified: FilterMessage | undefined): DecisionFilter {
  if (unverified === undefined) return EVERY_DECISION;
  const { agentId, tool, decisions, reasons, source, recordedFrom, recordedTo, text, grantId } = unverified;
  const { principal, sessionId, unresolvedExecution } = unverified;
  return {
    agentId: agentId || null,
    tool: tool || null,
    decisions: decisions.map((number) => wordFor(DECISION, number, "filter.decisions")),
    reasons: reasons.map((number) => wordFor(REASON, number, "filter.reasons")),
    source: source === Source.UNSPECIFIED ? null : wordFor(SOURCE, source, "filter.source"),
    from: microsOf(recordedFrom, "filter.recorded_from"),
    to: microsOf(recordedTo, "filter.recorded_to"),
    text: text || null,
    grantId: grantId || null,
    principal: principal || null,
    sessionId: sessionId || null,
    unresolvedExecution,
  };
}

export function summaryMessage(decision: DecisionSummary): SummaryMessage {
  const { recordedAt, source, decision: outcome, reason, ...same } = decision;
  return create(DecisionSummarySchema, {
    ...present(same),
    recordedAtUs: BigInt(recordedAt),
    source: SOURCE[source],
    decision: DECISION[outcome],
    reason: REASON[reason],
  });
}

/** Without the columns that are NULL: those fields of the message stay absent. Bytes as plain arrays, as protobuf-es has them. */
export function present<Row extends object>(row: Row): { [Name in keyof Row]?: NonNullable<Row[Name]> } {
  const entries = Object.entries(row).filter(([, value]) => value !== null);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, value instanceof Uint8Array ? new Uint8Array(value) : (value as unknown)]),
  ) as { [Name in keyof Row]?: NonNullable<Row[Name]> };
}

function wordFor<Word extends string>(words: Readonly<Record<Word, number>>, number: number, field: string): Word {
  const entry = Object.entries(words).find(([, value]) => value === number && number !== 0);
  if (entry === undefined) throw invalid(field, `holds ${number}, which has no meaning here`);
  return entry[0] as Word;
}

/** The years that Postgres and our numbers both know. */
const FIRST_SECOND = -62_135_596_800n;
const LAST_SECOND = 9_000_000_000n;

function microsOf(time: Timestamp | undefined, field: string): Micros | null {
  if (time === undefined) return null;
  const { seconds, nanos } = time;
  if (seconds < FIRST_SECOND || seconds > LAST_SECOND || nanos < 0 || nanos > 999_999_999)
    throw invalid(field, "is no time");
  return Number(seconds) * 1_000_000 + Math.floor(nanos / 1000);
}
