import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { waitUntil } from "../../support/net.ts";
import { ownProcess } from "../../support/owned.ts";
import { cleanEnv, type Env, tempDir } from "../../support/service.ts";

const BIN = join(import.meta.dirname, "../../../bin/datacrawl.js");
const STUB = join(import.meta.dirname, "stub-child.ts");

export interface Message {
  readonly id?: number | string;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: {
    readonly content?: { readonly text: string }[];
    readonly isError?: boolean;
    readonly env?: string[];
    readonly tools?: { readonly name: string }[];
    readonly cacheScope?: string;
  };
  readonly error?: { readonly code: number; readonly message: string };
}

/** A client that has started `datacrawl mcp -- server`. */
export class StdioClient {
  readonly child: ChildProcess;
  readonly messages: Message[] = [];
  readonly #log = join(tempDir(), "received");
  #stderr = "";
  readonly exited: Promise<unknown[]>;

  constructor(env: Env, flags: readonly string[] = [], manner = "") {
    const args = [BIN, "mcp", "--name", "stripe", ...flags, "--", process.execPath, STUB, this.#log, manner];
    const child = ownProcess(spawn(process.execPath, args, { env: cleanEnv(env), stdio: ["pipe", "pipe", "pipe"] }));
    child.stderr.on("data", (chunk: Buffer) => (this.#stderr += chunk.toString()));
    // Not by readline, which ends lines at U+2028, too.
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.messages.push(JSON.parse(line) as Message);
    });
    this.exited = once(child, "exit");
    this.child = child;
  }

  send(message: object): void {
    this.child.stdin?.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  }

  call(id: number, args: object, more: object = {}): void {
    this.send({ id, method: "tools/call", params: { name: "refund", arguments: args, ...more } });
  }

  async answer(id: number): Promise<Message> {
    const find = (): Message | undefined => this.messages.find((one) => one.id === id && one.method === undefined);
    await waitUntil(() => find() !== undefined, 30_000, `no answer to ${id}: ${this.#stderr}`);
    return find() as Message;
  }

  /** The arguments of the calls that the server has received. */
  get received(): unknown[] {
    if (!existsSync(this.#log)) return [];
    // A line may be seen before it is written to its end.
    const lines = readFileSync(this.#log, "utf8").split("\n").slice(0, -1);
    const messages = lines.map((line) => JSON.parse(line) as Message);
    return messages.filter(({ method }) => method === "tools/call").map(({ params }) => params?.["arguments"]);
  }

  get stderr(): string {
    return this.#stderr;
  }

  async serverPid(): Promise<number> {
    await waitUntil(() => /pid \d+/.test(this.#stderr), 30_000, "the server has not started");
    return Number(/pid (\d+)/.exec(this.#stderr)?.[1]);
  }
}
