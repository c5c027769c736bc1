import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { messageOf, UsageError } from "../core/fault.ts";
import type { PolicyDirectory } from "./directory.ts";

export type ReaderRequest = "existence" | "fingerprint" | "rules" | "rules and tests";
export type ReaderMessage = "changed" | Answer;

type Answer = { readonly exists: boolean } | { readonly fingerprint: string } | { readonly directory: PolicyDirectory };

export interface PolicyReaderOptions {
  /** Whether to ask the system to report changes of the directory. Default false. */
  readonly follow?: boolean;
  /** How long one read may take. Default 10 s. */
  readonly timeoutMs?: number;
  /** For tests: another program than the one that reads. */
  readonly program?: string;
}

const TIMEOUT_MS = 10_000;
/** How many processes that do not even end when they are killed may be left behind. */
const MAX_STUCK = 3;
/** The largest directory takes some 30 MiB of it. */
const HEAP_MIB = 96;

/** Nothing is known of the directory: the read took too long, or the process that read it ended. */
export class ReadFailure extends Error {
  override readonly name = "ReadFailure";
}

/**
 * Reads a directory of policies in a process of its own. A file system that hangs keeps the thread that asks it, often for good,
 * and neither a thread of libuv's pool nor a worker can be left behind: the process could not end any more. Another process can.
 *
 * One read at a time.
 */
export class PolicyReader {
  readonly dir: string;
  readonly follows: boolean;
  /** Called when the system says that something in the directory changed. */
  onChange: () => void = () => undefined;
  readonly #options: PolicyReaderOptions;
  #child: ChildProcess | null = null;
  #waiting: PromiseWithResolvers<Answer> | null = null;
  #stuck = 0;
  #closed = false;

  constructor(dir: string, options: PolicyReaderOptions = {}) {
    this.dir = dir;
    this.follows = options.follow ?? false;
    this.#options = options;
  }

  /** @throws ReadFailure */
  async fingerprint(): Promise<string> {
    const answer = await this.#ask("fingerprint");
    if ("fingerprint" in answer) return answer.fingerprint;
    if ("directory" in answer) return answer.directory.fingerprint;
    throw this.#unexpected();
  }

  /** @throws ReadFailure */
  async read(want: "rules" | "rules and tests"): Promise<PolicyDirectory> {
    const answer = await this.#ask(want);
    if ("directory" in answer) return answer.directory;
    throw this.#unexpected();
  }

  /**
   * Whether there is anything at the directory's path.
   *
   * @throws UsageError if its file system does not answer in time
   */
  async exists(): Promise<boolean> {
    try {
      const answer = await this.#ask("existence");
      if ("exists" in answer) return answer.exists;
      throw this.#unexpected();
    } catch (error) {
      throw error instanceof ReadFailure ? new UsageError([error.message]) : error;
    }
  }

  #unexpected(): ReadFailure {
    return new ReadFailure(`${this.dir}: the process that reads it answered something else`);
  }

  /** What is being read fails at once. */
  close(): void {
    this.#closed = true;
    this.#abandon("the reading was ended");
  }

  async #ask(want: ReaderRequest): Promise<Answer> {
    if (this.#closed) throw new ReadFailure(`${this.dir}: the reading was ended`);
    if (this.#waiting !== null) throw new Error("a read is under way");
    if (this.#stuck >= MAX_STUCK) {
      throw new ReadFailure(
        `${this.dir}: it is not read, since ${this.#stuck} processes that tried hang in the system and cannot be ended; repair the file system`,
      );
    }
    const timeoutMs = this.#options.timeoutMs ?? TIMEOUT_MS;
    const waiting = Promise.withResolvers<Answer>();
    this.#waiting = waiting;
    const timer = setTimeout(
      () =>
        this.#abandon(
          `reading took longer than ${timeoutMs / 1000} s; check whether its file system hangs or it holds too many files`,
        ),
      timeoutMs,
    );
    try {
      this.#child ??= this.#start();
      this.#child.send(want, (error) => error !== null && this.#abandon(messageOf(error)));
      return await waiting.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting = null;
    }
  }

  #start(): ChildProcess {
    // In the published package this file is JavaScript, and so is its neighbour.
    const neighbour = import.meta.url.endsWith(".ts") ? "./reader-process.ts" : "./reader-process.js";
    const program = this.#options.program ?? fileURLToPath(new URL(neighbour, import.meta.url));
    // The process needs no secret of the service. What tests set reaches it; a published package reads none of that.
    const ofTests = Object.entries(process.env).filter(([name]) => name.startsWith("DATACRAWL_TEST_"));
    const child = fork(program, [this.dir, ...(this.follows ? ["follow"] : [])], {
      // No secrets of ours, and nothing that NODE_OPTIONS loads.
      env: Object.fromEntries(ofTests),
      execArgv: [`--max-old-space-size=${HEAP_MIB}`, "--max-semi-space-size=1"],
      serialization: "advanced",
      // A process that is left behind must not hold what reads our output.
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    // It is never what keeps this process running; the timer of a read does.
    child.unref();
    child.channel?.unref();
    child.on("message", (message: ReaderMessage) => {
      if (child !== this.#child) return;
      if (message === "changed") this.onChange();
      else this.#waiting?.resolve(message);
    });
    const ended = (why: string) => (): void => {
      if (child === this.#child) this.#abandon(why);
    };
    child.on("error", (error) => ended(`the process that reads it could not be started: ${messageOf(error)}`)());
    child.on("exit", (code, signal) => ended(`the process that reads it ended (${signal ?? `status ${code}`})`)());
    return child;
  }

  /** Leaves the child to itself; the next read starts another. */
  #abandon(why: string): void {
    const child = this.#child;
    this.#child = null;
    if (child !== null && child.exitCode === null && child.signalCode === null) {
      this.#stuck++;
      child.once("exit", () => this.#stuck--);
      child.kill("SIGKILL");
      if (child.connected) child.disconnect();
    }
    this.#waiting?.reject(new ReadFailure(`${this.dir}: ${why}`));
  }
}
