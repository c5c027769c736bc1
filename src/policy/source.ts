import { type FSWatcher, watch } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UsageError, messageOf } from "../fault.ts";
import { type Bundle, loadBundle } from "./bundle.ts";

/** The policy that is in force, and its replacement when the files change. */
export interface PolicySource {
  /** The last bundle that was whole. Read it once for a decision: it is replaced, never changed. */
  readonly current: Bundle;
  /** Why the newest files are not in force, as one text, else null. */
  readonly problem: string | null;
  /** Reads the files again. Resolves when they are in force or refused; never rejects. */
  reload(): Promise<void>;
  /** Ends the watching, after a load that is under way. */
  close(): Promise<void>;
}

export type PolicyEvent =
  | { readonly kind: "activated"; readonly version: string }
  | { readonly kind: "refused"; readonly problems: readonly string[] };

export interface PolicySourceOptions {
  /** Told of each bundle that comes into force after the first, and of each that is refused. */
  readonly onChange?: (event: PolicyEvent) => void;
  /** Whether to follow changes of the directory. Default true. */
  readonly watch?: boolean;
}

/** How long the directory has to be quiet before it is read: an editor or a copy may write in several steps. */
const QUIET_MS = 150;
/** How often to look for changes that no event told of, as on network file systems and for links swapped elsewhere. */
const POLL_MS = 2_000;

/**
 * Loads the policy of `dir`, and keeps to its files from then on.
 *
 * @throws UsageError with every problem, if the first load fails.
 */
export async function openPolicySource(dir: string, options: PolicySourceOptions): Promise<PolicySource> {
  const seen = await fingerprint(dir);
  const source = new DirectorySource(dir, await loadBundle(dir), seen, options.onChange ?? (() => {}));
  if (options.watch !== false) source.follow();
  return source;
}

class DirectorySource implements PolicySource {
  current: Bundle;
  problem: string | null = null;
  readonly #dir: string;
  readonly #tell: (event: PolicyEvent) => void;
  /** The files as they were when they were last read. */
  #seen: string;
  /** The load under way, behind which the next one waits: two at once could put the older files in force last. */
  #loading: Promise<void> = Promise.resolve();
  #watcher: FSWatcher | null = null;
  #quiet: NodeJS.Timeout | undefined;
  #poll: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(dir: string, bundle: Bundle, seen: string, tell: (event: PolicyEvent) => void) {
    this.#dir = dir;
    this.current = bundle;
    this.#seen = seen;
    this.#tell = tell;
  }

  follow(): void {
    this.#watcher = openWatcher(this.#dir, () => this.#afterQuiet());
    this.#poll = setInterval(() => void this.#enqueue(() => this.#loadIfChanged()), POLL_MS).unref();
  }

  reload(): Promise<void> {
    return this.#enqueue(() => this.#load());
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watcher?.close();
    clearTimeout(this.#quiet);
    clearInterval(this.#poll);
    await this.#loading;
  }

  #afterQuiet(): void {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => void this.#enqueue(() => this.#loadIfChanged()), QUIET_MS).unref();
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    // A listener that throws must not end the following of the files.
    this.#loading = this.#loading.then(() => (this.#closed ? undefined : work())).catch(() => {});
    return this.#loading;
  }

  async #loadIfChanged(): Promise<void> {
    if ((await fingerprint(this.#dir)) !== this.#seen) await this.#load();
  }

  /**
   * INVARIANT: a bundle comes into force only if all of it was read while nothing changed. Half of a copy could be a valid
   * bundle that lacks a rule which denies.
   */
  async #load(): Promise<void> {
    let before = await fingerprint(this.#dir);
    for (let tries = 0; tries < 20; tries++) {
      const loaded = await loadOrProblems(this.#dir);
      await sleep(QUIET_MS);
      const after = await fingerprint(this.#dir);
      if (after === before) {
        this.#seen = after;
        return this.#settle(loaded);
      }
      before = after;
    }
    this.#settle(["the files of the policy keep changing while they are read"]);
  }

  #settle(loaded: Bundle | readonly string[]): void {
    if ("version" in loaded) {
      const changed = loaded.version !== this.current.version || this.problem !== null;
      this.current = loaded;
      this.problem = null;
      if (changed) this.#tell({ kind: "activated", version: loaded.version });
    } else {
      this.problem = loaded.join("\n");
      this.#tell({ kind: "refused", problems: loaded });
    }
  }
}

async function loadOrProblems(dir: string): Promise<Bundle | readonly string[]> {
  try {
    return await loadBundle(dir);
  } catch (error) {
    return error instanceof UsageError ? error.problems : [messageOf(error)];
  }
}

/** Where the system has no watch to give (too many, or a file system without them), the poll does alone. */
function openWatcher(dir: string, onEvent: () => void): FSWatcher | null {
  try {
    return watch(dir, { persistent: false }, onEvent).on("error", onEvent);
  } catch {
    return null;
  }
}

/** The names, sizes and times of the directory's YAML files, as a text that differs when they do. Links are followed. */
async function fingerprint(dir: string): Promise<string> {
  const names = (await readdir(dir).catch(() => [])).filter((name) => /\.ya?ml$/.test(name)).toSorted();
  const lines = names.map(async (name) => {
    const found = await stat(join(dir, name), { bigint: true }).catch(() => null);
    return JSON.stringify([
      name,
      String(found?.ino),
      String(found?.size),
      String(found?.mtimeNs),
      String(found?.ctimeNs),
    ]);
  });
  return (await Promise.all(lines)).join("\n");
}
