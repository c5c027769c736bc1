import type { Role } from "../admin/caller.ts";
import type { SessionPorts, StoredAccount, StoredSession } from "../admin/sessions.ts";
import type { Micros } from "../core/clock.ts";
import type { HashedEvent } from "../audit/row/event.ts";
import { type Database, microsOf } from "./database.ts";
import { eventParams, eventText } from "./event-text.ts";

type StoredSessions = SessionPorts["sessions"];

/** Sessions of operators, by the hash of their token. Only the database's clock decides when one has ended. */
export class SqlSessionStore implements StoredSessions {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async account(name: string): Promise<StoredAccount | null> {
    const [row] = await this.#database.query<AccountRow>(ACCOUNT, [name]);
    if (row === undefined) return null;
    const { role, password_hash: passwordHash, totp_secret: totpSecret, generation } = row;
    return { name, role, passwordHash, totpSecret, generation: Number(generation) };
  }

  async start(
    { tokenHash, account, totpStep, methods, replaces }: Parameters<StoredSessions["start"]>[0],
    event: HashedEvent,
  ): Promise<StoredSession | null> {
    const [row] = await this.#database.query<SessionRow>(START, [
      account.name,
      account.generation,
      totpStep,
      tokenHash,
      JSON.stringify(methods),
      replaces,
      ...eventParams(event),
    ]);
    return row === undefined ? null : sessionOf(row);
  }

  async use(tokenHash: Uint8Array, idle: Micros, lifetime: Micros, isUse: boolean): Promise<StoredSession | null> {
    const params = [tokenHash, String(idle), String(lifetime), isUse ? "yes" : "no"];
    const [row] = await this.#database.query<SessionRow>(USE, params, { name: "use_session" });
    return row === undefined ? null : sessionOf(row);
  }

  async end(tokenHash: Uint8Array, event: HashedEvent): Promise<boolean> {
    const rows = await this.#database.query(END, [tokenHash, ...eventParams(event)]);
    return rows.length > 0;
  }

  /** Deletes sessions that began more than `lifetime` ago, which nobody can use any more. */
  async purge(lifetime: Micros): Promise<void> {
    await this.#database.query(`DELETE FROM operator_sessions WHERE signed_in_at < now() - ${interval("$1")}`, [
      String(lifetime),
    ]);
  }
}

interface AccountRow {
  readonly role: Role;
  readonly password_hash: string;
  readonly totp_secret: Uint8Array | null;
  readonly generation: string;
}

interface SessionRow {
  readonly name: string;
  readonly role: Role;
  readonly signed_in_at: string;
  readonly methods: string;
}

const interval = (micros: string): string => `${micros}::bigint * interval '1 microsecond'`;

const ACCOUNT = `
SELECT role, password_hash, totp_secret, generation::text FROM operators WHERE name = $1 AND removed_at IS NULL`;

/** The account's row is locked by its update: of two sign-ins with one code the second finds the step used. */
const START = `
WITH account AS (
  UPDATE operators SET totp_last_step = coalesce($3::bigint, totp_last_step)
  WHERE name = $1 AND generation = $2::bigint AND removed_at IS NULL
    AND ($3::bigint IS NULL OR totp_last_step IS NULL OR totp_last_step < $3::bigint)
  RETURNING name, role, generation
), made AS (
  INSERT INTO operator_sessions (token_hash, name, generation, methods)
  SELECT $4::bytea, name, generation, $5::text FROM account RETURNING name, signed_in_at, methods
), replaced AS (
  DELETE FROM operator_sessions WHERE token_hash = $6::bytea AND EXISTS (SELECT FROM made)
), told AS (${eventText(7, "FROM made")})
SELECT made.name, role, ${microsOf("signed_in_at")} AS signed_in_at, methods FROM made JOIN account USING (name)`;

const USE = `
WITH found AS (
  SELECT name, role, signed_in_at, methods, used_at FROM operator_sessions JOIN operators USING (name, generation)
  WHERE token_hash = $1::bytea AND removed_at IS NULL
    AND used_at > now() - ${interval("$2")} AND signed_in_at > now() - ${interval("$3")}
), used AS (
  -- Not at each use: a dashboard that asks every second would write as often.
  UPDATE operator_sessions SET used_at = now()
  WHERE token_hash = $1::bytea AND $4::text = 'yes' AND EXISTS (SELECT FROM found WHERE used_at < now() - interval '1 minute')
)
SELECT name, role, ${microsOf("signed_in_at")} AS signed_in_at, methods FROM found`;

const END = `
WITH ended AS (DELETE FROM operator_sessions WHERE token_hash = $1::bytea RETURNING name),
told AS (${eventText(2, "FROM ended")})
SELECT name FROM ended`;

function sessionOf({ name, role, signed_in_at, methods }: SessionRow): StoredSession {
  return { name, role, signedInAt: Number(signed_in_at), methods: JSON.parse(methods) as string[] };
}
