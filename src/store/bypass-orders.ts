import { type Kysely, sql } from "kysely";
import type { GrantView, StoredBypassOrder } from "../core/bypass-order.ts";
import type { Micros } from "../core/clock.ts";
import type { HashedEvent } from "../audit/row/event.ts";
import { insertEvent } from "./events.ts";
import { Repository } from "./repository.ts";
import type { Schema } from "./schema.ts";
import { at, prepared } from "./dialect/statements.ts";

/** Bypass orders: grants, and the revocations that end them (table `circuit_orders`). Each is committed together with its event. */
export class SqlBypassOrders extends Repository {
  /** The agent's newest order, whether or not it has expired; null if there never was one. */
  async newest(agentId: string): Promise<StoredBypassOrder | null> {
    const [order] = await NEWEST.execute(this.db, { agentId });
    return order === undefined ? null : orderOf(order);
  }

  /** Each agent's newest order, of those that have not expired. */
  async live(now: Micros): Promise<StoredBypassOrder[]> {
    const orders = await liveOrders(this.db, now).select(COLUMNS).execute();
    return orders.map(orderOf);
  }

  /**
   * Adds an order. False if its epoch was taken by another in the meantime, or, for a grant, if the agent is not active: the
   * agent's row is locked, so that a freeze comes before or after, not in between.
   */
  async add(order: StoredBypassOrder, event: HashedEvent): Promise<boolean> {
    const tools = order.tools === "*" ? null : JSON.stringify(order.tools);
    const { rows } = await sql`
WITH agent AS (
  SELECT agent_id FROM agents
  WHERE agent_id = ${order.agentId} AND (${order.grantId}::text IS NULL OR state = 'active') FOR UPDATE
), added AS (
  INSERT INTO circuit_orders (agent_id, epoch, grant_id, tools, operator, reason, issued_at, expires_at, token)
  SELECT agent_id, ${order.epoch}::bigint, ${order.grantId}::text::uuid, ${tools}::text, ${order.operator}::text,
    ${order.reason}::text, ${at(order.issuedAt)}, ${at(order.expiresAt)}, ${order.token}::text FROM agent
  ON CONFLICT DO NOTHING RETURNING epoch
), recorded AS (${insertEvent(event, "added")})
SELECT epoch FROM added`.execute(this.db);
    return rows.length > 0;
  }

  /** Grants, newest first: those issued before `before`, or then with a lower id; only those in force at `now` unless `past`. */
  async listGrants(filter: {
    agentId: string | null;
    past: boolean;
    before: { readonly at: Micros; readonly id: string } | null;
    now: Micros;
    limit: number;
  }): Promise<GrantView[]> {
    const { agentId, before } = filter;
    let grants = this.db
      .selectFrom("circuit_orders as o")
      .leftJoinLateral(
        (eb) =>
          eb
            .selectFrom("circuit_orders as later")
            .select(["later.epoch", "later.issued_at", "later.operator", "later.reason"])
            .whereRef("later.agent_id", "=", "o.agent_id")
            .whereRef("later.epoch", ">", "o.epoch")
            .orderBy("later.epoch")
            .limit(1)
            .as("next"),
        (join) => join.onTrue(),
      )
      .select(COLUMNS)
      .select(["next.issued_at as endedAt", "next.operator as endedBy", "next.reason as endedBecause"])
      .where("o.grant_id", "is not", null)
      .orderBy("o.issued_at", "desc")
      .orderBy("o.grant_id", "desc")
      .limit(filter.limit);
    if (agentId !== null) grants = grants.where("o.agent_id", "=", agentId);
    if (before !== null)
      grants = grants.where((eb) =>
        eb(eb.refTuple("o.issued_at", "o.grant_id"), "<", eb.tuple(at(before.at), before.id)),
      );
    if (!filter.past) grants = grants.where("next.epoch", "is", null).where("o.expires_at", ">", at(filter.now));
    const rows = await grants.execute();
    return rows.map(({ endedAt, endedBy, endedBecause, ...order }) => ({
      order: orderOf(order),
      endedAt,
      endedBy,
      endedBecause,
    }));
  }
}

/** Of `circuit_orders as o`. */
const COLUMNS = [
  "o.agent_id as agentId",
  "o.epoch",
  "o.grant_id as grantId",
  "o.tools",
  "o.operator",
  "o.reason",
  "o.issued_at as issuedAt",
  "o.expires_at as expiresAt",
  "o.token",
] as const;

const NEWEST = prepared(({ agentId }: { agentId: string }, db) =>
  db
    .selectFrom("circuit_orders as o")
    .select(COLUMNS)
    .where("o.agent_id", "=", agentId)
    .orderBy("o.epoch", "desc")
    .limit(1),
);

/** Each agent's newest order, as `o`, of those that have not expired. */
export function liveOrders(db: Kysely<Schema>, now: Micros) {
  return db
    .selectFrom("circuit_orders as o")
    .where("o.expires_at", ">", at(now))
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom("circuit_orders as later")
            .whereRef("later.agent_id", "=", "o.agent_id")
            .whereRef("later.epoch", ">", "o.epoch"),
        ),
      ),
    );
}

function orderOf<Row extends { tools: string | null }>(order: Row): Row & { tools: string[] | "*" } {
  return { ...order, tools: order.tools === null ? "*" : (JSON.parse(order.tools) as string[]) };
}
