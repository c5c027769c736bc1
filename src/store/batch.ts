import { PoisonedBatch } from "../audit/write/group-writer.ts";
import { SqlError } from "./dialect/sql-error.ts";

/** How often a batch that lost a deadlock is tried in all. */
const DEADLOCK_TRIES = 4;

/**
 * Runs a batch's statement, as `EntryKind.write` promises it.
 *
 * @param readBack finds out what was written where the connection was lost in mid-statement
 * @throws PoisonedBatch if the data of some row is at fault
 */
export async function commitBatch<Result>(
  execute: () => Promise<Result>,
  readBack: (cause: SqlError) => Promise<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await execute();
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      if (error.sqlState === "40P01" && attempt < DEADLOCK_TRIES) continue;
      // Data exceptions and integrity violations: some row is at fault, not the store.
      const rolledBack = error.outcome === "rolled_back";
      if (rolledBack && /^2[23]/.test(error.sqlState ?? "")) throw new PoisonedBatch(error.message, { cause: error });
      if (rolledBack) throw error;
      return await readBack(error);
    }
  }
}
