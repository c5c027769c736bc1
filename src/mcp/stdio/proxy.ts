import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import type { JsonObject } from "../../core/json.ts";
import { admit, type RunOf, type Waiting } from "../admit.ts";
import { Ends } from "../ends.ts";
import type { Gate, GuardVerdict } from "../gate.ts";
import { InFlight } from "../in-flight.ts";
import { ErrorCode, type Frame, isObject, looselyRead, readFrame, type ToolCall } from "../message.ts";
import { filterText, type ListFilter } from "../list-filter.ts";
import { TOOLS_LIST } from "../methods.ts";
import { endedReply, errorReply, idInFlightReply, unreadReply, waitingNotice, withheldReply } from "../reply.ts";
import { NOT_FORWARDED } from "../runs.ts";
import { type Line, LineSplitter } from "./lines.ts";
import type { ServerEnd, ServerProcess } from "./server-process.ts";

export interface StdioProxyOptions {
  readonly gate: Pick<Gate, "decide" | "start">;
  readonly server: Pick<ServerProcess, "stdin" | "stdout" | "stop" | "ended">;
  /** Of the client. */
  readonly input: Readable;
  readonly output: Writable;
  readonly passMethods: ReadonlySet<string>;
  /** Null: lists of tools pass as they are. */
  readonly listFilter: Pick<ListFilter, "filter"> | null;
  /** Takes a sentence for people. */
  readonly warn: (problem: string) => void;
}

/** Of a line from the client. More than any call may have; images in answers to the server are larger. */
export const MAX_CLIENT_LINE = 16 * 1024 * 1024;
/** Of a line from the server, which may be a whole file. */
const MAX_SERVER_LINE = 64 * 1024 * 1024;

/** The one version that knows them. */
const BATCHES = "2025-03-26";
const CANCELLED = "notifications/cancelled";
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Carries messages between a client and a server over their standard streams. Calls of tools are forwarded when they are allowed.
 *
 * Resolves when both have ended: to null if the client ended it, else to how the server did.
 */
export async function runStdioProxy(options: StdioProxyOptions): Promise<ServerEnd | null> {
  return await new StdioProxy(options).run();
}

class StdioProxy {
  readonly #options: StdioProxyOptions;
  readonly #inFlight = new InFlight();
  readonly #ends = new Ends();
  /** Aborted when the client has ended, or nothing more can be written to it. */
  readonly #clientGone = new AbortController();
  readonly #deciding = new Set<Promise<void>>();
  /** If lists of tools are filtered, the ids of requests for one that have no answer yet, and the answers that are being filtered. */
  readonly #lists = new Set<unknown>();
  readonly #filtering = new Set<Promise<void>>();
  /** The version that client and server agreed on; null before that. */
  #agreedVersion: string | null = null;
  #hasServerEnded = false;

  constructor(options: StdioProxyOptions) {
    this.#options = options;
  }

