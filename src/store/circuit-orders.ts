import type { StoredOrder } from "../core/stored-order.ts";
import type { Micros } from "../core/clock.ts";
import type { HashedEvent } from "../audit/row/event.ts";
import { type Database, microsOf, timestampOf } from "./database.ts";
import { eventParams, eventText } from "./event-text.ts";

/** A grant, and how it ended if it has. */
export interface GrantListing {
  readonly order: StoredOrder;
  /** When a later order replaced or revoked it; null while it is the newest. */
  readonly endedAt: Micros | null;
  readonly endedBy: string | null;
  readonly endedBecause: string | null;
}

/** Circuit-bypass orders. Each is committed together with the event that tells of it. */
export class SqlCircuitOrders {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The agent's newest order, whether or not it has expired; null if there never was one. */
  async newest(agentId: string): Promise<StoredOrder | null> {
    const [row] = await this.#database.query<OrderRow>(
      `SELECT ${ORDER} FROM circuit_orders o WHERE o.agent_id = $1 ORDER BY o.epoch DESC LIMIT 1`,
      [agentId],
      { name: "newest_order" },
    );
    return row === undefined ? null : orderOf(row);
  }

  /** Each agent's newest order, of those that have not expired. */
  async live(now: Micros): Promise<StoredOrder[]> {
    const rows = await this.#database.query<OrderRow>(LIVE, [String(now)]);
    return rows.map(orderOf);
  }

  /**
   * Adds an order. False if its epoch was taken by another in the meantime, or, for a grant, if the agent is not active: the
   * agent's row is locked, so that a freeze comes before or after, not in between.
   */
  async add(order: StoredOrder, event: HashedEvent): Promise<boolean> {
    const rows = await this.#database.query(ADD, [...orderParams(order), ...eventParams(event)]);
    return rows.length > 0;
  }

  /** Grants, newest first: those issued before `before`, or then with a lower id; only those in force at `now` unless `past`. */
  async listGrants(filter: {
    agentId: string | null;
    past: boolean;
    before: { readonly at: Micros; readonly id: string } | null;
    now: Micros;
    limit: number;
  }): Promise<GrantListing[]> {
    const rows = await this.#database.query<OrderRow & EndRow>(LIST, [
      filter.agentId,
      filter.past ? "yes" : "no",
      filter.before === null ? null : String(filter.before.at),
      String(filter.now),
      filter.limit,
      filter.before?.id ?? null,
    ]);
    return rows.map((row) => ({
      order: orderOf(row),
      endedAt: row.ended_at === null ? null : Number(row.ended_at),
      endedBy: row.ended_by,
      endedBecause: row.ended_because,
    }));
  }
}

interface OrderRow {
  readonly agent_id: string;
  readonly epoch: string;
  readonly grant_id: string | null;
  readonly tools: string | null;
  readonly operator: string;
  readonly reason: string;
  readonly issued_at: string;
  readonly expires_at: string;
  readonly token: string;
}

interface EndRow {
  readonly ended_at: string | null;
  readonly ended_by: string | null;
  readonly ended_because: string | null;
}

const ORDER = `o.agent_id, o.epoch::text, o.grant_id, o.tools, o.operator, o.reason,
  ${microsOf("o.issued_at")} AS issued_at, ${microsOf("o.expires_at")} AS expires_at, o.token`;

const ADD = `
WITH agent AS (
  SELECT agent_id FROM agents WHERE agent_id = $1 AND ($3::text IS NULL OR state = 'active') FOR UPDATE
), added AS (
  INSERT INTO circuit_orders (agent_id, epoch, grant_id, tools, operator, reason, issued_at, expires_at, token)
  SELECT agent_id, $2::bigint, $3::text::uuid, $4::text, $5::text, $6::text,
    ${timestampOf("$7::bigint")}, ${timestampOf("$8::bigint")}, $9::text FROM agent
  ON CONFLICT DO NOTHING RETURNING epoch
), told AS (${eventText(10, "FROM added")})
SELECT epoch FROM added`;

const LIVE = `
SELECT ${ORDER} FROM circuit_orders o WHERE o.expires_at > ${timestampOf("$1::bigint")}
  AND NOT EXISTS (SELECT FROM circuit_orders later WHERE later.agent_id = o.agent_id AND later.epoch > o.epoch)`;

const LIST = `
SELECT ${ORDER}, ${microsOf("next.issued_at")} AS ended_at, next.operator AS ended_by, next.reason AS ended_because
FROM circuit_orders o LEFT JOIN LATERAL (
  SELECT * FROM circuit_orders later WHERE later.agent_id = o.agent_id AND later.epoch > o.epoch ORDER BY later.epoch LIMIT 1
) next ON true
WHERE o.grant_id IS NOT NULL AND ($1::text IS NULL OR o.agent_id = $1::text)
  AND ($3::text IS NULL OR (o.issued_at, o.grant_id) < (${timestampOf("$3::text::bigint")}, $6::text::uuid))
  AND ($2::text = 'yes' OR (next.epoch IS NULL AND o.expires_at > ${timestampOf("$4::bigint")}))
ORDER BY o.issued_at DESC, o.grant_id DESC LIMIT $5`;

function orderParams(order: StoredOrder): (string | null)[] {
  return [
    order.agentId,
    String(order.epoch),
    order.grantId,
    order.tools === "*" ? null : JSON.stringify(order.tools),
    order.operator,
    order.reason,
    String(order.issuedAt),
    String(order.expiresAt),
    order.token,
  ];
}

function orderOf(row: OrderRow): StoredOrder {
  return {
    agentId: row.agent_id,
    epoch: Number(row.epoch),
    grantId: row.grant_id,
    tools: row.tools === null ? "*" : (JSON.parse(row.tools) as string[]),
    operator: row.operator,
    reason: row.reason,
    issuedAt: Number(row.issued_at),
    expiresAt: Number(row.expires_at),
    token: row.token,
  };
}
