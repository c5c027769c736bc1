import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeDirectory } from "../../core/durable.ts";
import { failpoint } from "../../core/failpoint.ts";
import { GROUPS, listNumbered, numberPath, writeOnce } from "./numbered-files.ts";

/** A list of changes as it was found outside the database. Its signature has not been verified. */
export interface UnverifiedChangeList {
  readonly number: number;
  readonly note: string;
}

/** Lists of changes in the checkpoint directory, below `changes`. Each is a file that never changes, by its number. */
export class ChangeDirectory {
  readonly #path: string;

  constructor(checkpointDirectory: string) {
    this.#path = join(checkpointDirectory, "changes");
  }

  /** The newest list; null if there is none. @throws if the directory cannot be read */
  async newest(): Promise<UnverifiedChangeList | null> {
    for await (const list of this.newestFirst()) return list;
    return null;
  }

  /** @throws if a directory or a file cannot be read */
  async *newestFirst(): AsyncGenerator<UnverifiedChangeList> {
    yield* walk(this.#path, "", GROUPS);
  }

  /** Writes a list, durably. False if another one has taken its number. */
  async add({ number, note }: UnverifiedChangeList): Promise<boolean> {
    const path = join(this.#path, numberPath(number));
    await makeDirectory(dirname(path), 0o777);
    const written = await writeOnce(path, note);
    failpoint("changes-published");
    return written;
  }
}

async function* walk(path: string, digits: string, depth: number): AsyncGenerator<UnverifiedChangeList> {
  if (depth === 0) {
    yield { number: Number(digits), note: await readFile(path, "utf8") };
    return;
  }
  for (const name of (await listNumbered(path)).reverse()) yield* walk(join(path, name), digits + name, depth - 1);
}