  async run(): Promise<ServerEnd | null> {
    const { input, output, server } = this.#options;
    // A client that reads no more has ended, whatever it may still write.
    output.on("error", () => input.destroy());
    const clientEnded = this.#readClient().finally(() => this.#clientGone.abort());
    const serverRead = this.#readServer();
    const first = await Promise.race([clientEnded.then(() => null), server.ended]);
    if (first === null) {
      await Promise.all(this.#deciding);
      await server.stop();
      await serverRead;
      this.#inFlight.abandon("NO_ANSWER");
      await Promise.all(this.#filtering);
      return null;
    }
    this.#hasServerEnded = true;
    await serverRead;
    await Promise.all(this.#filtering);
    const unanswered = this.#inFlight.abandon("SERVER_ENDED");
    const unknown = `The MCP server ${first.how}. Whether it has done what was asked is unknown.`;
    for (const id of unanswered) await this.#send(errorReply(id, ErrorCode.internal, unknown));
    this.#clientGone.abort();
    await Promise.all(this.#deciding);
    input.destroy();
    return { ...first, isClean: first.isClean && unanswered.length === 0 };
  }

  async #readClient(): Promise<void> {
    const splitter = new LineSplitter(MAX_CLIENT_LINE);
    try {
      for await (const chunk of this.#options.input)
        for (const line of splitter.take(chunk as Buffer)) await this.#takeLine(line);
    } catch {
      // It was cut off, which ends it as well.
    }
  }

  async #takeLine(line: Line): Promise<void> {
    const read = textOf(line);
    if ("problem" in read) return await this.#send(unreadReply(read.problem));
    if (read.text.trim() === "") return;
    const { passMethods } = this.#options;
    const frame = readFrame(read.text, { passMethods, batches: this.#agreedVersion === BATCHES });
    const calls = frame.messages.filter((message) => message.kind === "call");
    if (frame.messages.some(({ kind }) => kind === "refused")) return await this.#refuse(frame);
    if (calls.length === 0) return await this.#pass(frame);
    // The next line does not wait for it: a call may wait for people, and what cancels it comes on the same stream.
    const deciding = this.#decide(frame, calls).finally(() => this.#deciding.delete(deciding));
    this.#deciding.add(deciding);
  }

  async #refuse({ messages }: Frame): Promise<void> {
    for (const message of messages) {
      if (message.kind === "refused" && message.answer === "none")
        this.#options.warn(`a notification was not forwarded: ${message.message}`);
      await this.#send(withheldReply(message));
    }
  }

  async #pass(frame: Frame): Promise<void> {
    const [message] = frame.messages;
    const isCancel = message?.kind === "notification" && message.method === CANCELLED;
    // The server has not heard of a call that waits here.
    if (isCancel && this.#inFlight.cancel(message.params["requestId"])) return;
    // Its answer could be taken for the other's.
    if (frame.messages.some((one) => one.kind === "request" && this.#inFlight.has(one.id))) {
      for (const one of frame.messages) await this.#send(idInFlightReply(one));
      return;
    }
    await this.#forward(frame, new Map());
  }

  async #decide(frame: Frame, calls: readonly ToolCall[]): Promise<void> {
    const held = calls.map((call) => this.#inFlight.hold(call));
    const release = (): void => {
      for (const one of held) one?.release();
    };
    const waiting = calls.map((call, index): Waiting => {
      const signal = held[index]?.signal;
      return { call, options: signal === undefined ? null : { ...this.#waitFor(call), signal } };
    });
    const admission = await admit(this.#options.gate, waiting, async (runs) => {
      release();
      await this.#forward(frame, runs);
    });
    release();
    if (admission.kind !== "refused") return;
    for (const message of frame.messages) await this.#send(admission.replyTo(message));
  }

  #waitFor({ progressToken }: ToolCall) {
    const onWaiting = (count: number, verdict: GuardVerdict): void => {
      if (progressToken !== null) void this.#send(waitingNotice(progressToken, count, verdict));
    };
    return { hurry: this.#clientGone.signal, onWaiting };
  }

  /** @param runs of the frame's calls */
  async #forward({ messages, text }: Frame, runs: RunOf): Promise<void> {
    if (this.#hasServerEnded) {
      for (const run of runs.values()) run.end(NOT_FORWARDED);
      for (const message of messages) await this.#send(endedReply(message));
      return;
    }
    const isFiltered = this.#options.listFilter !== null;
    for (const message of messages) {
      if (message.kind === "call") this.#inFlight.forward(message, runs.get(message) ?? null);
      if (message.kind === "request") this.#inFlight.forward(message, null);
      if (isFiltered && message.kind === "request" && message.method === TOOLS_LIST) this.#lists.add(message.id);
    }
    await write(this.#options.server.stdin, `${inOneLine(text)}\n`);
  }

  async #readServer(): Promise<void> {
    const splitter = new LineSplitter(MAX_SERVER_LINE);
    try {
      for await (const chunk of this.#options.server.stdout)
        for (const line of splitter.take(chunk as Buffer)) {
          if (line === null)
            this.#options.warn(`a message of the server is longer than ${MAX_SERVER_LINE} bytes and was left out`);
          else await this.#takeAnswer(line);
        }
    } catch {
      // What it had written is read; that it ends is seen by its process.
    }
  }

  async #takeAnswer(line: Buffer): Promise<void> {
    let isList = false;
    for (const message of looselyRead(line.toString())) {
      this.#noteAnswer(message);
      isList ||= message["method"] === undefined && this.#lists.has(message["id"]);
    }
    const { listFilter } = this.#options;
    if (!isList || listFilter === null) return await this.#passLine(line);
    // The next line does not wait for it: the service may be slow, and other answers do not depend on it.
    const filtering = this.#filter(line, listFilter).finally(() => this.#filtering.delete(filtering));
    this.#filtering.add(filtering);
  }

  async #filter(line: Buffer, listFilter: Pick<ListFilter, "filter">): Promise<void> {
    const text = line.toString();
    const isList = ({ id }: JsonObject): boolean => this.#lists.delete(id);
    const filtered = await filterText(text, isList, (message) => listFilter.filter(message));
    await this.#passLine(filtered === text ? line : Buffer.from(filtered));
  }

  async #passLine(line: Buffer): Promise<void> {
    await write(this.#options.output, Buffer.concat([line, Buffer.from("\n")]));
  }

  #noteAnswer(message: JsonObject): void {
    this.#ends.heard(message);
    const { id, method, result } = message;
    if (method !== undefined || id === undefined) return;
    const answered = this.#inFlight.answered(id);
    if (answered?.run) this.#ends.answered(answered.run, message);
    if (answered?.method !== "initialize" || !isObject(result)) return;
    const { protocolVersion } = result;
    if (typeof protocolVersion === "string") this.#agreedVersion = protocolVersion;
  }

  async #send(message: JsonObject | null): Promise<void> {
    if (message !== null) await write(this.#options.output, `${JSON.stringify(message)}\n`);
  }
}

/** A carriage return ends a line for some readers: what stands between two of them would be another message to them. */
function textOf(line: Line): { readonly text: string } | { readonly problem: string } {
  if (line === null) return { problem: `it is longer than ${MAX_CLIENT_LINE} bytes` };
  let text: string;
  try {
    text = UTF8.decode(line);
  } catch {
    return { problem: "it is not valid UTF-8" };
  }
  if (text.endsWith("\r")) text = text.slice(0, -1);
  return text.includes("\r") ? { problem: "it has a carriage return inside" } : { text };
}

/**
 * JSON that no reader takes for several lines. Node's readline ends one also at U+2028 and U+2029, Python's splitlines at U+0085: what stands
 * between two of them in a string would be a message of its own to such a server. In JSON they occur in strings alone.
 */
function inOneLine(text: string): string {
  return text.replace(/[\u0085\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Resolves when more may be written. What cannot be written is lost: its reader has gone. */
async function write(stream: Writable, data: string | Buffer): Promise<void> {
  if (!stream.writable || stream.write(data)) return;
  const gone = new AbortController();
  const close = (): void => gone.abort();
  stream.once("close", close).once("error", close);
  await once(stream, "drain", { signal: gone.signal }).catch(() => {});
  stream.off("close", close).off("error", close);
}
