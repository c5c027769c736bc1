import type { Micros } from "../../core/clock.ts";
import type { Decision, Reason, Source } from "../../core/decision.ts";

/**
 * How a column's value becomes bytes, in the hash and in SQL:
 * `text` as UTF-8, `uuid` as its 36 characters, `bytes` as they are, `micros` and `int` as 8 bytes, big-endian, signed.
 */
export type ColumnKind = "text" | "uuid" | "bytes" | "micros" | "int";

export interface Column<Row> {
  /** In the database. */
  readonly name: string;
  /** In a row object. */
  readonly field: keyof Row & string;
  readonly kind: ColumnKind;
}

/** A decision as the trail keeps it. Null is different from empty. */
export interface DecisionRow {
  readonly decisionId: string;
  readonly recordedAt: Micros;
  readonly source: Source;
  readonly agentId: string;
  readonly credentialId: string | null;
  readonly tool: string;
  readonly idempotencyKey: string;
  readonly decision: Decision;
  readonly reason: Reason;
  readonly message: string;
  readonly ruleId: string | null;
  readonly policyVersion: string | null;
  readonly requestDigest: Uint8Array | null;
  readonly payloadDigest: Uint8Array | null;
  readonly decidedAt: Micros;
  readonly linkedDecisionId: string | null;
  readonly reviewId: string | null;
  readonly grantId: string | null;
  readonly guardJournalId: string | null;
  readonly guardSequence: number | null;
  readonly guardRecordHash: Uint8Array | null;
  readonly traceId: string | null;
  readonly detail: string | null;
  /** On whose behalf the agent acted; null if it did not say. */
  readonly principal: string | null;
  /** The run or conversation that the call belonged to; null if the agent did not say. */
  readonly sessionId: string | null;
}

/** A row of the trail as it is stored, with what was kept of its payload. */
export interface StoredDecision {
  readonly row: DecisionRow;
  readonly storedHash: Uint8Array;
  /** Null if none was recorded, or it has been erased. */
  readonly payload: { readonly salt: Uint8Array; readonly canonical: string } | null;
}

/** The columns that every decision fills. The others are null unless they are given. */
type AlwaysGiven =
  | "decisionId"
  | "recordedAt"
  | "source"
  | "agentId"
  | "tool"
  | "idempotencyKey"
  | "decision"
  | "reason"
  | "message"
  | "ruleId"
  | "decidedAt";

/** A row with every column, and no other field of `given`. (Written out: spreading costs the hot path several times as much.) */
export function decisionRow(given: Pick<DecisionRow, AlwaysGiven> & Partial<DecisionRow>): DecisionRow {
  return {
    decisionId: given.decisionId,
    recordedAt: given.recordedAt,
    source: given.source,
    agentId: given.agentId,
    credentialId: given.credentialId ?? null,
    tool: given.tool,
    idempotencyKey: given.idempotencyKey,
    decision: given.decision,
    reason: given.reason,
    message: given.message,
    ruleId: given.ruleId,
    policyVersion: given.policyVersion ?? null,
    requestDigest: given.requestDigest ?? null,
    payloadDigest: given.payloadDigest ?? null,
    decidedAt: given.decidedAt,
    linkedDecisionId: given.linkedDecisionId ?? null,
    reviewId: given.reviewId ?? null,
    grantId: given.grantId ?? null,
    guardJournalId: given.guardJournalId ?? null,
    guardSequence: given.guardSequence ?? null,
    guardRecordHash: given.guardRecordHash ?? null,
    traceId: given.traceId ?? null,
    detail: given.detail ?? null,
    principal: given.principal ?? null,
    sessionId: given.sessionId ?? null,
  };
}

/** Anything else worth a record: administration, bypasses, reviews, verification runs, refused credentials. */
export interface EventRow {
  readonly eventId: string;
  readonly recordedAt: Micros;
  /** What happened, such as `agent.created`. */
  readonly kind: string;
  /** Who did it: `socket`, `operator:<name>`, `agent:<id>` or `service`. */
  readonly actor: string;
  /** What it was done to, such as an agent's id. */
  readonly subject: string | null;
  readonly decisionId: string | null;
  /** Further facts as canonical JSON. */
  readonly detail: string;
}

/**
 * The columns of a decision in the order in which they are hashed, where it has neither principal nor session.
 *
 * INVARIANT: version 1 of the layout (docs/audit-format.md). Never reorder, retype or remove; the layout is what old hashes mean.
 */
export const DECISION_COLUMNS: readonly Column<DecisionRow>[] = [
  { name: "decision_id", field: "decisionId", kind: "uuid" },
  { name: "recorded_at", field: "recordedAt", kind: "micros" },
  { name: "source", field: "source", kind: "text" },
  { name: "agent_id", field: "agentId", kind: "text" },
  { name: "credential_id", field: "credentialId", kind: "text" },
  { name: "tool", field: "tool", kind: "text" },
  { name: "idempotency_key", field: "idempotencyKey", kind: "text" },
  { name: "decision", field: "decision", kind: "text" },
  { name: "reason", field: "reason", kind: "text" },
  { name: "message", field: "message", kind: "text" },
  { name: "rule_id", field: "ruleId", kind: "text" },
  { name: "policy_version", field: "policyVersion", kind: "text" },
  { name: "request_digest", field: "requestDigest", kind: "bytes" },
  { name: "payload_digest", field: "payloadDigest", kind: "bytes" },
  { name: "decided_at", field: "decidedAt", kind: "micros" },
  { name: "linked_decision_id", field: "linkedDecisionId", kind: "uuid" },
  { name: "review_id", field: "reviewId", kind: "uuid" },
  { name: "grant_id", field: "grantId", kind: "uuid" },
  { name: "guard_journal_id", field: "guardJournalId", kind: "uuid" },
  { name: "guard_sequence", field: "guardSequence", kind: "int" },
  { name: "guard_record_hash", field: "guardRecordHash", kind: "bytes" },
  { name: "trace_id", field: "traceId", kind: "text" },
  { name: "detail", field: "detail", kind: "text" },
];

/**
 * The columns of a decision that has a principal or a session, and of the table.
 *
 * INVARIANT: version 2 of the layout. A row is of version 2 if and only if one of the columns that version 1 lacks is not NULL.
 */
export const DECISION_COLUMNS_V2: readonly Column<DecisionRow>[] = [
  ...DECISION_COLUMNS,
  { name: "principal", field: "principal", kind: "text" },
  { name: "session_id", field: "sessionId", kind: "text" },
];

export function isVersion2({ principal, sessionId }: Pick<DecisionRow, "principal" | "sessionId">): boolean {
  // A row from before version 2 may lack both fields.
  return (principal ?? null) !== null || (sessionId ?? null) !== null;
}

/** As {@link DECISION_COLUMNS}, for events. */
export const EVENT_COLUMNS: readonly Column<EventRow>[] = [
  { name: "event_id", field: "eventId", kind: "uuid" },
  { name: "recorded_at", field: "recordedAt", kind: "micros" },
  { name: "kind", field: "kind", kind: "text" },
  { name: "actor", field: "actor", kind: "text" },
  { name: "subject", field: "subject", kind: "text" },
  { name: "decision_id", field: "decisionId", kind: "uuid" },
  { name: "detail", field: "detail", kind: "text" },
];
