import type { AgentRecord, AgentState, DirectoryChanges, DirectoryStore, KeyRecord } from "../authn/directory.ts";
import type { EventRow } from "../audit/record.ts";
import type { Micros } from "../clock.ts";
import { arrayLiteral, type Database, microsOf } from "./database.ts";
import { eventParams, insertEvent } from "./events.ts";

/** An agent as operators see it. */
export interface AgentListing {
  readonly agentId: string;
  readonly state: AgentState;
  readonly createdAt: Micros;
  /** Of its keys that are not revoked. */
  readonly keyIds: readonly string[];
  /** What the trail tells of the freeze that it is under; null unless it is frozen, or if that month was retired. */
  readonly freeze: AgentFreeze | null;
}

export interface AgentFreeze {
  readonly by: string;
  readonly at: Micros;
  readonly reason: string;
}

/** Agents and their keys. Every change is committed together with the event that tells of it. */
export class SqlAgentStore implements DirectoryStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async changesSince(since: number): Promise<DirectoryChanges> {
    // One statement, so one snapshot: what is older than its version is all here.
    const [row] = await this.#database.query<ChangesRow>(CHANGES, [since], { name: "directory_changes" });
    if (row === undefined) throw new Error("directory_version has no row");
    const agents = JSON.parse(row.agents) as [string, AgentState][];
    const keys = JSON.parse(row.keys) as [string, string, string, boolean][];
    return {
      version: Number(row.version),
      now: Number(row.now),
      agents: agents.map(([agentId, state]): AgentRecord => ({ agentId, state })),
      keys: keys.map(([keyId, agentId, secretHash, revoked]): KeyRecord => {
        return { keyId, agentId, secretHash: Buffer.from(secretHash, "hex"), revoked };
      }),
    };
  }

  /** @returns the agent, or null if there is one of that id already */
  async create(agentId: string, key: NewKey | null, event: HashedEvent): Promise<AgentListing | null> {
    const keyed = [key?.keyId ?? null, key?.secretHash ?? null];
    const rows = await this.#database.query(CREATE, [agentId, ...keyed, ...eventParams(event)]);
    return rows.length === 0 ? null : await this.find(agentId);
  }

  /** @returns whether it was added: not if the agent is revoked, or no place was free at that moment */
  async addKey(agentId: string, key: NewKey, event: HashedEvent): Promise<boolean> {
    const rows = await this.#database.query(ADD_KEY, [agentId, key.keyId, key.secretHash, ...eventParams(event)]);
    return rows.length > 0;
  }

  /** @returns whether it was revoked now: not if it was before, or is no key of this agent */
  async revokeKey(agentId: string, keyId: string, event: HashedEvent): Promise<boolean> {
    return (await this.#database.query(REVOKE_KEY, [agentId, keyId, ...eventParams(event)])).length > 0;
  }

  /** Whether it is, or was, a key of this agent. */
  async hasKey(agentId: string, keyId: string): Promise<boolean> {
    const find = "SELECT key_id FROM agent_keys WHERE key_id = $1 AND agent_id = $2";
    return (await this.#database.query(find, [keyId, agentId])).length > 0;
  }

  /** @returns the agent, or null if there is none of that id in one of the states `from` */
  async changeState(
    agentId: string,
    from: readonly AgentState[],
    to: AgentState,
    event: HashedEvent,
  ): Promise<AgentListing | null> {
    const rows = await this.#database.query(CHANGE_STATE, [agentId, arrayLiteral(from), to, ...eventParams(event)]);
    return rows.length === 0 ? null : await this.find(agentId);
  }

  async find(agentId: string): Promise<AgentListing | null> {
    const [row] = await this.#database.query<AgentRow>(`${LIST} WHERE agent_id = $1`, [agentId]);
    return row === undefined ? null : listingOf(row);
  }

  /** By id, those after `after` whose id begins with `prefix`. */
  async list(prefix: string, after: string, limit: number): Promise<AgentListing[]> {
    const rows = await this.#database.query<AgentRow>(
      `${LIST} WHERE agent_id > $1 AND starts_with(agent_id, $2) ORDER BY agent_id LIMIT $3`,
      [after, prefix, limit],
    );
    return rows.map(listingOf);
  }
}

export interface NewKey {
  readonly keyId: string;
  readonly secretHash: Uint8Array;
}

export interface HashedEvent {
  readonly row: EventRow;
  readonly hash: Uint8Array;
}

interface ChangesRow {
  readonly version: string;
  readonly now: string;
  readonly agents: string;
  readonly keys: string;
}

