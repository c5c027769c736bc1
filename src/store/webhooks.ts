import { type ExpressionBuilder, type Kysely, type NotNull, sql, type UpdateObject } from "kysely";
import type { HashedEvent } from "../audit/row/event.ts";
import type { Micros } from "../core/clock.ts";
import type { Leased, Outbox } from "../webhook/deliverer.ts";
import type { Source } from "../webhook/message.ts";
import { changeWithEvent } from "./events.ts";
import { Repository } from "./repository.ts";
import type { Schema, StoredTime } from "./schema.ts";
import { at, lasting, NOW, prepared } from "./dialect/statements.ts";

/** A message that the webhook has not taken. */
export interface WaitingMessage {
  readonly sequence: number;
  /** Of the row that it is about. */
  readonly sourceId: string;
  readonly type: string;
  readonly subject: string;
  readonly state: "pending" | "dead";
  readonly attempts: number;
  /** What went wrong last, or null. */
  readonly problem: string | null;
  readonly createdAt: Micros;
  readonly dueAt: Micros;
}

export interface MessageFilter {
  /** Null for all. */
  readonly state: WaitingMessage["state"] | null;
  /** Only messages with a lower number; null for the newest. */
  readonly before: number | null;
  readonly limit: number;
}

/** What is known of messages that wait, and of those that were given up. */
export interface OutboxFigures {
  readonly pending: number;
  readonly dead: number;
  /** Age of the oldest that waits; 0 if none does. */
  readonly oldestSeconds: number;
}

/** Messages for the webhook, which triggers on the trail have noted. */
export class SqlOutbox extends Repository implements Outbox {
  async lease(limit: number, leaseMs: number): Promise<Leased[]> {
    const leased = await LEASE.execute(this.db, { limit, lease: leaseMs * 1000 });
    return leased.toSorted((a, b) => a.sequence - b.sequence);
  }

  async source({ source, sourceId, recordedAt }: Leased): Promise<Source | null> {
    if (source === "event") {
      const [event] = await eventSource(this.db, sourceId, recordedAt).execute();
      return event === undefined ? null : { ...event, kind: source };
    }
    const [decision] = await decisionSource(this.db, sourceId, recordedAt).execute();
    return decision === undefined ? null : { ...decision, kind: source };
  }

  async delivered(message: Leased): Promise<void> {
    await this.db.deleteFrom("webhook_messages").where(held(message)).execute();
  }

  async postpone(message: Leased, waitMs: number, problem: string): Promise<void> {
    await this.#change(message, {
      due_at: sql<StoredTime>`now() + ${lasting(waitMs * 1000)}`,
      problem: excerpt(problem),
    });
  }

  async bury(message: Leased, problem: string): Promise<void> {
    await this.#change(message, { state: "dead", problem: excerpt(problem) });
  }

  /** Newest first. */
  async list({ state, before, limit }: MessageFilter): Promise<WaitingMessage[]> {
    let query = this.db.selectFrom("webhook_messages").select(WAITING);
    if (state !== null) query = query.where("state", "=", state);
    if (before !== null) query = query.where("sequence", "<", before);
    return await query.orderBy("sequence", "desc").limit(limit).execute();
  }

  /** Makes a message due now, for another three days, and records the event with it; null if there is none. */
  async retry(sourceId: string, event: HashedEvent): Promise<WaitingMessage | null> {
    const [message] = await changeWithEvent(this.db, event, (db) =>
      db
        .updateTable("webhook_messages")
        // `attempts` stays: it is the fencing token of a deliverer that still has the message, once another one leases it.
        .set({ state: "pending", created_at: NOW, due_at: NOW })
        .where("source_id", "=", sourceId)
        .returning(WAITING),
    );
    return message ?? null;
  }

  async figures(): Promise<OutboxFigures> {
    return await this.db
      .selectFrom("webhook_messages")
      .select(({ fn }) => [
        fn.countAll<number>().filterWhere("state", "=", "pending").as("pending"),
        fn.countAll<number>().filterWhere("state", "=", "dead").as("dead"),
        sql<number>`coalesce(extract(epoch from now() - min(created_at) FILTER (WHERE state = 'pending')), 0)`.as(
          "oldestSeconds",
        ),
      ])
      .executeTakeFirstOrThrow();
  }

  /** Removes what nobody will ask for any more: also what nobody tries, because there is no webhook. */
  async purge(): Promise<void> {
    await PURGE.execute(this.db);
  }

  async #change(message: Leased, change: UpdateObject<Schema, "webhook_messages">): Promise<void> {
    await this.db.updateTable("webhook_messages").set(change).where(held(message)).execute();
  }
}

