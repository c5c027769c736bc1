import { type Kysely, type RawBuilder, sql } from "kysely";
import { jsonArrayFrom, jsonObjectFrom } from "kysely/helpers/postgres";
import type { HashedEvent } from "../audit/row/event.ts";
import type { AgentState, AgentView, DirectoryChanges, DirectoryStore, KeyRecord } from "../authn/directory.ts";
import type { Micros } from "../core/clock.ts";
import { micros, prepared } from "./dialect/statements.ts";
import { insertEvent } from "./events.ts";
import { Repository } from "./repository.ts";
import type { Schema } from "./schema.ts";

type NewKey = Pick<KeyRecord, "keyId" | "secretHash">;

/** Agents and their keys. Every change is committed together with its event. */
export class SqlAgentStore extends Repository implements DirectoryStore {
  async changesSince(since: number): Promise<DirectoryChanges> {
    const [changes] = await CHANGES.execute(this.db, { since });
    if (changes === undefined) throw new Error("directory_version has no row");
    const keys = changes.keys.map((key) => ({ ...key, secretHash: Buffer.from(key.secretHash, "hex") }));
    return { ...changes, keys };
  }

  /** @returns the agent, or null if there is one of that id already */
  async create(agentId: string, key: NewKey | null, event: HashedEvent): Promise<AgentView | null> {
    const made = await this.#change(
      event,
      sql`made AS (
  INSERT INTO agents (agent_id, state, changed) SELECT ${agentId}::text, 'active', version FROM changing
  ON CONFLICT (agent_id) DO NOTHING RETURNING agent_id, changed
), keyed AS (
  INSERT INTO agent_keys (key_id, agent_id, secret_hash, changed)
  SELECT ${key?.keyId ?? null}::text, agent_id, ${key?.secretHash ?? null}::bytea, changed FROM made
  WHERE ${sql.lit(key !== null)}
)`,
    );
    return made ? await this.find(agentId) : null;
  }

  /** @returns whether it was added: not if the agent is revoked, or no place was free at that moment */
  async addKey(agentId: string, key: NewKey, event: HashedEvent): Promise<boolean> {
    // The agent's row is changed too, so that this waits for a revocation that is under way.
    return await this.#change(
      event,
      sql`agent AS (
  UPDATE agents SET changed = version FROM changing
  WHERE agent_id = ${agentId} AND state <> 'revoked' RETURNING agent_id, changed
), free AS (
  SELECT place FROM generate_series(1, 2) AS places(place)
  WHERE NOT EXISTS (
    SELECT FROM agent_keys used WHERE used.place = places.place AND used.agent_id = ${agentId} AND used.revoked_at IS NULL)
  ORDER BY place LIMIT 1
), made AS (
  INSERT INTO agent_keys (key_id, agent_id, secret_hash, changed, place)
  SELECT ${key.keyId}::text, agent_id, ${key.secretHash}::bytea, changed, place FROM agent, free
  ON CONFLICT (agent_id, place) WHERE revoked_at IS NULL DO NOTHING RETURNING key_id
)`,
    );
  }

  /** @returns whether it was revoked now: not if it was before, or is no key of this agent */
  async revokeKey(agentId: string, keyId: string, event: HashedEvent): Promise<boolean> {
    return await this.#change(
      event,
      sql`made AS (
  UPDATE agent_keys SET revoked_at = now(), changed = version FROM changing
  WHERE agent_id = ${agentId} AND key_id = ${keyId} AND revoked_at IS NULL RETURNING key_id
)`,
    );
  }

  /** Whether it is, or was, a key of this agent. */
  async hasKey(agentId: string, keyId: string): Promise<boolean> {
    const keys = this.db.selectFrom("agent_keys").where("key_id", "=", keyId).where("agent_id", "=", agentId);
    return (await keys.select("key_id").executeTakeFirst()) !== undefined;
  }

  /** @returns the agent, or null if there is none of that id in one of the states `from` */
  async changeState(
    agentId: string,
    from: readonly AgentState[],
    to: AgentState,
    event: HashedEvent,
  ): Promise<AgentView | null> {
    const changed = await this.#change(
      event,
      sql`made AS (
  UPDATE agents SET state = ${to}, changed = version FROM changing
  WHERE agent_id = ${agentId} AND state IN (${sql.join(from)}) RETURNING agent_id
), keyed AS (
  UPDATE agent_keys SET revoked_at = now(), changed = version FROM changing
  WHERE agent_id = (SELECT agent_id FROM made) AND revoked_at IS NULL AND ${sql.lit(to === "revoked")}
)`,
    );
    return changed ? await this.find(agentId) : null;
  }

  async find(agentId: string): Promise<AgentView | null> {
    const [agent] = await listed(this.db).where("agents.agent_id", "=", agentId).execute();
    return agent === undefined ? null : viewOf(agent);
  }

  /** By id, those after `after` whose id begins with `prefix`. */
  async list(prefix: string, after: string, limit: number): Promise<AgentView[]> {
    const agents = await listed(this.db)
      .where("agents.agent_id", ">", after)
      .where((eb) => eb.fn("starts_with", ["agents.agent_id", eb.val(prefix)]))
      .orderBy("agents.agent_id")
      .limit(limit)
      .execute();
    return agents.map(viewOf);
  }

  /**
   * Changes what `made`, of `steps`, returns a row for, and records the event if it does. The version is locked first, so that changes
   * commit in the order of their numbers.
   */
  async #change(event: HashedEvent, steps: RawBuilder<unknown>): Promise<boolean> {
    const { rows } = await sql`
WITH changing AS (UPDATE directory_version SET version = version + 1 RETURNING version), ${steps},
  recorded AS (${insertEvent(event, "made")})
SELECT 1 FROM made`.execute(this.db);
    return rows.length > 0;
  }
}

