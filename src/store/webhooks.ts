import type { MessageFilter, WaitingMessage } from "../admin/webhooks.ts";
import type { EventRow } from "../audit/row/record.ts";
import type { Leased, Outbox } from "../webhook/deliverer.ts";
import type { Source } from "../webhook/message.ts";
import { type Database, microsOf, timestampOf } from "./database.ts";
import { eventParams, eventText } from "./event-text.ts";

/** What is known of messages that wait, and of those that were given up. */
export interface OutboxFigures {
  readonly pending: number;
  readonly dead: number;
  /** Age of the oldest that waits; 0 if none does. */
  readonly oldestSeconds: number;
}

/** Messages for the webhook, which triggers on the trail have noted. */
export class SqlOutbox implements Outbox {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async lease(limit: number, leaseMs: number): Promise<Leased[]> {
    const rows = await this.#database.query<LeasedRow>(LEASE, [limit, leaseMs], { name: "lease_webhooks" });
    return rows.map(leasedOf).toSorted((a, b) => a.sequence - b.sequence);
  }

  async source({ source, sourceId, recordedAt }: Leased): Promise<Source | null> {
    const sql = source === "event" ? EVENT : DECISION;
    const [row] = await this.#database.query<SourceRow>(sql, [sourceId, String(recordedAt)]);
    if (row === undefined) return null;
    const expiresAt = row["expiresAt"] ?? null;
    return { ...row, kind: source, recordedAt, expiresAt: expiresAt && Number(expiresAt) } as unknown as Source;
  }

  async delivered(message: Leased): Promise<void> {
    await this.#database.query(`DELETE FROM webhook_messages ${HELD}`, held(message));
  }

  async postpone(message: Leased, waitMs: number, problem: string): Promise<void> {
    await this.#database.query(
      `UPDATE webhook_messages SET due_at = now() + $3::bigint * interval '1 millisecond', problem = $4 ${HELD}`,
      [...held(message), waitMs, excerpt(problem)],
    );
  }

  async bury(message: Leased, problem: string): Promise<void> {
    await this.#database.query(`UPDATE webhook_messages SET state = 'dead', problem = $3 ${HELD}`, [
      ...held(message),
      excerpt(problem),
    ]);
  }

  async list({ state, before, limit }: MessageFilter): Promise<WaitingMessage[]> {
    const rows = await this.#database.query<WaitingRow>(LIST, [state, before === null ? null : String(before), limit]);
    return rows.map(waitingOf);
  }

  async retry(
    sourceId: string,
    event: { readonly row: EventRow; readonly hash: Uint8Array },
  ): Promise<WaitingMessage | null> {
    const [row] = await this.#database.query<WaitingRow>(RETRY, [sourceId, ...eventParams(event)]);
    return row === undefined ? null : waitingOf(row);
  }

  async figures(): Promise<OutboxFigures> {
    const [row] = await this.#database.query<{ pending: string; dead: string; oldest: string | null }>(FIGURES);
    return { pending: Number(row?.pending), dead: Number(row?.dead), oldestSeconds: Number(row?.oldest ?? 0) };
  }

  /** Removes what nobody will ask for any more: also what nobody tries, because there is no webhook. */
  async purge(): Promise<void> {
    await this.#database.query(PURGE);
  }
}

interface LeasedRow {
  readonly sequence: string;
  readonly type: string;
  readonly source: "event" | "decision";
  readonly source_id: string;
  readonly recorded_at: string;
  readonly attempts: number;
  readonly age_ms: string;
}

interface WaitingRow {
  readonly sequence: string;
  readonly source_id: string;
  readonly type: string;
  readonly subject: string;
  readonly state: WaitingMessage["state"];
  readonly attempts: number;
  readonly problem: string | null;
  readonly created_at: string;
  readonly due_at: string;
}

type SourceRow = Readonly<Record<string, string | null>>;

/** After so many failed attempts, some five minutes, a message does not hold up those about the same subject any more. */
const HOLDS_UP = 6;

