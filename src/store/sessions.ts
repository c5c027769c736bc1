import { type QueryCreator, sql } from "kysely";
import type { HashedEvent } from "../audit/row/event.ts";
import type { Micros } from "../core/clock.ts";
import { changeWithEvent, insertEvent } from "./events.ts";
import { Repository } from "./repository.ts";
import type { Schema, StoredTime } from "./schema.ts";
import { lasting, NOW, prepared } from "./dialect/statements.ts";
import type { Role } from "../authn/role.ts";

/** What is known of an account when somebody claims it. */
export interface StoredAccount {
  readonly name: string;
  readonly role: Role;
  readonly passwordHash: string;
  /** Sealed; null where no code is needed. */
  readonly totpSecret: Uint8Array | null;
  readonly generation: number;
}

export interface StoredSession {
  readonly name: string;
  readonly role: Role;
  readonly signedInAt: Micros;
  readonly methods: readonly string[];
}

/** A session to start. */
export interface NewSession {
  readonly tokenHash: Uint8Array;
  readonly account: StoredAccount;
  readonly totpStep: number | null;
  readonly methods: readonly string[];
  /** The hash of an older session's token, which ends. */
  readonly replaces: Uint8Array | null;
}

/** Sessions of operators, by the hash of their token. Only the database's clock decides when one has ended. */
export class SqlSessionStore extends Repository {
  /** Null if there is none, or it is removed. */
  async account(name: string): Promise<StoredAccount | null> {
    const [account] = await this.db
      .selectFrom("operators")
      .select(["name", "role", "password_hash as passwordHash", "totp_secret as totpSecret", "generation"])
      .where("name", "=", name)
      .where("removed_at", "is", null)
      .execute();
    return account ?? null;
  }

  /** Null if the account has changed since it was read, or `totpStep` is not later than the last one used: then nothing was done. */
  async start(
    { tokenHash, account, totpStep, methods, replaces }: NewSession,
    event: HashedEvent,
  ): Promise<StoredSession | null> {
    // The account's row is locked by its update: of two sign-ins with one code the second finds the step used.
    const started = await sql<SessionRow>`
      WITH account AS (
        UPDATE operators SET totp_last_step = coalesce(${totpStep}::bigint, totp_last_step)
        WHERE name = ${account.name} AND generation = ${account.generation} AND removed_at IS NULL
          AND (${totpStep}::bigint IS NULL OR totp_last_step IS NULL OR totp_last_step < ${totpStep}::bigint)
        RETURNING name, role, generation
      ), made AS (
        INSERT INTO operator_sessions (token_hash, name, generation, methods)
        SELECT ${tokenHash}::bytea, name, generation, ${JSON.stringify(methods)}::text FROM account
        RETURNING name, signed_in_at, methods
      ), replaced AS (
        DELETE FROM operator_sessions WHERE token_hash = ${replaces}::bytea AND EXISTS (SELECT FROM made)
      ), recorded AS (${insertEvent(event, "made")})
      SELECT name, role, signed_in_at AS "signedInAt", methods FROM made JOIN account USING (name)`.execute(this.db);
    return sessionOf(started.rows[0]);
  }

  /** Null if it is not known or has ended. With `isUse` it counts as used. */
  async use(tokenHash: Uint8Array, idle: Micros, lifetime: Micros, isUse: boolean): Promise<StoredSession | null> {
    const [session] = await (isUse ? USE : FIND).execute(this.db, { tokenHash, idle, lifetime });
    return sessionOf(session);
  }

  /** @returns whether there was one to end */
  async end(tokenHash: Uint8Array, event: HashedEvent): Promise<boolean> {
    const ended = await changeWithEvent(this.db, event, (db) =>
      db.deleteFrom("operator_sessions").where("token_hash", "=", tokenHash).returning("name"),
    );
    return ended.length > 0;
  }

  /** Ends every session of everybody. A new generation also ends those that are begun at this moment. */
  async endAll(): Promise<void> {
    await this.db
      .with("ended", (db) => db.updateTable("operators").set((eb) => ({ generation: eb("generation", "+", 1) })))
      .deleteFrom("operator_sessions")
      .execute();
  }

  /** Deletes sessions that began more than `lifetime` ago, which nobody can use any more. */
  async purge(lifetime: Micros): Promise<void> {
    await this.db.deleteFrom("operator_sessions").where("signed_in_at", "<", ago(lifetime)).execute();
  }
}

const ago = (micros: Micros) => sql<StoredTime>`now() - ${lasting(micros)}`;

interface Lookup {
  readonly tokenHash: Uint8Array;
  readonly idle: Micros;
  readonly lifetime: Micros;
}

/** The session, unless it has ended. */
function unended({ tokenHash, idle, lifetime }: Lookup, db: QueryCreator<Schema>) {
  return db
    .selectFrom("operator_sessions as s")
    .innerJoin("operators as o", (join) =>
      join.onRef("o.name", "=", "s.name").onRef("o.generation", "=", "s.generation"),
    )
    .select(["s.name", "o.role", "s.signed_in_at as signedInAt", "s.methods"])
    .where("s.token_hash", "=", tokenHash)
    .where("o.removed_at", "is", null)
    .where("s.used_at", ">", ago(idle))
    .where("s.signed_in_at", ">", ago(lifetime));
}

const FIND = prepared(unended);

const USE = prepared((lookup: Lookup, db) =>
  db
    .with("found", (db) => unended(lookup, db))
    .with("used", (db) =>
      db
        .updateTable("operator_sessions")
        .set({ used_at: NOW })
        .where("token_hash", "=", lookup.tokenHash)
        // Not at each use: a dashboard that asks every second would write as often.
        .where("used_at", "<", sql<StoredTime>`now() - interval '1 minute'`)
        .where((eb) => eb.exists(eb.selectFrom("found"))),
    )
    .selectFrom("found")
    .selectAll(),
);

type SessionRow = Omit<StoredSession, "methods"> & { readonly methods: string };

function sessionOf(row: SessionRow | undefined): StoredSession | null {
  return row === undefined ? null : { ...row, methods: JSON.parse(row.methods) as string[] };
}
