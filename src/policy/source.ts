import { setTimeout as sleep } from "node:timers/promises";
import { type Clock, systemClock } from "../core/clock.ts";
import { UsageError, messageOf } from "../core/fault.ts";
import { type Bundle, type Inspection, inspectDirectory, requireBundle } from "./bundle.ts";
import type { PolicyDirectory } from "./directory.ts";
import { PolicyReader, ReadFailure } from "./reader.ts";
import { formatProblem } from "./yaml.ts";

export type PolicyEvent =
  | { readonly kind: "activated"; readonly version: string }
  | { readonly kind: "refused"; readonly problems: readonly string[] }
  /** The directory could not be read, so what it holds is not known. */
  | { readonly kind: "unread"; readonly problem: string };

export interface PolicySourceOptions {
  /** Whether to follow changes of the directory. Default true. */
  readonly watch?: boolean;
  readonly clock?: Clock;
  /** For tests. */
  readonly reader?: { readonly timeoutMs?: number; readonly program?: string };
}

/** How long the directory has to be unchanged before it is believed: an editor or a copy may write in several steps. */
const QUIET_MS = 150;
/** Files that last changed longer ago are believed at once. More than the clocks of a file server and this machine may differ by. */
const OLD_MICROS = 60_000_000;
/** How often to look for changes without an event, as on network file systems and for links swapped elsewhere. */
const POLL_MS = 2_000;
/** How often files that keep changing are read before that is a problem. */
const MAX_READS = 20;
/** How many problems are kept for readiness and operators; a file of a megabyte may have thousands. */
const MAX_PROBLEMS = 20;

/**
 * Loads the policy of `dir`, and keeps to its files from then on. This process never touches the directory itself (reader.ts).
 *
 * @throws UsageError with every problem, if the first load fails.
 */
export function openPolicySource(dir: string, options: PolicySourceOptions = {}): Promise<PolicySource> {
  const { clock, watch = true } = options;
  return openPolicySourceOf(new PolicyReader(dir, { ...options.reader, follow: watch }), clock);
}

/** The same with a reader, which the source then owns, and which is closed if the first load fails. */
export async function openPolicySourceOf(reader: PolicyReader, clock: Clock = systemClock): Promise<PolicySource> {
  try {
    const directory = await readUnchanged(reader, clock);
    const inspection = inspectDirectory(reader.dir, directory);
    const [bundle, { warnings }] = [requireBundle(inspection), inspection];
    return new PolicySource({ reader, clock, directory, bundle, warnings });
  } catch (error) {
    reader.close();
    throw error instanceof ReadFailure ? new UsageError([error.message]) : error;
  }
}

/**
 * INVARIANT: a bundle comes into force only if nothing changed while all of it was read, nor in the time before. Half of a copy
 * could be a valid bundle that lacks a rule which denies.
 *
 * @throws ReadFailure; UsageError if the files keep changing
 */
async function readUnchanged(reader: PolicyReader, clock: Clock): Promise<PolicyDirectory> {
  let before: string | null = null;
  for (let reads = 0; reads < MAX_READS; reads++) {
    const directory = await reader.read("rules");
    const isOld = clock.now() - directory.changedAt > OLD_MICROS;
    if (directory.unchanged && (directory.fingerprint === before || isOld)) return directory;
    before = directory.fingerprint;
    await sleep(QUIET_MS);
  }
  throw new UsageError(["the files of the policy keep changing while they are read"]);
}

interface Loaded {
  readonly bundle: Bundle | null;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

interface Opened {
  readonly reader: PolicyReader;
  readonly clock: Clock;
  readonly directory: PolicyDirectory;
  readonly bundle: Bundle;
  readonly warnings: Inspection["warnings"];
}

/** The policy that is in force, and its replacement when the files change. */
export class PolicySource {
  /** The last bundle that was whole. Read it once for a decision: it is replaced, never changed. */
  current: Bundle;
  /** What is doubtful about `current`, and what of the directory is not read. */
  warnings: readonly string[];
  /** Why what the directory holds now is not in force, as one text, else null. */
  problem: string | null = null;
  /** Called with each bundle that comes into force, with each that is refused, and when reads begin to fail. */
  onChange: (event: PolicyEvent) => void = () => undefined;
  readonly #reader: PolicyReader;
  readonly #clock: Clock;
  /** The fingerprint of what was last read; null if that is to be read again whatever it is. */
  #seen: string | null;
  /** By the monotonic clock. */
  #readAt: number;
  /** The work under way, behind which the next waits: two loads at once could put the older files in force last. */
  #working: Promise<void> = Promise.resolve();
  #isWorking = false;
  /** A reload that has not begun yet, so that it serves all who ask meanwhile. */
  #reload: Promise<void> | null = null;
  #quiet: NodeJS.Timeout | undefined;
  #poll: NodeJS.Timeout | undefined;
  #closed = false;

