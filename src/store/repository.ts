import type { Kysely } from "kysely";
import type { Schema } from "./schema.ts";

/** The statements of one subject, in a database or in a transaction of it. */
export abstract class Repository {
  protected readonly db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.db = db;
  }
}