interface AgentRow {
  readonly agent_id: string;
  readonly state: AgentState;
  readonly created_at: string;
  readonly key_ids: string;
  readonly freeze: string | null;
}

const CHANGES = `
SELECT version::text, ${microsOf("clock_timestamp()")} AS now,
  (SELECT coalesce(json_agg(json_build_array(agent_id, state)), '[]') FROM agents WHERE changed > $1::bigint)::text AS agents,
  (SELECT coalesce(json_agg(json_build_array(key_id, agent_id, encode(secret_hash, 'hex'), revoked_at IS NOT NULL)), '[]')
   FROM agent_keys WHERE changed > $1::bigint)::text AS keys
FROM directory_version`;

/** The first step of each change: it locks the version, so that changes commit in the order of their numbers. */
const NEXT_VERSION = "changing AS (UPDATE directory_version SET version = version + 1 RETURNING version)";

const CREATE = `
WITH ${NEXT_VERSION}, made AS (
  INSERT INTO agents (agent_id, state, changed) SELECT $1, 'active', version FROM changing
  ON CONFLICT (agent_id) DO NOTHING RETURNING agent_id, changed
), keyed AS (
  INSERT INTO agent_keys (key_id, agent_id, secret_hash, changed)
  SELECT $2::text, agent_id, $3::bytea, changed FROM made WHERE $2::text IS NOT NULL
), told AS (${insertEvent(4, "FROM made")})
SELECT agent_id FROM made`;

/** The agent's row is changed too, so that it waits for a revocation that is under way. */
const ADD_KEY = `
WITH ${NEXT_VERSION}, agent AS (
  UPDATE agents SET changed = version FROM changing WHERE agent_id = $1 AND state <> 'revoked' RETURNING agent_id, changed
), made AS (
  INSERT INTO agent_keys (key_id, agent_id, secret_hash, changed, place)
  SELECT $2, agent_id, $3::bytea, changed, free.place FROM agent, (
    SELECT place FROM generate_series(1, 2) place WHERE NOT EXISTS (
      SELECT FROM agent_keys used WHERE used.agent_id = $1 AND used.place = place.place AND used.revoked_at IS NULL
    ) ORDER BY place LIMIT 1
  ) free
  ON CONFLICT (agent_id, place) WHERE revoked_at IS NULL DO NOTHING RETURNING key_id
), told AS (${insertEvent(4, "FROM made")})
SELECT key_id FROM made`;

const REVOKE_KEY = `
WITH ${NEXT_VERSION}, made AS (
  UPDATE agent_keys SET revoked_at = now(), changed = version FROM changing
  WHERE agent_id = $1 AND key_id = $2 AND revoked_at IS NULL RETURNING key_id
), told AS (${insertEvent(3, "FROM made")})
SELECT key_id FROM made`;

const CHANGE_STATE = `
WITH ${NEXT_VERSION}, made AS (
  UPDATE agents SET state = $3, changed = version FROM changing
  WHERE agent_id = $1 AND state = ANY ($2::text::text[]) RETURNING agent_id
), keyed AS (
  UPDATE agent_keys SET revoked_at = now(), changed = version FROM changing
  WHERE agent_id = (SELECT agent_id FROM made) AND revoked_at IS NULL AND $3 = 'revoked'
), told AS (${insertEvent(4, "FROM made")})
SELECT agent_id FROM made`;

const LIST = `
SELECT agent_id, state, ${microsOf("created_at")} AS created_at,
  (SELECT coalesce(json_agg(key_id ORDER BY created_at), '[]') FROM agent_keys k
   WHERE k.agent_id = agents.agent_id AND revoked_at IS NULL)::text AS key_ids,
  (SELECT json_build_array(e.actor, ${microsOf("e.recorded_at")}, e.detail) FROM audit_events e
   WHERE agents.state = 'frozen' AND e.kind = 'agent.frozen' AND e.subject = agents.agent_id
   ORDER BY e.recorded_at DESC LIMIT 1)::text AS freeze
FROM agents`;

function listingOf(row: AgentRow): AgentListing {
  return {
    agentId: row.agent_id,
    state: row.state,
    createdAt: Number(row.created_at),
    keyIds: JSON.parse(row.key_ids) as string[],
    freeze: row.freeze === null ? null : freezeOf(row.freeze),
  };
}

function freezeOf(told: string): AgentFreeze {
  const [by, at, detail] = JSON.parse(told) as [string, string, string];
  return { by, at: Number(at), reason: reasonIn(detail) };
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
