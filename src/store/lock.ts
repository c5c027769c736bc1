import { DatabaseSync } from "node:sqlite";

export interface FileLock {
  release(): void;
}

/**
 * An exclusive lock on `path` that the operating system drops with its holder, however that ends. Node has no flock; an
 * exclusive SQLite transaction is one (a POSIX lock on the file).
 *
 * @returns null if another process holds it
 */
export function tryLock(path: string): FileLock | null {
  const database = new DatabaseSync(path);
  try {
    database.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (error instanceof Error && "errcode" in error && (error.errcode === 5 || error.errcode === 6)) return null;
    throw error;
  }
  return { release: () => database.close() };
}
