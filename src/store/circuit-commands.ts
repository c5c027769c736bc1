import type { CircuitCommand } from "../admin/circuits.ts";
import type { HashedEvent } from "../audit/row/event.ts";
import { type Database, microsOf, timestampOf } from "./database.ts";
import { eventParams, eventText } from "./event-text.ts";

/** Operators' orders about circuits. Each is committed together with the event that tells of it. */
export class SqlCircuitCommands {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Null if there never was one. */
  async newest(agentId: string): Promise<CircuitCommand | null> {
    const [row] = await this.#database.query<Row>(LIST, [agentId, 1], { name: "newest_circuit_command" });
    return row === undefined ? null : commandOf(row);
  }

  /** Newest first. */
  async list(agentId: string, limit: number): Promise<CircuitCommand[]> {
    const rows = await this.#database.query<Row>(LIST, [agentId, limit], { name: "newest_circuit_command" });
    return rows.map(commandOf);
  }

  /** False if its epoch was taken by another in the meantime. */
  async add(command: CircuitCommand, event: HashedEvent): Promise<boolean> {
    const { agentId, epoch, kind, operator, reason, issuedAt, expiresAt } = command;
    const rows = await this.#database.query(ADD, [
      agentId,
      String(epoch),
      kind,
      operator,
      reason,
      String(issuedAt),
      expiresAt === null ? null : String(expiresAt),
      ...eventParams(event),
    ]);
    return rows.length > 0;
  }
}

interface Row {
  readonly agent_id: string;
  readonly epoch: string;
  readonly kind: CircuitCommand["kind"];
  readonly operator: string;
  readonly reason: string;
  readonly issued_at: string;
  readonly expires_at: string | null;
}

const LIST = `
SELECT agent_id, epoch::text, kind, operator, reason,
  ${microsOf("issued_at")} AS issued_at, ${microsOf("expires_at")} AS expires_at
FROM circuit_commands c WHERE agent_id = $1 ORDER BY c.epoch DESC LIMIT $2::bigint`;

const ADD = `
WITH added AS (
  INSERT INTO circuit_commands (agent_id, epoch, kind, operator, reason, issued_at, expires_at)
  VALUES ($1, $2::bigint, $3, $4, $5, ${timestampOf("$6::bigint")}, ${timestampOf("$7::bigint")})
  ON CONFLICT DO NOTHING RETURNING epoch
), told AS (${eventText(8, "FROM added")})
SELECT epoch FROM added`;

function commandOf(row: Row): CircuitCommand {
  return {
    agentId: row.agent_id,
    epoch: Number(row.epoch),
    kind: row.kind,
    operator: row.operator,
    reason: row.reason,
    issuedAt: Number(row.issued_at),
    expiresAt: row.expires_at === null ? null : Number(row.expires_at),
  };
}
