import type { AccountChange, OperatorView } from "../admin/accounts.ts";
import type { Role } from "../admin/caller.ts";
import type { HashedEvent } from "../audit/row/event.ts";
import { type Database, microsOf, type SqlParam } from "./database.ts";
import { eventParams, eventText } from "./event-text.ts";

/** Operators with local accounts. Every change is committed together with the event that tells of it. */
export class SqlOperatorStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async create(name: string, role: Role, passwordHash: string, event: HashedEvent): Promise<OperatorView | null> {
    const [row] = await this.#database.query<OperatorRow>(CREATE, [name, role, passwordHash, ...eventParams(event)]);
    return row === undefined ? null : viewOf(row);
  }

  async change(name: string, change: AccountChange, event: HashedEvent): Promise<OperatorView | null> {
    const [assignment, value] = assignmentOf(change);
    const [row] = await this.#database.query<OperatorRow>(changeSql(assignment), [name, value, ...eventParams(event)]);
    return row === undefined ? null : viewOf(row);
  }

  /** By name, those after `after`. */
  async list(after: string, limit: number): Promise<OperatorView[]> {
    const rows = await this.#database.query<OperatorRow>(
      `SELECT ${VIEW} FROM operators WHERE name > $1 AND removed_at IS NULL ORDER BY name LIMIT $2`,
      [after, limit],
    );
    return rows.map(viewOf);
  }
}

interface OperatorRow {
  readonly name: string;
  readonly role: Role;
  readonly totp: boolean;
  readonly created_at: string;
}

const VIEW = `name, role, totp_secret IS NOT NULL AS totp, ${microsOf("created_at")} AS created_at`;

const CREATE = `
WITH made AS (
  INSERT INTO operators (name, role, password_hash) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING RETURNING *
), told AS (${eventText(4, "FROM made")})
SELECT ${VIEW} FROM made`;

const changeSql = (assignment: string): string => `
WITH made AS (
  UPDATE operators SET ${assignment} WHERE name = $1 AND removed_at IS NULL RETURNING *
), told AS (${eventText(3, "FROM made")})
SELECT ${VIEW} FROM made`;

/** SQL that assigns `$2`, and its value. A new generation ends the account's sessions. */
function assignmentOf(change: AccountChange): [assignment: string, value: SqlParam] {
  if ("role" in change) return ["role = $2::text", change.role];
  if ("passwordHash" in change) return ["password_hash = $2::text, generation = generation + 1", change.passwordHash];
  if ("totpSecret" in change) {
    return ["totp_secret = $2::bytea, totp_last_step = NULL, generation = generation + 1", change.totpSecret];
  }
  return ["removed_at = CASE WHEN $2::text = 'removed' THEN now() END", "removed"];
}

function viewOf({ name, role, totp, created_at }: OperatorRow): OperatorView {
  return { name, role, totp, createdAt: Number(created_at) };
}
