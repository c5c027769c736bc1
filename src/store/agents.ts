import { type Kysely, type QueryCreator, sql } from "kysely";
import { jsonArrayFrom, jsonObjectFrom } from "kysely/helpers/postgres";
import type { AgentState, DirectoryChanges, DirectoryStore } from "../authn/directory.ts";
import type { HashedEvent } from "../audit/row/event.ts";
import type { Micros } from "../core/clock.ts";
import { insertEvent } from "./events.ts";
import type { Schema } from "./schema.ts";
import { micros, NOW, prepared } from "./dialect/statements.ts";

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
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  async changesSince(since: number): Promise<DirectoryChanges> {
    const [changes] = await CHANGES.execute(this.#db, { since });
    if (changes === undefined) throw new Error("directory_version has no row");
    const keys = changes.keys.map((key) => ({ ...key, secretHash: Buffer.from(key.secretHash, "hex") }));
    return { ...changes, keys };
  }

  /** @returns the agent, or null if there is one of that id already */
  async create(agentId: string, key: NewKey | null, event: HashedEvent): Promise<AgentListing | null> {
    const made = await this.#db
      .with("changing", nextVersion)
      .with("made", (db) =>
        db
          .insertInto("agents")
          .columns(["agent_id", "state", "changed"])
          .expression((eb) =>
            eb.selectFrom("changing").select([eb.val(agentId).as("agent_id"), eb.val("active").as("state"), "version"]),
          )
          .onConflict((conflict) => conflict.column("agent_id").doNothing())
          .returning(["agent_id", "changed"]),
      )
      .with("keyed", (db) =>
        db
          .insertInto("agent_keys")
          .columns(["key_id", "agent_id", "secret_hash", "changed"])
          .expression((eb) =>
            eb
              .selectFrom("made")
              .select([
                eb.val(key?.keyId ?? null).as("key_id"),
                "agent_id",
                eb.val(key?.secretHash ?? null).as("secret_hash"),
                "changed",
              ])
              .where(eb.lit(key !== null)),
          ),
      )
      .with("recorded", () => insertEvent(event, "made"))
      .selectFrom("made")
      .select("agent_id")
      .execute();
    return made.length === 0 ? null : await this.find(agentId);
  }

  /** @returns whether it was added: not if the agent is revoked, or no place was free at that moment */
  async addKey(agentId: string, key: NewKey, event: HashedEvent): Promise<boolean> {
    const made = await this.#db
      .with("changing", nextVersion)
      // The agent's row is changed too, so that this waits for a revocation that is under way.
      .with("agent", (db) =>
        db
          .updateTable("agents")
          .from("changing")
          .set((eb) => ({ changed: eb.ref("changing.version") }))
          .where("agents.agent_id", "=", agentId)
          .where("agents.state", "<>", "revoked")
          .returning(["agents.agent_id", "agents.changed"]),
      )
      .with("free", (db) =>
        db
          .selectFrom(sql<{ place: number }>`generate_series(1, 2)`.as<"places">(sql`places(place)`))
          .select("places.place")
          .where((eb) =>
            eb.not(
              eb.exists(
                eb
                  .selectFrom("agent_keys as used")
                  .whereRef("used.place", "=", "places.place")
                  .where("used.agent_id", "=", agentId)
                  .where("used.revoked_at", "is", null),
              ),
            ),
          )
          .orderBy("places.place")
          .limit(1),
      )
      .with("made", (db) =>
        db
          .insertInto("agent_keys")
          .columns(["key_id", "agent_id", "secret_hash", "changed", "place"])
          .expression((eb) =>
            eb
              .selectFrom(["agent", "free"])
              .select([
                eb.val(key.keyId).as("key_id"),
                "agent.agent_id",
                eb.val(key.secretHash).as("secret_hash"),
                "agent.changed",
                "free.place",
              ]),
          )
          .onConflict((conflict) => conflict.columns(["agent_id", "place"]).where("revoked_at", "is", null).doNothing())
          .returning("key_id"),
      )
      .with("recorded", () => insertEvent(event, "made"))
      .selectFrom("made")
      .select("key_id")
      .execute();
    return made.length > 0;
  }

  /** @returns whether it was revoked now: not if it was before, or is no key of this agent */
  async revokeKey(agentId: string, keyId: string, event: HashedEvent): Promise<boolean> {
    const revoked = await this.#db
      .with("changing", nextVersion)
      .with("made", (db) =>
        db
          .updateTable("agent_keys")
          .from("changing")
          .set((eb) => ({ revoked_at: NOW, changed: eb.ref("changing.version") }))
          .where("agent_id", "=", agentId)
          .where("key_id", "=", keyId)
          .where("revoked_at", "is", null)
          .returning("key_id"),
      )
      .with("recorded", () => insertEvent(event, "made"))
      .selectFrom("made")
      .select("key_id")
      .execute();
    return revoked.length > 0;
  }

  /** Whether it is, or was, a key of this agent. */
  async hasKey(agentId: string, keyId: string): Promise<boolean> {
    const found = await this.#db
      .selectFrom("agent_keys")
      .select("key_id")
      .where("key_id", "=", keyId)
      .where("agent_id", "=", agentId)
      .execute();
    return found.length > 0;
  }

  /** @returns the agent, or null if there is none of that id in one of the states `from` */
  async changeState(
    agentId: string,
    from: readonly AgentState[],
    to: AgentState,
    event: HashedEvent,
  ): Promise<AgentListing | null> {
    const changed = await this.#db
      .with("changing", nextVersion)
      .with("made", (db) =>
        db
          .updateTable("agents")
          .from("changing")
          .set((eb) => ({ state: to, changed: eb.ref("changing.version") }))
          .where("agent_id", "=", agentId)
          .where("state", "in", from)
          .returning("agent_id"),
      )
      .with("keyed", (db) =>
        db
          .updateTable("agent_keys")
          .from("changing")
          .set((eb) => ({ revoked_at: NOW, changed: eb.ref("changing.version") }))
          .where("agent_id", "=", (eb) => eb.selectFrom("made").select("made.agent_id"))
          .where("revoked_at", "is", null)
          .where((eb) => eb.lit(to === "revoked")),
      )
      .with("recorded", () => insertEvent(event, "made"))
      .selectFrom("made")
      .select("agent_id")
      .execute();
    return changed.length === 0 ? null : await this.find(agentId);
  }

  async find(agentId: string): Promise<AgentListing | null> {
    const [agent] = await listed(this.#db).where("agents.agent_id", "=", agentId).execute();
    return agent === undefined ? null : listingOf(agent);
  }

  /** By id, those after `after` whose id begins with `prefix`. */
  async list(prefix: string, after: string, limit: number): Promise<AgentListing[]> {
    const agents = await listed(this.#db)
      .where("agents.agent_id", ">", after)
      .where((eb) => eb.fn("starts_with", ["agents.agent_id", eb.val(prefix)]))
      .orderBy("agents.agent_id")
      .limit(limit)
      .execute();
    return agents.map(listingOf);
  }
}

export interface NewKey {
  readonly keyId: string;
  readonly secretHash: Uint8Array;
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

/** The first step of each change: it locks the version, so that changes commit in the order of their numbers. */
function nextVersion(db: QueryCreator<Schema>) {
  return db
    .updateTable("directory_version")
    .set((eb) => ({ version: eb("version", "+", 1) }))
    .returning("version");
}

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

function listingOf({ keys, freeze, ...agent }: Listed): AgentListing {
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
