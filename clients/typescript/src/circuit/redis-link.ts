import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import type { Redis } from "ioredis";
import { messageOf } from "@datacrawl/core/fault";

/** How long a connection may take to be of use, and then each exchange; then it is dropped, with all that waits on it. */
const CONNECT_MS = 1_000;
const EXCHANGE_MS = 1_000;
const RECONNECT_MS = { first: 100, last: 5_000 };

/**
 * One connection to the one server that holds the keys: in a Cluster the server that a MOVED answer names. Commands and
 * announcements share it (RESP3).
 *
 * Nothing queues and nothing is sent twice: without a connection a command fails at once, and one that is not answered in
 * time takes the connection with it. ioredis' own `commandTimeout` would leave such a command waiting in its queue, and its
 * timers, like its reconnecting, would hold a process that wants to end; those here hold nothing. What is left is the
 * kernel's: a process that ends while it connects to an address that swallows packets waits for `CONNECT_MS` at most.
 */
export class RedisLink {
  readonly #urls: readonly string[];
  readonly #channel: string;
  readonly #random: () => number;
  readonly #onNews: () => void;
  #client: Redis | null = null;
  #ready = false;
  #closed = false;
  #tries = 0;
  #url = "";
  #moved: string | null = null;
  #problem: string | null = "not connected yet";

  /**
   * @param urls comma-separated; of one server, or of some of a Cluster's
   * @param onNews called when something was announced on `channel`, and when the connection is ready
   */
  constructor(urls: string, channel: string, random: () => number, onNews: () => void) {
    this.#urls = urls.split(",").map((url) => url.trim());
    this.#channel = channel;
    this.#random = random;
    this.#onNews = onNews;
    void this.#connect();
  }

  get ready(): boolean {
    return this.#ready;
  }

  get problem(): string | null {
    return this.#problem;
  }

  /** Runs `script`. Rejects when there is no connection, and within a second when there is no answer. */
  async run(script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const client = this.#client;
    if (client === null || !this.#ready) throw new Error(this.#problem ?? "not connected");
    const tooLate = after(EXCHANGE_MS, () => this.#drop(client, "no answer in time"));
    try {
      const reply = await evaluate(client, script, keys, args);
      this.#tries = 0;
      this.#problem = null;
      return reply;
    } catch (error) {
      this.#follow(client, messageOf(error));
      throw error;
    } finally {
      clearTimeout(tooLate);
    }
  }

  close(): void {
    this.#closed = true;
    if (this.#client !== null) this.#drop(this.#client, "closed");
  }

  async #connect(): Promise<void> {
    if (this.#closed) return;
    this.#url = this.#moved ?? this.#urls[this.#tries % this.#urls.length] ?? "";
    this.#moved = null;
    try {
      // Here and not above: who has no Redis need not have its client.
      const { Redis } = await import("ioredis");
      if (!this.#closed) this.#use(new Redis(this.#url, OPTIONS));
    } catch (error) {
      this.#problem = messageOf(error);
      this.#reconnect();
    }
  }

  #use(client: Redis): void {
    this.#client = client;
    const tooLate = after(CONNECT_MS, () => this.#drop(client, "no connection in time"));
    client.on("error", (error) => {
      this.#problem = messageOf(error);
    });
    client.once("connect", () => client.stream.unref());
    client.once("ready", () => {
      clearTimeout(tooLate);
      if (this.#client !== client) return;
      this.#ready = true;
      client.on("message", this.#onNews);
      // Without the right to subscribe there are still the polls.
      client.subscribe(this.#channel).catch(ignore);
      this.#onNews();
    });
    client.once("end", () => {
      clearTimeout(tooLate);
      this.#lost(client);
    });
  }

  #drop(client: Redis, problem: string): void {
    this.#problem = problem;
    // Destroyed and not only ended: the other side may never answer.
    client.stream?.destroy();
    client.disconnect();
    this.#lost(client);
  }

  #lost(client: Redis): void {
    if (this.#client !== client) return;
    this.#client = null;
    this.#ready = false;
    this.#reconnect();
  }

  #reconnect(): void {
    if (this.#closed) return;
    const delay = Math.min(RECONNECT_MS.last, RECONNECT_MS.first * 2 ** this.#tries);
    this.#tries += 1;
    after(delay * (0.5 + this.#random()), () => void this.#connect());
  }

  /** An error that says that another server is the right one leads there. */
  #follow(client: Redis, message: string): void {
    this.#problem = message;
    const moved = /^MOVED \d+ (.*):(\d+)$/.exec(message);
    if (moved !== null) this.#moved = elsewhere(this.#url, moved[1] ?? "", moved[2] ?? "");
    if (moved !== null || message.startsWith("READONLY")) this.#drop(client, message);
  }
}

/** Whether the Redis client, an optional dependency, is installed. */
export function hasRedisClient(): boolean {
  try {
    createRequire(import.meta.url).resolve("ioredis");
    return true;
  } catch {
    return false;
  }
}

const OPTIONS = {
  protocol: 3,
  // The deadlines are this link's own.
  connectTimeout: 0,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  // A server that is still loading refuses the script: that is check enough.
  enableReadyCheck: false,
  disableClientInfo: true,
  retryStrategy: null,
} as const;

/** A Lua script, sent whole only to a server that does not know it. */
export class Script {
  readonly lua: string;
  readonly sha: string;

  constructor(lua: string) {
    this.lua = lua;
    this.sha = createHash("sha1").update(lua).digest("hex");
  }
}

async function evaluate(
  client: Redis,
  { lua, sha }: Script,
  keys: readonly string[],
  args: readonly string[],
): Promise<unknown> {
  try {
    return await client.evalsha(sha, keys.length, ...keys, ...args);
  } catch (error) {
    if (!messageOf(error).startsWith("NOSCRIPT")) throw error;
    return await client.eval(lua, keys.length, ...keys, ...args);
  }
}

/** `url` with another address; a server that does not know its own name leaves it out. */
function elsewhere(url: string, host: string, port: string): string {
  const address = new URL(url);
  if (host !== "" && host !== "?") address.hostname = host.includes(":") ? `[${host}]` : host;
  address.port = port;
  return address.href;
}

/** Like setTimeout, but a process that wants to end does not wait for it. */
function after(milliseconds: number, then: () => void): NodeJS.Timeout {
  return setTimeout(then, milliseconds).unref();
}

function ignore(): void {}
