import { type Kysely, sql } from "kysely";
import { jsonObjectFrom } from "kysely/helpers/postgres";
import type { HashedEvent } from "../audit/row/event.ts";
import { CommitUnknown } from "../audit/write/group-writer.ts";
import { commitBatch } from "./batch.ts";
import type { SqlError } from "./dialect/sql-error.ts";
import { bytea } from "./decision-input.ts";
import { EVENT_INPUTS, eventJson, insertEvents } from "./events.ts";
import { Repository } from "./repository.ts";
import type { Schema, StoredTime } from "./schema.ts";
import { SharedRead } from "./shared-read.ts";
import { arrayLiteral, at, atColumn, micros, NOW, prepared } from "./dialect/statements.ts";
import type { Position } from "../audit/row/position.ts";
import type { Execution, StoredExecution } from "../execution/execution.ts";
import type { StartableDecision } from "../execution/startable.ts";
import type { EndEntry, StartEntry } from "./execution-entries.ts";

/** Executions: what was started, and how it ended. Each change is committed with its event, or not at all. */
export class SqlExecutionStore extends Repository {
  readonly #decisions = new SharedRead<StartableDecision>(async (ids) => {
    const found = await FIND_DECISIONS.execute(this.db, { decisionIds: arrayLiteral(ids) });
    return new Map(found.map((row) => [row.decisionId, { ...row, policyVersion: row.policyVersion ?? "" }]));
  });

  readonly #executions = new SharedRead<Execution>(async (ids) => {
    const found = await FIND.execute(this.db, { decisionIds: arrayLiteral(ids) });
    return new Map(found.map((execution) => [execution.decisionId, execution]));
  });

  /** The decision of that id, whichever agent's it is. @param decisionId a UUID in lower case */
  async findDecision(decisionId: string): Promise<StartableDecision | null> {
    return await this.#decisions.find(decisionId);
  }

  /** The execution of the decision; null if nobody has started it. @param decisionId a UUID in lower case */
  async find(decisionId: string): Promise<Execution | null> {
    return await this.#executions.find(decisionId);
  }

  /** The same with what its decision says besides. */
  async findStored(decisionId: string): Promise<StoredExecution | null> {
    const [execution] = await executions(this.db).where("e.decision_id", "=", decisionId).execute();
    return execution ?? null;
  }

  /** Newest first, those that started before `before`. */
  async list(agentId: string | null, before: string | null, limit: number): Promise<StoredExecution[]> {
    let query = executions(this.db);
    if (agentId !== null) query = query.where("e.agent_id", "=", agentId);
    if (before !== null) query = query.where("e.execution_id", "<", before);
    return await query.orderBy("e.execution_id", "desc").limit(limit).execute();
  }

  /** The longest overdue first, those that come after `after`. */
  async listUnresolved(agentId: string | null, after: Position | null, limit: number): Promise<StoredExecution[]> {
    let query = unresolved(this.db);
    if (agentId !== null) query = query.where("e.agent_id", "=", agentId);
    if (after !== null)
      query = query
        .where("r.report_due_at", ">=", at(after.at))
        .where((eb) => eb.or([eb("r.report_due_at", ">", at(after.at)), eb("r.decision_id", ">", after.id)]));
    return await query.limit(limit).execute();
  }

  /** How many are unresolved; `atMost` if there are more, as agents that never report leave any number. */
  async countUnresolved(atMost: number): Promise<number> {
    const { count } = await this.db
      .selectFrom((from) =>
        from
          .selectFrom("execution_reports_due")
          .select("decision_id")
          .where("report_due_at", "<=", NOW)
          .limit(sql.lit(atMost))
          .as("r"),
      )
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .executeTakeFirstOrThrow();
    return count;
  }

  /** Those of which no event says yet that they are unresolved. */
  async listUnnoted(limit: number): Promise<StoredExecution[]> {
    return await unresolved(this.db).where("r.noted_at", "is", null).limit(limit).execute();
  }

  /**
   * Records that executions are unresolved, each by an event about its decision, but not of those that have such an event already, have
   * an outcome, or are being changed right now. @returns how many
   */
  async noteUnresolved(events: readonly HashedEvent[]): Promise<number> {
    return (await NOTE.execute(this.db, { json: JSON.stringify(events.map(eventJson)) })).length;
  }

  /** Records one outcome. False if the execution has one already. */
  async resolve(entry: EndEntry): Promise<boolean> {
    return (await this.endBatch([entry])).size > 0;
  }

  /**
   * Commits starts, each with its event, of those decisions that hold their claim, were not started, and whose key no guard has
   * started. @returns what was written, by its event's id
   */
  async startBatch(entries: readonly StartEntry[]): Promise<ReadonlyMap<string, true>> {
    const json = JSON.stringify(entries.map(startJson));
    return await commitBatch(
      async () => writtenOf(await START.execute(this.db, { json })),
      (cause) => this.#readBack(STARTED, entries, cause),
    );
  }

  /** The same with outcomes. */
  async endBatch(entries: readonly EndEntry[]): Promise<ReadonlyMap<string, true>> {
    const json = JSON.stringify(entries.map(endJson));
    return await commitBatch(
      async () => writtenOf(await END.execute(this.db, { json })),
      (cause) => this.#readBack(ENDED, entries, cause),
    );
  }

  /**
   * The connection was lost in mid-statement. The batch is atomic, so one id found means that all were written that came first;
   * none found means nothing, as the server may still be at it.
   */
  async #readBack(
    written: typeof STARTED,
    entries: readonly Pick<StartEntry | EndEntry, "event">[],
    cause: SqlError,
  ): Promise<ReadonlyMap<string, true>> {
    const decisionIds = arrayLiteral(entries.map(({ event }) => event.row.decisionId));
    const eventIds = arrayLiteral(entries.map(({ event }) => event.row.eventId));
    const rows = await written.execute(this.db, { decisionIds, eventIds }).catch(() => []);
    if (rows.length === 0) throw new CommitUnknown(cause.message, { cause });
    return idsOf(rows);
  }
}

