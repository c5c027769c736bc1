import { type RawBuilder, sql } from "kysely";
import type { HashedEvent } from "../audit/row/event.ts";
import type { Micros } from "../core/clock.ts";
import type { Execution } from "../execution/execution.ts";
import { bytea } from "./decision-input.ts";
import { arrayLiteral, atColumn, NOW, prepared } from "./dialect/statements.ts";
import { eventJson, insertEvents } from "./events.ts";
import type { EndEntry, StartEntry } from "./execution-entries.ts";
import { END_INPUTS, endJson, endedExecutions, inputOf, START_INPUTS, startJson } from "./executions.ts";
import { Repository } from "./repository.ts";

/** A record of a guard's journal, by which the trail knows it again. */
export interface UploadedRecord {
  readonly agentId: string;
  readonly journalId: string;
  readonly sequence: number;
  readonly hash: Uint8Array;
  readonly decisionId: string;
  readonly recordedAt: Micros;
}

/** The start of an action under a bypass on its way into the trail. */
export interface UploadedStart extends StartEntry {
  /** Null if the record of its end says that it started; that one is still to be recorded. */
  readonly record: UploadedRecord | null;
}

/** How it ended. */
export interface UploadedEnd extends EndEntry {
  readonly record: UploadedRecord;
}

/** A record that changes nothing: it repeats what is on record, or the event says what it contradicts. */
export interface UploadedNote {
  readonly record: UploadedRecord;
  readonly event: HashedEvent | null;
}

/** What guards upload of executions: each is written with its event and its record, or not at all. */
export class SqlGuardExecutions extends Repository {
  /** By decision. */
  async findAll(decisionIds: readonly string[]): Promise<ReadonlyMap<string, Execution>> {
    if (decisionIds.length === 0) return new Map();
    const found = await FIND_ALL.execute(this.db, { decisionIds: arrayLiteral(decisionIds) });
    return new Map(found.map((execution) => [execution.decisionId, execution]));
  }

  /** By idempotency key, a decision under it that was started within its 24 hours. */
  async startedKeys(agentId: string, idempotencyKeys: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const found = await STARTED_KEYS.execute(this.db, { agentId, keys: arrayLiteral(idempotencyKeys) });
    return new Map(found.map(({ key, decisionId }) => [key, decisionId]));
  }

  /** Those whose decision has no start yet, each with its event and its record. @returns their executions' ids */
  async recordStarts(entries: readonly UploadedStart[]): Promise<ReadonlySet<string>> {
    const rows = entries.map((entry) => ({ ...uploadedStartJson(entry), ...recordJson(entry.record) }));
    return await written(START.execute(this.db, { json: JSON.stringify(rows) }));
  }

  /** Those whose execution has no outcome yet, each with its event and its record. @returns their events' ids */
  async recordEnds(entries: readonly UploadedEnd[]): Promise<ReadonlySet<string>> {
    if (entries.length === 0) return new Set();
    const rows = entries.map((entry) => ({ ...endJson(entry), ...recordJson(entry.record) }));
    return await written(END.execute(this.db, { json: JSON.stringify(rows) }));
  }

  /** Those whose record is not known yet. */
  async recordNotes(entries: readonly UploadedNote[]): Promise<void> {
    const rows = entries.map(({ record, event }) => ({
      decision_id: record.decisionId,
      ...recordJson(record),
      ...(event && eventJson(event)),
    }));
    await NOTE.execute(this.db, { json: JSON.stringify(rows) });
  }
}

async function written(rows: Promise<readonly { readonly id: string }[]>): Promise<ReadonlySet<string>> {
  return new Set((await rows).map(({ id }) => id));
}

const FIND_ALL = prepared(({ decisionIds }: { decisionIds: string }, db) =>
  endedExecutions(db).where("e.decision_id", "=", sql<string>`ANY (${decisionIds}::text::uuid[])`),
);

const STARTED_KEYS = prepared(
  ({ agentId, keys }: { agentId: string; keys: string }) => sql<{ key: string; decisionId: string }>`
SELECT c.idempotency_key AS key, c.decision_id AS "decisionId"
FROM idempotency_claims c JOIN executions e ON e.decision_id = c.decision_id
WHERE c.agent_id = ${agentId} AND c.idempotency_key = ANY (${keys}::text::text[]) AND c.expires_at > ${NOW}
UNION ALL
SELECT idempotency_key, decision_id FROM executions
WHERE agent_id = ${agentId} AND idempotency_key = ANY (${keys}::text::text[]) AND source = 'guard'
  AND recorded_at > ${NOW} - interval '24 hours'`,
);

