import { type ExpressionBuilder, type Kysely, sql, type UpdateObject } from "kysely";
import type { HashedEvent } from "../audit/row/event.ts";
import { changeWithEvent } from "./events.ts";
import { Repository } from "./repository.ts";
import type { Schema } from "./schema.ts";
import { NOW } from "./dialect/statements.ts";
import type { Micros } from "../core/clock.ts";
import type { Role } from "../authn/role.ts";

/** A local account, as operators see it. */
export interface OperatorView {
  readonly name: string;
  readonly role: Role;
  readonly totp: boolean;
  readonly createdAt: Micros;
}

/** What changes of an account: what is absent stays. Changes of the password and the codes end its sessions. */
export type AccountChange =
  | { readonly role: Role }
  | { readonly passwordHash: string }
  /** Sealed; null for none. */
  | { readonly totpSecret: Uint8Array | null }
  | { readonly removed: true };

/** Operators with local accounts. Every change is committed together with its event. */
export class SqlOperatorStore extends Repository {
  /** Null if there is, or was, one of that name. */
  async create(name: string, role: Role, passwordHash: string, event: HashedEvent): Promise<OperatorView | null> {
    const [made] = await changeWithEvent(this.db, event, (db) =>
      db
        .insertInto("operators")
        .values({ name, role, password_hash: passwordHash })
        .onConflict((conflict) => conflict.column("name").doNothing())
        .returning(VIEW),
    );
    return made ?? null;
  }

  /** The account as it is now, or was before it was removed; null if there is none. */
  async change(name: string, change: AccountChange, event: HashedEvent): Promise<OperatorView | null> {
    const [made] = await changeWithEvent(this.db, event, (db) =>
      db
        .updateTable("operators")
        .set((eb) => assignments(change, eb))
        .where("name", "=", name)
        .where("removed_at", "is", null)
        .returning(VIEW),
    );
    return made ?? null;
  }

  /** Null if there is none, or it is removed. */
  async find(name: string): Promise<OperatorView | null> {
    return (await operators(this.db).where("name", "=", name).executeTakeFirst()) ?? null;
  }

  /** By name, those after `after`. */
  async list(after: string, limit: number): Promise<OperatorView[]> {
    return await operators(this.db).where("name", ">", after).orderBy("name").limit(limit).execute();
  }
}

const VIEW = ["name", "role", sql<boolean>`totp_secret IS NOT NULL`.as("totp"), "created_at as createdAt"] as const;

function operators(db: Kysely<Schema>) {
  return db.selectFrom("operators").select(VIEW).where("removed_at", "is", null);
}

/** A new generation ends the account's sessions. */
function assignments(
  change: AccountChange,
  eb: ExpressionBuilder<Schema, "operators">,
): UpdateObject<Schema, "operators"> {
  if ("role" in change) return { role: change.role };
  if ("removed" in change) return { removed_at: NOW };
  const generation = eb("generation", "+", 1);
  if ("passwordHash" in change) return { password_hash: change.passwordHash, generation };
  return { totp_secret: change.totpSecret, totp_last_step: null, generation };
}
