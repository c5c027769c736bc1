import type { Kysely } from "kysely";
import type { CircuitCommand } from "../admin/circuits.ts";
import type { HashedEvent } from "../audit/row/event.ts";
import { insertEvent } from "./events.ts";
import type { Schema } from "./schema.ts";
import { at, prepared } from "./dialect/statements.ts";

/** Operators' commands to circuits. Each is committed together with the event that tells of it. */
export class SqlCircuitCommands {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  /** Null if there never was one. */
  async newest(agentId: string): Promise<CircuitCommand | null> {
    const [command] = await this.list(agentId, 1);
    return command ?? null;
  }

  /** Newest first. */
  async list(agentId: string, limit: number): Promise<CircuitCommand[]> {
    return await LIST.execute(this.#db, { agentId, limit });
  }

  /** False if its epoch was taken by another in the meantime. */
  async add({ agentId, issuedAt, expiresAt, ...command }: CircuitCommand, event: HashedEvent): Promise<boolean> {
    const added = await this.#db
      .with("added", (db) =>
        db
          .insertInto("circuit_commands")
          .values({
            ...command,
            agent_id: agentId,
            issued_at: at(issuedAt),
            expires_at: expiresAt === null ? null : at(expiresAt),
          })
          .onConflict((conflict) => conflict.doNothing())
          .returning("epoch"),
      )
      .with("recorded", () => insertEvent(event, "added"))
      .selectFrom("added")
      .select("epoch")
      .execute();
    return added.length > 0;
  }
}

const LIST = prepared(({ agentId, limit }: { agentId: string; limit: number }, db) =>
  db
    .selectFrom("circuit_commands")
    .select([
      "agent_id as agentId",
      "epoch",
      "kind",
      "operator",
      "reason",
      "issued_at as issuedAt",
      "expires_at as expiresAt",
    ])
    .where("agent_id", "=", agentId)
    .orderBy("epoch", "desc")
    .limit(limit),
);
