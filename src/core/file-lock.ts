import type { DatabaseSync } from "node:sqlite";
import { messageOf } from "./fault.ts";

/** A lock held by this process. It ends with {@link FileLock.release} or with the process, however that ends. */
export interface FileLock {
  release(): void;
}

/** SQLITE_BUSY: another connection, of this process or another one, holds the lock. */
const BUSY = 5;

/**
 * Takes the lock `path`, or returns null if it is held. Never waits.
 *
 * Node has no flock. An open exclusive transaction of SQLite is a lock of the operating system on the file, which dies with
 * its holder; nothing is ever written into it (the rollback journal is in memory, and the transaction never commits), so the
 * file stays empty. Do not open `path` otherwise in this process: closing any descriptor of a file gives up POSIX locks on
 * it. Locks of network file systems may not hold.
 *
 * @throws if the file cannot be made or is not a lock file
 */
export function tryLock(path: string): FileLock | null {
  let database: DatabaseSync | undefined;
  try {
    const { DatabaseSync } = sqlite();
    const opened = (database = new DatabaseSync(path));
    opened.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return { release: () => opened.close() };
  } catch (error) {
    database?.close();
    if (error instanceof Error && "errcode" in error && error.errcode === BUSY) return null;
    // SQLite's own words name no file.
    throw new Error(`${path} cannot be locked: ${messageOf(error)}`, { cause: error });
  }
}

/** Loaded when a lock is taken first: a client without a journal needs none, some runtimes have none, and Node 22 warns of it. */
function sqlite(): typeof import("node:sqlite") {
  const module: typeof import("node:sqlite") | undefined = process.getBuiltinModule("node:sqlite");
  if (module === undefined) throw new Error("this runtime has no node:sqlite, which locks need");
  return module;
}