/** Executions with how they ended, and what their decisions say besides. */
function executions(db: Kysely<Schema>) {
  return endedExecutions(db)
    .leftJoin("audit_decisions as d", (join) =>
      join.onRef("d.decision_id", "=", "e.decision_id").onRef("d.recorded_at", "=", "e.recorded_at"),
    )
    .select(["d.principal", "d.session_id as sessionId"]);
}

/** Executions with how they ended. */
export function endedExecutions(db: Kysely<Schema>) {
  return db.selectFrom("executions as e").select((eb) => [
    "e.decision_id as decisionId",
    "e.execution_id as executionId",
    "e.agent_id as agentId",
    "e.tool",
    "e.idempotency_key as idempotencyKey",
    "e.nonce",
    "e.started_at as startedAt",
    "e.started_by as startedBy",
    "e.report_due_at as reportDueAt",
    "e.source",
    jsonObjectFrom(
      eb
        .selectFrom("execution_outcomes as o")
        .select([
          "o.outcome",
          micros("o.ended_at").as("endedAt"),
          "o.error_code as errorCode",
          "o.duration_ms as durationMs",
          "o.summary",
          "o.reported_by as reportedBy",
          "o.resolved_by as resolvedBy",
          "o.comment",
        ])
        .whereRef("o.decision_id", "=", "e.decision_id"),
    ).as("end"),
  ]);
}

/** The longest overdue first. */
function unresolved(db: Kysely<Schema>) {
  return executions(db)
    .innerJoin("execution_reports_due as r", "r.decision_id", "e.decision_id")
    .where("r.report_due_at", "<=", NOW)
    .orderBy("r.report_due_at")
    .orderBy("r.decision_id");
}

// Each id on its own, by the index: compared with a whole array, new executions cost a scan of all until they are analyzed.
const FIND = prepared(({ decisionIds }: { decisionIds: string }, db) =>
  db
    .selectFrom(wantedIds(decisionIds))
    .innerJoinLateral(
      () => endedExecutions(db).whereRef("e.decision_id", "=", sql.ref("wanted.id")).limit(1).as("found"),
      (join) => join.onTrue(),
    )
    .selectAll("found"),
);

