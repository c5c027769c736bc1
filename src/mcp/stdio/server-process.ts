import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

/** How a server's process has ended, as the end of a sentence, and whether it did so by itself and without an error. */
export interface ServerEnd {
  readonly how: string;
  readonly isClean: boolean;
}

export interface ServerProcessOptions {
  readonly command: readonly [string, ...string[]];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** How long a server that is asked to end may take before it gets the next signal, in milliseconds. */
const GRACE_MS = 3_000;
/** How long output is read on after a server has ended: a process that it has started may hold it open. */
const REMAINS_MS = 1_000;

/** An MCP server as a child process. Its standard error is ours. */
export class ServerProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  /** Resolves, never rejects, when the process has ended and what it had written has been read, or when it could not be started. */
  readonly ended: Promise<ServerEnd>;

  constructor({ command: [file, ...args], cwd, env }: ServerProcessOptions) {
    this.#child = spawn(file, args, { cwd, env: withoutOurs(env), stdio: ["pipe", "pipe", "inherit"] });
    // A server that has gone is seen by its end; a write that fails says nothing more.
    this.#child.stdin.on("error", () => {});
    this.#child.on("error", () => {});
    this.ended = this.#end(file);
  }

  get stdin(): Writable {
    return this.#child.stdin;
  }

  get stdout(): Readable {
    return this.#child.stdout;
  }

  /** As the protocol says: closes its input, and sends signals only to one that does not end by that. */
  async stop(): Promise<void> {
    this.#child.stdin.end();
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      if (await this.#endsWithin(GRACE_MS)) return;
      this.#child.kill(signal);
    }
    await this.ended;
  }

  async #endsWithin(milliseconds: number): Promise<boolean> {
    const timer = new AbortController();
    const late = sleep(milliseconds, false, { signal: timer.signal }).catch(() => false);
    const isOver = await Promise.race([this.ended.then(() => true), late]);
    timer.abort();
    return isOver;
  }

  async #end(file: string): Promise<ServerEnd> {
    try {
      const closed = once(this.#child, "close").catch(() => {});
      const [code, signal] = (await once(this.#child, "exit")) as [number | null, NodeJS.Signals | null];
      await Promise.race([closed, sleep(REMAINS_MS, undefined, { ref: false })]);
      this.#child.stdout.destroy();
      const how = signal === null ? `has ended with status ${code}` : `was ended by ${signal}`;
      return { how, isClean: code === 0 };
    } catch (error) {
      return { how: `could not be started: ${problemOf(error, file)}`, isClean: false };
    }
  }
}

/** The server is not the agent: what names the agent, or leads to its key, stays here. */
function withoutOurs(env: ServerProcessOptions["env"]): Record<string, string> {
  const kept = Object.entries(env).filter(([name, value]) => value !== undefined && !/^DATACRAWL_/i.test(name));
  return Object.fromEntries(kept) as Record<string, string>;
}

function problemOf(error: unknown, file: string): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === "ENOENT" ? `there is no command ${file}` : message;
}