  constructor({ reader, clock, directory, bundle, warnings }: Opened) {
    this.#reader = reader;
    this.#clock = clock;
    this.current = bundle;
    this.warnings = warnings.map(formatProblem);
    this.#seen = directory.fingerprint;
    this.#readAt = clock.monotonic();
    if (!reader.follows) return;
    reader.onChange = () => this.#changed();
    this.#poll = setInterval(() => this.#look(), POLL_MS).unref();
  }

  /** Milliseconds since the directory was last read, or found to be as it was. Grows while reads hang. */
  get age(): number {
    return this.#clock.monotonic() - this.#readAt;
  }

  /** The system says that something changed. */
  #changed(): void {
    if (this.#closed) return;
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#look(), QUIET_MS).unref();
  }

  /** Reads the files again. Resolves when they are in force or refused, or could not be read in time; never rejects. */
  reload(): Promise<void> {
    this.#reload ??= this.#enqueue(() => {
      this.#reload = null;
      return this.#load();
    });
    return this.#reload;
  }

  /** Ends the watching, and a read that is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#quiet);
    clearInterval(this.#poll);
    this.#reader.close();
    await this.#working;
  }

  /** Not behind other work, which may hang: the next poll looks again. */
  #look(): void {
    if (!this.#isWorking) void this.#enqueue(() => this.#loadIfChanged());
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    this.#isWorking = true;
    const done = this.#working
      .then(() => (this.#closed ? undefined : work()))
      // A listener that throws must not end the following of the files.
      .catch(() => undefined)
      .finally(() => {
        if (this.#working === done) this.#isWorking = false;
      });
    this.#working = done;
    return done;
  }

  async #loadIfChanged(): Promise<void> {
    const fingerprint = await this.#reading(() => this.#reader.fingerprint());
    if (fingerprint !== null && fingerprint !== this.#seen) await this.#load();
  }

  async #load(): Promise<void> {
    const loaded = await this.#reading(() => this.#inspect());
    if (loaded === null) return;
    if (loaded.bundle === null) this.#refuse(loaded.problems);
    else this.#activate(loaded.bundle, loaded.warnings);
  }

  async #inspect(): Promise<Loaded> {
    this.#seen = null;
    try {
      const directory = await readUnchanged(this.#reader, this.#clock);
      this.#seen = directory.fingerprint;
      const { bundle, problems, warnings } = inspectDirectory(this.#reader.dir, directory);
      return { bundle, problems: problems.map(formatProblem), warnings: warnings.map(formatProblem) };
    } catch (error) {
      if (error instanceof ReadFailure) throw error;
      return {
        bundle: null,
        problems: error instanceof UsageError ? error.problems : [messageOf(error)],
        warnings: [],
      };
    }
  }

  /** Null, and a problem, if the directory cannot be read. */
  async #reading<Read>(read: () => Promise<Read>): Promise<Read | null> {
    try {
      const found = await read();
      this.#readAt = this.#clock.monotonic();
      return found;
    } catch (error) {
      if (!(error instanceof ReadFailure)) throw error;
      const isNew = this.problem !== error.message;
      this.#seen = null;
      this.problem = error.message;
      if (isNew && !this.#closed) this.onChange({ kind: "unread", problem: error.message });
      return null;
    }
  }

  #activate(bundle: Bundle, warnings: readonly string[]): void {
    const isNew =
      bundle.version !== this.current.version || this.problem !== null || warnings.join() !== this.warnings.join();
    this.current = bundle;
    this.warnings = warnings;
    this.problem = null;
    if (isNew) this.onChange({ kind: "activated", version: bundle.version });
  }

  #refuse(problems: readonly string[]): void {
    const more = problems.length - MAX_PROBLEMS;
    const shown = more > 0 ? [...problems.slice(0, MAX_PROBLEMS), `and ${more} more problems`] : problems;
    this.problem = shown.join("\n");
    this.onChange({ kind: "refused", problems: shown });
  }
}