// Each id on its own, by both indexes: joined as sets, new decisions cost a scan of all claims until they are analyzed.
const FIND_DECISIONS = prepared(({ decisionIds }: { decisionIds: string }, db) =>
  db
    .selectFrom(wantedIds(decisionIds))
    .innerJoinLateral(
      (from) =>
        from.selectFrom("audit_decisions").selectAll().whereRef("decision_id", "=", "wanted.id").limit(1).as("d"),
      (join) => join.onTrue(),
    )
    .leftJoinLateral(
      (from) =>
        from
          .selectFrom("idempotency_claims")
          .select(["request_digest", "expires_at"])
          .whereRef("agent_id", "=", "d.agent_id")
          .whereRef("idempotency_key", "=", "d.idempotency_key")
          .whereRef("decision_id", "=", "d.decision_id")
          .where("expires_at", ">", NOW)
          .limit(1)
          .as("c"),
      (join) => join.onTrue(),
    )
    .select([
      "d.decision_id as decisionId",
      "d.recorded_at as recordedAt",
      "d.source",
      "d.agent_id as agentId",
      "d.tool",
      "d.idempotency_key as idempotencyKey",
      "d.reason",
      "d.message",
      "d.rule_id as ruleId",
      "d.policy_version as policyVersion",
      "d.decided_at as decidedAt",
      "d.linked_decision_id as linkedDecisionId",
      "c.request_digest as requestDigest",
      "c.expires_at as expiresAt",
      (eb) =>
        eb
          .selectFrom("executions as g")
          .select("g.decision_id")
          .whereRef("g.agent_id", "=", "d.agent_id")
          .whereRef("g.idempotency_key", "=", "d.idempotency_key")
          .where("g.source", "=", sql.lit("guard"))
          .where("g.recorded_at", ">", sql<StoredTime>`${NOW} - interval '24 hours'`)
          .limit(1)
          .as("bypassedDecisionId"),
    ]),
);

/** A row for each id of an array literal. */
function wantedIds(ids: string) {
  return sql<{ id: string }>`unnest(${ids}::text::uuid[])`.as<"wanted">(sql`wanted(id)`);
}

/** The columns of a batch's input, as its JSON has them, beside those of an event. */
export function inputOf(json: string, columns: readonly { readonly name: string; readonly type: string }[]) {
  const definitions = [...columns, ...EVENT_INPUTS].map(({ name, type }) => sql`${sql.id(name)} ${sql.raw(type)}`);
  return sql`SELECT * FROM json_to_recordset(${json}::text::json) AS t(${sql.join(definitions)})`;
}

/** What a start says besides its event. */
export const START_INPUTS = [
  { name: "recorded_at", type: "bigint" },
  { name: "tool", type: "text" },
  { name: "idempotency_key", type: "text" },
  { name: "nonce", type: "bytea" },
  { name: "started_by", type: "text" },
  { name: "report_due_at", type: "bigint" },
] as const;

/** The values of {@link START_INPUTS} and of the event. */
export function startJson({ execution, recordedAt, event }: StartEntry): object {
  return {
    recorded_at: recordedAt,
    tool: execution.tool,
    idempotency_key: execution.idempotencyKey,
    nonce: bytea(execution.nonce),
    started_by: execution.startedBy,
    report_due_at: execution.reportDueAt,
    ...eventJson(event),
  };
}

/** A start's event has its execution's id, its decision, its agent, and its time: they are not sent twice. */
const OF_EVENT = sql`event_event_id AS execution_id, event_decision_id AS decision_id, event_subject AS agent_id,
    event_recorded_at AS started_at`;

interface WrittenId {
  readonly id: string;
}

/** All ids in one row: each row of a result costs more than its id. */
interface WrittenIds {
  readonly ids: string | null;
}

// INVARIANT: an event of a start is written if and only if this same statement made the start.
const START = prepared(
  ({ json }: { json: string }) => sql<WrittenIds>`
WITH input AS (SELECT *, ${OF_EVENT} FROM (${inputOf(json, START_INPUTS)}) AS given), started AS (
  INSERT INTO executions (decision_id, execution_id, recorded_at, agent_id, tool, idempotency_key, nonce, started_at, started_by,
    report_due_at)
  SELECT decision_id, execution_id, ${atColumn(sql`recorded_at`)}, agent_id, tool, idempotency_key, nonce,
    ${atColumn(sql`started_at`)}, started_by, ${atColumn(sql`report_due_at`)}
  -- All batches take their locks in one order, so they do not deadlock.
  FROM input
  -- What was found of the decision may have changed since. Subselects with a limit are looked up by index for each row.
  WHERE (SELECT true FROM idempotency_claims c
      WHERE c.agent_id = input.agent_id AND c.idempotency_key = input.idempotency_key AND c.decision_id = input.decision_id
        AND c.expires_at > ${NOW} LIMIT 1)
    AND (SELECT true FROM executions g
      WHERE g.agent_id = input.agent_id AND g.idempotency_key = input.idempotency_key AND g.source = 'guard'
        AND g.recorded_at > ${NOW} - interval '24 hours' LIMIT 1) IS NULL
  ORDER BY decision_id
  ON CONFLICT (decision_id) DO NOTHING
  RETURNING decision_id, execution_id, report_due_at
), due AS (
  INSERT INTO execution_reports_due (decision_id, report_due_at) SELECT decision_id, report_due_at FROM started
), recorded AS (
  ${insertEvents(sql`FROM input WHERE execution_id IN (SELECT execution_id FROM started)`)}
)
SELECT string_agg(execution_id::text, ',') AS ids FROM started`,
);