/** After so many failed attempts, some five minutes, a message does not hold up those about the same subject any more. */
const HOLDS_UP = sql.lit(6);

// No two replicas lease the same message: SKIP LOCKED passes over what another one is leasing, and due_at over what it has.
const LEASE = prepared(
  ({ limit, lease }: { limit: number; lease: Micros }) => sql<Leased>`
WITH due AS (
  SELECT sequence FROM webhook_messages m
  WHERE state = 'pending' AND due_at <= now() AND NOT EXISTS (
    SELECT FROM webhook_messages earlier WHERE earlier.state = 'pending' AND earlier.subject = m.subject
      AND earlier.sequence < m.sequence AND earlier.attempts < ${HOLDS_UP})
  ORDER BY due_at, sequence LIMIT ${limit}::int FOR UPDATE SKIP LOCKED
)
UPDATE webhook_messages m SET attempts = attempts + 1, due_at = now() + ${lasting(lease)}
FROM due WHERE m.sequence = due.sequence
RETURNING m.sequence, m.type, m.source, m.source_id AS "sourceId", m.recorded_at AS "recordedAt", m.attempts AS attempt,
  (extract(epoch from now() - m.created_at) * 1000)::bigint AS "ageMs"`,
);

/** Still leased by who leased it then. */
function held({ sequence, attempt }: Leased) {
  return (eb: ExpressionBuilder<Schema, "webhook_messages">) => eb.and({ sequence, attempts: attempt });
}

function eventSource(db: Kysely<Schema>, id: string, recordedAt: Micros) {
  return db
    .selectFrom("audit_events")
    .select(["actor", "subject", "decision_id as decisionId", "recorded_at as recordedAt", "detail"])
    .where("event_id", "=", id)
    .where("recorded_at", "=", at(recordedAt));
}

function decisionSource(db: Kysely<Schema>, id: string, recordedAt: Micros) {
  return (
    db
      .selectFrom("audit_decisions as d")
      .leftJoin("audit_payloads as p", (join) =>
        join.onRef("p.decision_id", "=", "d.decision_id").onRef("p.recorded_at", "=", "d.recorded_at"),
      )
      .leftJoin("reviews as r", "r.review_id", "d.review_id")
      .select((eb) => [
        "d.decision_id as decisionId",
        "d.linked_decision_id as linkedDecisionId",
        "d.review_id as reviewId",
        "d.agent_id as agentId",
        "d.tool",
        "d.decision",
        "d.reason",
        "d.message",
        "d.rule_id as ruleId",
        "d.policy_version as policyVersion",
        "d.recorded_at as recordedAt",
        "p.canonical as payload",
        eb
          .case("d.reason")
          .when("REVIEW_PENDING")
          .then(eb.ref("r.expires_at"))
          .when("REVIEW_APPROVED")
          .then(eb.ref("r.approval_expires_at"))
          .end()
          .as("expiresAt"),
      ])
      .where("d.decision_id", "=", id)
      .where("d.recorded_at", "=", at(recordedAt))
      // Decisions without a review are no messages.
      .$narrowType<{ reviewId: NotNull }>()
  );
}

const WAITING = [
  "sequence",
  "source_id as sourceId",
  "type",
  "subject",
  "state",
  "attempts",
  "problem",
  "created_at as createdAt",
  "due_at as dueAt",
] as const;

const PURGE = sql`
DELETE FROM webhook_messages WHERE sequence = ANY (ARRAY(
  SELECT sequence FROM webhook_messages
  WHERE created_at < now() - CASE state WHEN 'dead' THEN interval '30 days' ELSE interval '7 days' END
  LIMIT 5000 FOR UPDATE SKIP LOCKED))`;

function excerpt(problem: string): string {
  return problem.slice(0, 200).toWellFormed();
}
