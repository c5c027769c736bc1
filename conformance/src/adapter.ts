/**
 * The client under test, as a process that speaks JSON lines: a question in, an answer out (docs/conformance.md). Any
 * language can do that in some thirty lines.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { Method, Transport } from "./case.ts";

/** One question for the client to ask. */
export interface AdapterQuestion {
  readonly case: string;
  /** The call to make. */
  readonly method: Method;
  /** What to start, if the method is BeginExecution. */
  readonly decisionId: string;
  readonly tool: string;
  readonly payload: Readonly<Record<string, string>>;
  readonly idempotencyKey: string;
  readonly url: string;
  readonly transport: Transport;
  readonly agentId: string;
  readonly apiKey: string;
  /** A file of certificate authorities in PEM. */
  readonly caFile: string;
  readonly deadlineMs: number;
}

/** What the client made of it. Nothing in it has been verified. */
export interface AdapterAnswer {
  readonly decision: unknown;
  readonly reason: unknown;
  /** How long the call took, as the client measured it, or undefined. */
  readonly elapsedMs: unknown;
}

/** A program that asks the server through the client under test (docs/conformance.md). */
export interface Adapter {
  /** Asks one question. Rejects if the adapter exits, writes something else, or nothing within `timeoutMs`; it is then restarted. */
  ask(question: AdapterQuestion, timeoutMs: number): Promise<AdapterAnswer>;
  /** Ends the adapter's input, after which it should exit. Resolves to how it failed to, or null. */
  finish(): Promise<string | null>;
  /** Kills the adapter's process if it still runs. */
  close(): Promise<void>;
}

const START_MS = 60_000;
const FINISH_MS = 2000;

type Child = ChildProcessByStdio<Writable, Readable, null>;

/**
 * Starts an adapter: runs `command` in a shell, with the environment `env` and in the directory `cwd`.
 *
 * @example
 * const adapter = startAdapter("python3 my_adapter.py", process.env, process.cwd());
 */
export function startAdapter(command: string, env: NodeJS.ProcessEnv, cwd: string): Adapter {
  let child: Conversation | null = null;
  const start = async () => {
    child = new Conversation(
      spawn(command, { shell: true, env, cwd, stdio: ["pipe", "pipe", "inherit"], detached: true }),
    );
    const { ready } = await child.next(START_MS);
    if (ready !== true) throw new Error('its first line was not {"ready":true}');
    return child;
  };
  const restart = async () => {
    await child?.stop();
    child = null;
  };
  return {
    async ask(question, timeoutMs) {
      try {
        // It died since its last answer, of that case or of an unhandled rejection: the run has to report it.
        if (child !== null && child.ended !== null) throw new Error(child.ended);
        const client = child ?? (await start());
        client.say(question);
        const answer = await client.next(timeoutMs);
        if (answer["case"] !== question.case)
          throw new Error(`it answered for the case ${JSON.stringify(answer["case"])}`);
        return { decision: answer["decision"], reason: answer["reason"], elapsedMs: answer["elapsedMs"] };
      } catch (error) {
        await restart();
        throw error;
      }
    },
    async finish() {
      return (await child?.finish()) ?? null;
    },
    async close() {
      await restart();
    },
  };
}

/** A child process, its lines, and its end. */
class Conversation {
  /** How it ended, or null while it runs. */
  ended: string | null = null;
  readonly #child: Child;
  readonly #lines: string[] = [];
  #wake: () => void = () => {};

  constructor(child: Child) {
    this.#child = child;
    // A client that has died cannot be written to; its exit reports that it died.
    child.stdin.on("error", () => {});
    createInterface({ input: child.stdout }).on("line", (line) => {
      this.#lines.push(line);
      this.#wake();
    });
    const end = (how: string) => {
      this.ended ??= how;
      this.#wake();
    };
    child.on("exit", (code, signal) => end(`the client ended with ${signal ?? `status ${code}`}`));
    child.on("error", (error) => end(`the client could not be started: ${error.message}`));
  }

  say(value: unknown): void {
    this.#child.stdin.write(`${JSON.stringify(value)}\n`);
  }

  async next(timeoutMs: number): Promise<Record<string, unknown>> {
    const line = await this.#line(timeoutMs);
    const value = parsed(line);
    if (typeof value !== "object" || value === null) throw new Error(`it wrote ${line.slice(0, 200)}`);
    return Object.fromEntries(Object.entries(value));
  }

  #line(timeoutMs: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`it wrote nothing for ${timeoutMs} ms`)), timeoutMs);
      this.#wake = () => {
        const line = this.#lines.shift();
        if (line === undefined && this.ended === null) return;
        clearTimeout(timer);
        this.#wake = () => {};
        if (line === undefined) reject(new Error(this.ended ?? ""));
        else resolve(line);
      };
      this.#wake();
    });
  }

  /** A client that runs on after its input has ended does not fail for it; it is killed later. */
  async finish(): Promise<string | null> {
    this.#child.stdin.end();
    if (this.ended === null)
      await once(this.#child, "exit", { signal: AbortSignal.timeout(FINISH_MS) }).catch(() => {});
    return this.#child.exitCode === 0 ? null : this.ended;
  }

  /** Ends the shell and what it started. */
  async stop(): Promise<void> {
    if (this.ended !== null) return;
    const { pid } = this.#child;
    const exit = new Promise((resolve) => this.#child.once("exit", resolve));
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
    await exit;
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