// One statement, so one snapshot: what is older than its version is all there.
const CHANGES = prepared(({ since }: { since: number }, db) =>
  db.selectFrom("directory_version").select((eb) => [
    "version",
    sql<Micros>`clock_timestamp()`.as("now"),
    jsonArrayFrom(eb.selectFrom("agents").select(["agent_id as agentId", "state"]).where("changed", ">", since)).as(
      "agents",
    ),
    jsonArrayFrom(
      eb
        .selectFrom("agent_keys")
        .select([
          "key_id as keyId",
          "agent_id as agentId",
          sql<string>`encode(secret_hash, 'hex')`.as("secretHash"),
          sql<boolean>`revoked_at IS NOT NULL`.as("revoked"),
        ])
        .where("changed", ">", since),
    ).as("keys"),
  ]),
);

function listed(db: Kysely<Schema>) {
  return db.selectFrom("agents").select((eb) => [
    "agents.agent_id as agentId",
    "agents.state",
    "agents.created_at as createdAt",
    jsonArrayFrom(
      eb
        .selectFrom("agent_keys")
        .select("agent_keys.key_id as keyId")
        .whereRef("agent_keys.agent_id", "=", "agents.agent_id")
        .where("agent_keys.revoked_at", "is", null)
        .orderBy("agent_keys.created_at"),
    ).as("keys"),
    jsonObjectFrom(
      eb
        .selectFrom("audit_events")
        .select(["audit_events.actor as by", micros("audit_events.recorded_at").as("at"), "audit_events.detail"])
        .where("agents.state", "=", "frozen")
        // As in its index, which is of these alone.
        .where("audit_events.kind", "=", sql.lit("agent.frozen"))
        .whereRef("audit_events.subject", "=", "agents.agent_id")
        .orderBy("audit_events.recorded_at", "desc")
        .limit(1),
    ).as("freeze"),
  ]);
}

type Listed = Awaited<ReturnType<ReturnType<typeof listed>["execute"]>>[number];

function viewOf({ keys, freeze, ...agent }: Listed): AgentView {
  return {
    ...agent,
    keyIds: keys.map(({ keyId }) => keyId),
    freeze: freeze === null ? null : { by: freeze.by, at: freeze.at, reason: reasonIn(freeze.detail) },
  };
}

/** As it stands there, if somebody has changed it into what we never wrote: one forged row must not hide all agents. */
function reasonIn(detail: string): string {
  try {
    const { reason } = JSON.parse(detail) as { readonly reason?: unknown };
    return typeof reason === "string" ? reason : detail;
  } catch {
    return detail;
  }
}