// No two replicas lease the same message: SKIP LOCKED passes over what another one is leasing, and due_at over what it has.
const LEASE = `
WITH due AS (
  SELECT sequence FROM webhook_messages m
  WHERE state = 'pending' AND due_at <= now() AND NOT EXISTS (
    SELECT FROM webhook_messages earlier WHERE earlier.state = 'pending' AND earlier.subject = m.subject
      AND earlier.sequence < m.sequence AND earlier.attempts < ${HOLDS_UP})
  ORDER BY due_at, sequence LIMIT $1::int FOR UPDATE SKIP LOCKED
)
UPDATE webhook_messages m SET attempts = attempts + 1, due_at = now() + $2::bigint * interval '1 millisecond'
FROM due WHERE m.sequence = due.sequence
RETURNING m.sequence::text, m.type, m.source, m.source_id, ${microsOf("m.recorded_at")} AS recorded_at, m.attempts,
  (extract(epoch from now() - m.created_at) * 1000)::bigint::text AS age_ms`;

/** Still leased by who leased it then. */
const HELD = "WHERE sequence = $1::text::bigint AND attempts = $2::int";

const EVENT = `
SELECT actor, subject, decision_id AS "decisionId", detail
FROM audit_events WHERE event_id = $1::text::uuid AND recorded_at = ${timestampOf("$2::text::bigint")}`;

const DECISION = `
SELECT d.decision_id AS "decisionId", d.linked_decision_id AS "linkedDecisionId", d.review_id AS "reviewId",
  d.agent_id AS "agentId", d.tool, d.decision, d.reason, d.message, d.rule_id AS "ruleId",
  d.policy_version AS "policyVersion", p.canonical AS payload,
  ${microsOf("(CASE d.reason WHEN 'REVIEW_PENDING' THEN r.expires_at WHEN 'REVIEW_APPROVED' THEN r.approval_expires_at END)")} AS "expiresAt"
FROM audit_decisions d LEFT JOIN audit_payloads p ON p.decision_id = d.decision_id AND p.recorded_at = d.recorded_at
  LEFT JOIN reviews r ON r.review_id = d.review_id
WHERE d.decision_id = $1::text::uuid AND d.recorded_at = ${timestampOf("$2::text::bigint")}`;

const FIGURES = `
SELECT count(*) FILTER (WHERE state = 'pending')::text AS pending, count(*) FILTER (WHERE state = 'dead')::text AS dead,
  extract(epoch from now() - min(created_at) FILTER (WHERE state = 'pending'))::text AS oldest
FROM webhook_messages`;

const WAITING = `sequence::text, source_id, type, subject, state, attempts, problem,
  ${microsOf("created_at")} AS created_at, ${microsOf("due_at")} AS due_at`;

const LIST = `
SELECT ${WAITING} FROM webhook_messages
WHERE ($1::text IS NULL OR state = $1::text) AND ($2::text IS NULL OR sequence < $2::text::bigint)
ORDER BY webhook_messages.sequence DESC LIMIT $3::int`;

// The number of attempts stays: by it, whoever still has the message knows that it has it no more, once another one leases it.
const RETRY = `
WITH retried AS (
  UPDATE webhook_messages SET state = 'pending', created_at = now(), due_at = now() WHERE source_id = $1::text::uuid
  RETURNING *
), told AS (${eventText(2, "FROM retried")})
SELECT ${WAITING} FROM retried`;

const PURGE = `
DELETE FROM webhook_messages WHERE sequence = ANY (ARRAY(
  SELECT sequence FROM webhook_messages
  WHERE created_at < now() - CASE state WHEN 'dead' THEN interval '30 days' ELSE interval '7 days' END
  LIMIT 5000 FOR UPDATE SKIP LOCKED))`;

function leasedOf(row: LeasedRow): Leased {
  return {
    sequence: Number(row.sequence),
    type: row.type,
    source: row.source,
    sourceId: row.source_id,
    recordedAt: Number(row.recorded_at),
    attempt: row.attempts,
    ageMs: Number(row.age_ms),
  };
}

function waitingOf(row: WaitingRow): WaitingMessage {
  return {
    sequence: Number(row.sequence),
    sourceId: row.source_id,
    type: row.type,
    subject: row.subject,
    state: row.state,
    attempts: row.attempts,
    problem: row.problem,
    createdAt: Number(row.created_at),
    dueAt: Number(row.due_at),
  };
}

function held({ sequence, attempt }: Leased): [string, number] {
  return [String(sequence), attempt];
}

function excerpt(problem: string): string {
  return problem.slice(0, 200).toWellFormed();
}
