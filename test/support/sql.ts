import type { Kysely } from "kysely";
import { CompiledQuery } from "kysely";
import type { Database, QueryOptions } from "../../src/store/dialect/database.ts";
import type { Schema } from "../../src/store/schema.ts";
import { runScript } from "../../src/store/dialect/statements.ts";

/** Runs a statement that a test has as text, which the service's own code cannot. @returns its rows */
export async function query<Row = Record<string, unknown>>(
  where: Pick<Database, "kysely"> | Kysely<Schema>,
  text: string,
  params: readonly unknown[] = [],
  options: QueryOptions = {},
): Promise<Row[]> {
  const db = "kysely" in where ? where.kysely : where;
  return (await db.executeQuery<Row>({ ...CompiledQuery.raw(text, [...params]), ...options })).rows;
}

/** Runs several statements in one transaction. */
export async function script({ kysely }: Pick<Database, "kysely">, text: string): Promise<void> {
  await kysely.transaction().execute((transaction) => runScript(transaction, text));
}
