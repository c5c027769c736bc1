import { randomUUID } from "node:crypto";
import { readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeDirectory, syncDirectory, writeDurably } from "../../core/durable.ts";
import { failpoint } from "../../core/failpoint.ts";
import { epochOf, parseCheckpoint } from "../log/checkpoint.ts";
import { parseNote } from "../log/note.ts";
import { GROUPS, listNumbered, numberPath, writeOnce } from "./numbered-files.ts";
import { messageOf } from "../../core/fault.ts";

/** A committed checkpoint. */
export interface PublishedCheckpoint {
  readonly epoch: number;
  readonly size: number;
  readonly root: Uint8Array;
  /** Signed. */
  readonly note: string;
}

/** A checkpoint that was found outside the database. Its signature has not been verified. */
export interface UnverifiedCheckpoint extends PublishedCheckpoint {
  /** Of which log it claims to be. */
  readonly origin: string;
}

/** A file in a checkpoint's place that holds none, or another. */
export interface Unreadable {
  readonly unreadable: string;
}

/**
 * Checkpoints outside the database, in a directory that replicas share: what the database said once, it must go on saying. Each
 * is a file that never changes, `<epoch>/000/000/012/345/678` for the size 12345678; `latest` is a copy of the newest, for
 * people and programs. (One file for each three digits of a number: after c2sp.org/tlog-tiles.)
 *
 * A replica wrote these files, or any other program that can write here: they are read as unverified.
 */
export class CheckpointDirectory {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** The newest checkpoint; null if there is none. @throws if the directory cannot be read, or a file in it is no checkpoint */
  async latest(): Promise<UnverifiedCheckpoint | null> {
    return await newestBelow(this.path, DEPTH);
  }

  /** Every checkpoint, by epoch and size. @throws if a directory cannot be read */
  async *all(): AsyncGenerator<UnverifiedCheckpoint | Unreadable> {
    yield* walk(this.path, DEPTH, "ascending");
  }

  /** As {@link CheckpointDirectory.all}, the newest first. */
  async *newestFirst(): AsyncGenerator<UnverifiedCheckpoint | Unreadable> {
    yield* walk(this.path, DEPTH, "descending");
  }

  /**
   * Writes a checkpoint that is committed. Durable when it returns, and whole or not there at any moment; writing it again
   * changes nothing.
   *
   * @throws ForkError if another checkpoint stands in its place
   */
  async publish(checkpoint: PublishedCheckpoint): Promise<void> {
    const path = join(this.path, pathOf(checkpoint));
    await makeDirectory(dirname(path), 0o777);
    const written = await writeOnce(path, checkpoint.note);
    if (!written) {
      const standing = await readCheckpoint(path);
      if (Buffer.compare(standing.root, checkpoint.root) !== 0) throw new ForkError(path);
    }
    failpoint("publishing");
  }

  /** Makes `latest` a copy of the newest. (Of two writers the slower one may leave an older copy, until it is done again.) */
  async copyLatest(): Promise<void> {
    const [newest, path] = [await this.latest(), join(this.path, "latest")];
    if (newest === null || (await readFile(path, "utf8").catch(() => null)) === newest.note) return;
    await replace(path, newest.note);
  }
}

/** Two checkpoints of one size that differ: one of two histories is not the true one. */
export class ForkError extends Error {
  override readonly name = "ForkError";

  constructor(path: string) {
    super(`${path} holds another checkpoint of the same size`);
  }
}

/** Of the files: the epoch, and the groups. */
const DEPTH = GROUPS + 1;

/** Of a checkpoint's file, below the directory. */
export function pathOf({ epoch, size }: { readonly epoch: number; readonly size: number }): string {
  return join(String(epoch), numberPath(size));
}

/** A crash may leave a directory without a file in it: then the one before it is looked into. */
async function newestBelow(path: string, depth: number): Promise<UnverifiedCheckpoint | null> {
  if (depth === 0) return await readCheckpoint(path);
  for (const name of (await listNumbered(path)).reverse()) {
    const found = await newestBelow(join(path, name), depth - 1);
    if (found !== null) return found;
  }
  return null;
}

async function* walk(
  path: string,
  depth: number,
  order: "ascending" | "descending",
): AsyncGenerator<UnverifiedCheckpoint | Unreadable> {
  if (depth === 0) {
    yield await readCheckpoint(path).catch((error: unknown) => ({
      unreadable: messageOf(error),
    }));
    return;
  }
  const names = await listNumbered(path);
  for (const name of order === "ascending" ? names : names.reverse()) yield* walk(join(path, name), depth - 1, order);
}

async function readCheckpoint(path: string): Promise<UnverifiedCheckpoint> {
  const note = await readFile(path, "utf8");
  try {
    const checkpoint = parseCheckpoint(parseNote(note).text);
    const { origin, size, root } = checkpoint;
    const epoch = epochOf(checkpoint);
    // An older one in its place would pass for the newest.
    if (!path.endsWith(join("/", pathOf({ epoch, size }))))
      throw new Error(`it is the one of size ${size} in epoch ${epoch}`);
    return { origin, epoch, size, root, note };
  } catch (cause) {
    throw new Error(`${path} is not the checkpoint of its name: ${messageOf(cause)}`, {
      cause,
    });
  }
}

async function replace(path: string, text: string): Promise<void> {
  const unfinished = `${path}.${randomUUID()}`;
  try {
    await writeDurably(unfinished, text, 0o644);
    await rename(unfinished, path);
    await syncDirectory(dirname(path));
  } finally {
    await rm(unfinished, { force: true });
  }
}