export const END_INPUTS = [
  { name: "decision_id", type: "uuid" },
  { name: "outcome", type: "text" },
  { name: "ended_at", type: "bigint" },
  { name: "error_code", type: "text" },
  { name: "duration_ms", type: "bigint" },
  { name: "summary", type: "text" },
  { name: "reported_by", type: "text" },
  { name: "resolved_by", type: "text" },
  { name: "comment", type: "text" },
] as const;

export function endJson({ execution, end, event }: EndEntry): object {
  return {
    decision_id: execution.decisionId,
    outcome: end.outcome,
    ended_at: end.endedAt,
    error_code: end.errorCode,
    duration_ms: end.durationMs,
    summary: end.summary,
    reported_by: end.reportedBy,
    resolved_by: end.resolvedBy,
    comment: end.comment,
    ...eventJson(event),
  };
}

// INVARIANT: an event of an outcome is written if and only if this same statement made the outcome.
const END = prepared(
  ({ json }: { json: string }) => sql<WrittenIds>`
WITH input AS (${inputOf(json, END_INPUTS)}), ended AS (
  INSERT INTO execution_outcomes (decision_id, event_id, outcome, ended_at, error_code, duration_ms, summary, reported_by,
    resolved_by, comment)
  SELECT decision_id, event_event_id, outcome, ${atColumn(sql`ended_at`)}, error_code, duration_ms, summary, reported_by,
    resolved_by, comment
  FROM input ORDER BY decision_id
  ON CONFLICT (decision_id) DO NOTHING
  RETURNING decision_id, event_id
), settled AS (
  DELETE FROM execution_reports_due WHERE decision_id = ANY (ARRAY(SELECT decision_id FROM ended))
), recorded AS (
  ${insertEvents(sql`FROM input WHERE event_event_id IN (SELECT event_id FROM ended)`)}
)
SELECT string_agg(event_id::text, ',') AS ids FROM ended`,
);

// INVARIANT: an event is written if and only if this same statement noted its execution.
const NOTE = prepared(
  ({ json }: { json: string }) => sql<WrittenId>`
WITH input AS (${inputOf(json, [])}), unnoted AS (
  SELECT decision_id FROM execution_reports_due
  WHERE decision_id = ANY (ARRAY(SELECT event_decision_id FROM input)) AND noted_at IS NULL AND report_due_at <= ${NOW}
  -- Another replica notes them, or a batch of outcomes deletes them: to wait for either could deadlock.
  FOR UPDATE SKIP LOCKED
), noted AS (
  UPDATE execution_reports_due SET noted_at = ${NOW} WHERE decision_id = ANY (ARRAY(SELECT decision_id FROM unnoted))
  RETURNING decision_id
), recorded AS (
  ${insertEvents(sql`FROM input WHERE event_decision_id IN (SELECT decision_id FROM noted)`)}
)
SELECT decision_id AS id FROM noted`,
);

/** Array literals. */
interface ReadBack {
  readonly decisionIds: string;
  readonly eventIds: string;
}

const STARTED = prepared(({ decisionIds, eventIds }: ReadBack, db) =>
  db
    .selectFrom("executions")
    .select("execution_id as id")
    .where("decision_id", "=", sql<string>`ANY (${decisionIds}::text::uuid[])`)
    .where("execution_id", "=", sql<string>`ANY (${eventIds}::text::uuid[])`),
);

const ENDED = prepared(({ decisionIds, eventIds }: ReadBack, db) =>
  db
    .selectFrom("execution_outcomes")
    .select("event_id as id")
    .where("decision_id", "=", sql<string>`ANY (${decisionIds}::text::uuid[])`)
    .where("event_id", "=", sql<string>`ANY (${eventIds}::text::uuid[])`),
);

function idsOf(rows: readonly WrittenId[]): ReadonlyMap<string, true> {
  return new Map(rows.map(({ id }) => [id, true]));
}

function writtenOf([row]: readonly WrittenIds[]): ReadonlyMap<string, true> {
  return new Map(row?.ids?.split(",").map((id) => [id, true]));
}
