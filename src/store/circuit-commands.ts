import type { HashedEvent } from "../audit/row/event.ts";
import { changeWithEvent } from "./events.ts";
import { Repository } from "./repository.ts";
import { at, prepared } from "./dialect/statements.ts";
import type { Micros } from "../core/clock.ts";

/** An operator's command to all guards of an agent. They apply the one with the highest epoch. */
export interface CircuitCommand {
  readonly agentId: string;
  readonly epoch: number;
  readonly kind: "force_open" | "reset";
  readonly operator: string;
  readonly reason: string;
  readonly issuedAt: Micros;
  /** Null if it lasts until the next command. */
  readonly expiresAt: Micros | null;
}

/** Operators' commands to circuits. Each is committed together with its event. */
export class SqlCircuitCommands extends Repository {
  /** Null if there never was one. */
  async newest(agentId: string): Promise<CircuitCommand | null> {
    const [command] = await this.list(agentId, 1);
    return command ?? null;
  }

  /** Newest first. */
  async list(agentId: string, limit: number): Promise<CircuitCommand[]> {
    return await LIST.execute(this.db, { agentId, limit });
  }

  /** False if its epoch was taken by another in the meantime. */
  async add({ agentId, issuedAt, expiresAt, ...command }: CircuitCommand, event: HashedEvent): Promise<boolean> {
    const times = { issued_at: at(issuedAt), expires_at: expiresAt === null ? null : at(expiresAt) };
    const added = await changeWithEvent(this.db, event, (db) =>
      db
        .insertInto("circuit_commands")
        .values({ ...command, agent_id: agentId, ...times })
        .onConflict((conflict) => conflict.doNothing())
        .returning("epoch"),
    );
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