/** A guard chose the execution's id and knows when it started; its event is of the upload. */
const UPLOADED_START_INPUTS = [
  { name: "decision_id", type: "uuid" },
  { name: "execution_id", type: "uuid" },
  { name: "agent_id", type: "text" },
  { name: "started_at", type: "bigint" },
  ...START_INPUTS,
] as const;

function uploadedStartJson(entry: UploadedStart): object {
  const { decisionId, executionId, agentId, startedAt } = entry.execution;
  return {
    decision_id: decisionId,
    execution_id: executionId,
    agent_id: agentId,
    started_at: startedAt,
    ...startJson(entry),
  };
}

const RECORD_INPUTS = [
  { name: "record_agent_id", type: "text" },
  { name: "record_hash", type: "bytea" },
  { name: "record_journal_id", type: "uuid" },
  { name: "record_sequence", type: "bigint" },
  { name: "record_at", type: "bigint" },
] as const;

function recordJson(record: UploadedRecord | null): object {
  if (record === null) return {};
  const { agentId, hash, journalId, sequence, recordedAt } = record;
  return {
    record_agent_id: agentId,
    record_hash: bytea(hash),
    record_journal_id: journalId,
    record_sequence: sequence,
    record_at: recordedAt,
  };
}

/** SQL that notes the records that `from` selects of the input, as `FROM input WHERE …`. */
function insertRecords(from: RawBuilder<unknown>): RawBuilder<object> {
  return sql`INSERT INTO guard_records (agent_id, record_hash, journal_id, sequence, decision_id, recorded_at)
  SELECT record_agent_id, record_hash, record_journal_id, record_sequence, decision_id, ${atColumn(sql`record_at`)}
  ${from} ORDER BY record_agent_id COLLATE "C", record_hash
  ON CONFLICT DO NOTHING`;
}

// INVARIANT: an event of a start, and its record, are written if and only if this same statement made the start.
const START = prepared(
  ({ json }: { json: string }) => sql<{ id: string }>`
WITH input AS (${inputOf(json, [...UPLOADED_START_INPUTS, ...RECORD_INPUTS])}), started AS (
  INSERT INTO executions (decision_id, execution_id, recorded_at, agent_id, tool, idempotency_key, nonce, started_at, started_by,
    report_due_at, source)
  SELECT decision_id, execution_id, ${atColumn(sql`recorded_at`)}, agent_id, tool, idempotency_key, nonce,
    ${atColumn(sql`started_at`)}, started_by, ${atColumn(sql`report_due_at`)}, 'guard'
  FROM input ORDER BY decision_id
  -- The guard chose the execution's id, so another execution may have it.
  ON CONFLICT DO NOTHING
  RETURNING decision_id, execution_id, report_due_at
), due AS (
  INSERT INTO execution_reports_due (decision_id, report_due_at) SELECT decision_id, report_due_at FROM started
), noted AS (
  ${insertRecords(sql`FROM input WHERE record_hash IS NOT NULL AND execution_id IN (SELECT execution_id FROM started)`)}
), recorded AS (
  ${insertEvents(sql`FROM input WHERE execution_id IN (SELECT execution_id FROM started)`)}
)
SELECT execution_id AS id FROM started`,
);

// INVARIANT: an event of an outcome, and its record, are written if and only if this same statement made the outcome.
const END = prepared(
  ({ json }: { json: string }) => sql<{ id: string }>`
WITH input AS (${inputOf(json, [...END_INPUTS, ...RECORD_INPUTS])}), ended AS (
  INSERT INTO execution_outcomes (decision_id, event_id, outcome, ended_at, error_code, duration_ms, summary, reported_by)
  SELECT decision_id, event_event_id, outcome, ${atColumn(sql`ended_at`)}, error_code, duration_ms, summary, reported_by
  FROM input ORDER BY decision_id
  ON CONFLICT (decision_id) DO NOTHING
  RETURNING decision_id, event_id
), settled AS (
  DELETE FROM execution_reports_due WHERE decision_id IN (SELECT decision_id FROM ended)
), noted AS (
  ${insertRecords(sql`FROM input WHERE event_event_id IN (SELECT event_id FROM ended)`)}
), recorded AS (
  ${insertEvents(sql`FROM input WHERE event_event_id IN (SELECT event_id FROM ended)`)}
)
SELECT event_id AS id FROM ended`,
);

// INVARIANT: an event of a record is written if and only if this same statement noted the record.
const NOTE = prepared(
  ({ json }: { json: string }) => sql`
WITH input AS (${inputOf(json, [{ name: "decision_id", type: "uuid" }, ...RECORD_INPUTS])}), noted AS (
  ${insertRecords(sql`FROM input`)} RETURNING record_hash
)
${insertEvents(sql`FROM input WHERE event_event_id IS NOT NULL AND record_hash IN (SELECT record_hash FROM noted)`)}`,
);
