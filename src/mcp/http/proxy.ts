import type { IncomingMessage, ServerResponse } from "node:http";
import type { Address } from "../../config.ts";
import type { JsonObject } from "../../core/json.ts";
import { openHttp } from "../../server/http/http.ts";
import { pathOf } from "../../server/http/node-http.ts";
import { RequestRules } from "../../server/limits/request-rules.ts";
import type { Listener } from "../../server/listen.ts";
import { admit, type RunOf, type Waiting } from "../admit.ts";
import { Ends } from "../ends.ts";
import type { Gate } from "../gate.ts";
import { type ClientMessage, ErrorCode, type Frame, readFrame, type RequestId, type ToolCall } from "../message.ts";
import { filterText, type ListFilter } from "../list-filter.ts";
import { TOOLS_LIST } from "../methods.ts";
import { errorReply, unreadReply, waitingNotice, withheldReply } from "../reply.ts";
import type { End, Run } from "../runs.ts";
import { readBody } from "./body.ts";
import { Exchange } from "./exchange.ts";
import { headerProblem } from "./headers.ts";
import { type Answered, Upstream } from "./upstream.ts";
import { Watch } from "./watch.ts";

export interface HttpProxyOptions {
  readonly gate: Pick<Gate, "decide" | "start">;
  /** Of the MCP server. The proxy serves the same path. */
  readonly url: URL;
  readonly address: Address;
  /** Besides those of loopback, in lower case and without ports. */
  readonly allowedHosts: readonly string[];
  readonly passMethods: ReadonlySet<string>;
  /** Null: lists of tools pass as they are. */
  readonly listFilter: Pick<ListFilter, "filter"> | null;
}

/** Without the header a request is of this version, which is the one that knows batches. */
const BATCHES = "2025-03-26";
const MIRRORED_SINCE = "2026-07-28";
/** How many calls whose stream broke off are remembered, in case that a client resumes it. */
const MAX_BROKEN_OFF = 1_000;

/**
 * Carries messages between clients and a server over streamable HTTP. Calls of tools are forwarded when they are allowed.
 *
 * @throws UsageError if the address cannot be listened on
 */
export async function openHttpProxy(options: HttpProxyOptions): Promise<Listener> {
  const proxy = new HttpProxy(options);
  const listener = await openHttp(options.address, null, (request, response) => {
    // Without TLS all of them are of HTTP/1.1.
    void proxy.handle(request as IncomingMessage, response as ServerResponse);
  });
  return {
    ...listener,
    close: async (closing) => {
      await listener.close(closing);
      proxy.close();
    },
  };
}

class HttpProxy {
  readonly #options: HttpProxyOptions;
  readonly #upstream: Upstream;
  readonly #rules: RequestRules;
  /** Calls that wait here, by session and id. Without a session a client cancels by closing the connection. */
  readonly #held = new Map<string, AbortController>();
  readonly #ends = new Ends();
  /** Calls of sessions that the server has, by session and id. Where their stream has broken off, the answer comes on another one. */
  readonly #running = new Map<string, Run>();

  constructor(options: HttpProxyOptions) {
    this.#options = options;
    this.#upstream = new Upstream(options.url);
    this.#rules = new RequestRules({ address: options.address, encrypted: false, allowedHosts: options.allowedHosts });
  }

  close(): void {
    this.#upstream.close();
    for (const run of this.#running.values()) run.end({ outcome: "unknown", errorCode: "NO_ANSWER" });
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const exchange = new Exchange(request, response);
    try {
      const fault = this.#rules.problemOf(request);
      if (fault !== null) return exchange.refuse(fault.status === "permission_denied" ? 403 : 400, fault.message);
      if (pathOf(request) !== this.#options.url.pathname)
        return exchange.refuse(404, `The MCP server is at ${this.#options.url.pathname}.`);
      if (request.method === "POST") return await this.#post(request, exchange);
      // Streams of what the server says by itself, and the end of a session.
      if (request.method === "GET" || request.method === "DELETE")
        return await this.#forward(request, exchange, null, new Map());
      exchange.refuse(405, "An MCP server takes POST, GET and DELETE.", { Allow: "POST, GET, DELETE" });
    } catch {
      // The client has gone.
      response.destroy();
    }
  }

  async #post(request: IncomingMessage, exchange: Exchange): Promise<void> {
    const body = await readBody(request);
    if ("problem" in body) return exchange.reply(body.status, unreadReply(body.problem));
    const version = request.headers["mcp-protocol-version"] ?? BATCHES;
    const { passMethods } = this.#options;
    const frame = readFrame(body.text, { passMethods, batches: version === BATCHES });
    const [first] = frame.messages;
    if (frame.messages.some(({ kind }) => kind === "refused"))
      return this.#refuse(frame, exchange, version >= MIRRORED_SINCE);
    const problem = headerProblem(request.headersDistinct, frame.isBatch ? null : (first ?? null));
    if (problem !== null) return exchange.reply(400, errorReply(idOf(first), ErrorCode.headerMismatch, problem));
    const calls = frame.messages.filter((message) => message.kind === "call");
    if (calls.length > 0) return await this.#decide(request, exchange, frame, calls);
    if (first?.kind === "notification" && first.method === "notifications/cancelled") {
      const key = keyOf(request, first.params["requestId"]) ?? "";
      const held = this.#held.get(key);
      held?.abort();
      this.#running.get(key)?.end(CANCELLED);
      // The server has not heard of that call.
      if (held !== undefined) return exchange.accepted();
    }
    await this.#forward(request, exchange, frame, new Map());
  }

  #refuse({ messages, isBatch }: Frame, exchange: Exchange, isModern: boolean): void {
    const [first] = messages;
    const replies = messages.map(withheldReply).filter((one) => one !== null);
    const [reply] = replies;
    if (isBatch && replies.length > 0) return exchange.reply(200, replies);
    if (first?.kind !== "refused" || reply === undefined)
      return exchange.refuse(
        400,
        first?.kind === "refused" ? `DataCrawl did not forward this: ${first.message}.` : "It was not forwarded.",
      );
    // Clients of former versions take another status for an end of the connection.
    const isAnswer = first.answer === "result" || (first.id !== null && !isModern);
    exchange.reply(isAnswer ? 200 : first.code === ErrorCode.unknownMethod ? 404 : 400, reply);
  }

  async #decide(request: IncomingMessage, exchange: Exchange, frame: Frame, calls: readonly ToolCall[]): Promise<void> {
    const waiting = calls.map((call): Waiting => ({ call, options: this.#hold(request, exchange, call) }));
    const release = (): void => {
      for (const { call, options } of waiting) if (options !== null) this.#held.delete(keyOf(request, call.id) ?? "");
    };
    const admission = await admit(this.#options.gate, waiting, async (runs) => {
      release();
      await this.#forward(request, exchange, frame, runs);
    });
    if (admission.kind === "forwarded") return;
    release();
    if (exchange.gone.aborted) return;
    if (admission.kind === "cancelled")
      // The client does not wait for it, but its connection does.
      return exchange.reply(
        200,
        errorReply(idOf(frame.messages[0]), ErrorCode.invalidRequest, "The call was cancelled."),
      );
    const replies = frame.messages.map(admission.replyTo).filter((one) => one !== null);
    const [reply] = replies;
    if (reply !== undefined) exchange.reply(200, frame.isBatch ? replies : reply);
  }

  /** Null if another call of the session that waits or runs has the same id. */
  #hold(request: IncomingMessage, exchange: Exchange, { id, progressToken }: ToolCall): Waiting["options"] {
    const key = keyOf(request, id);
    if (key !== null && (this.#held.has(key) || this.#running.get(key)?.isOver === false)) return null;
    const cancel = new AbortController();
    if (key !== null) this.#held.set(key, cancel);
    return {
      signal: AbortSignal.any([cancel.signal, exchange.gone]),
      onWaiting: (count, waiting) => {
        if (progressToken !== null) exchange.notify(waitingNotice(progressToken, count, waiting));
      },
    };
  }

  /** @param runs of the frame's calls */
  async #forward(request: IncomingMessage, exchange: Exchange, frame: Frame | null, runs: RunOf): Promise<void> {
    const { method = "", rawHeaders } = request;
    const byId = new Map<unknown, Run>();
    for (const [{ id }, run] of runs) {
      byId.set(id, run);
      const key = keyOf(request, id);
      if (key !== null) this.#running.set(key, run);
    }
    const inSession = (id: unknown): Run | undefined => this.#running.get(keyOf(request, id) ?? "");
    const watch = new Watch({ ends: this.#ends, runOf: frame === null ? inSession : (id) => byId.get(id) });
    const body = frame?.text ?? null;
    const answered = await this.#upstream.ask({ method, rawHeaders, body, signal: exchange.gone });
    try {
      await exchange.pass(answered, idOf(frame?.messages[0]), this.#mapOf(frame, exchange.gone), watch);
    } finally {
      for (const [{ id }, run] of runs) {
        const key = keyOf(request, id);
        if (!run.isOver && key !== null && watch.isResumable) continue;
        run.end(endWithoutAnswer(answered, exchange.gone));
        if (key !== null && this.#running.get(key) === run) this.#running.delete(key);
      }
      this.#forgetBrokenOff();
    }
  }

  #forgetBrokenOff(): void {
    for (const [key, run] of this.#running) {
      if (!run.isOver && this.#running.size <= MAX_BROKEN_OFF) continue;
      run.end({ outcome: "unknown", errorCode: "NO_ANSWER" });
      this.#running.delete(key);
    }
  }

  /** What becomes of the answers to `frame`; null where nothing does. */
  #mapOf(frame: Frame | null, gone: AbortSignal): ((text: string) => Promise<string>) | null {
    const { listFilter } = this.#options;
    if (listFilter === null) return null;
    const lists = frame?.messages.filter((one) => one.kind === "request" && one.method === TOOLS_LIST);
    if (lists?.length === 0) return null;
    const ids = new Set<unknown>(lists?.map(idOf));
    // A stream that is resumed repeats answers to requests of before; of a list there it is known only that it has tools.
    const isList = ({ id }: JsonObject): boolean => lists === undefined || ids.has(id);
    return (text) => filterText(text, isList, (message) => listFilter.filter(message, gone));
  }
}

const CANCELLED: End = { outcome: "unknown", errorCode: "CANCELLED" };

/** How a call ended that the server has not answered. */
function endWithoutAnswer(answered: Answered, gone: AbortSignal): End {
  if ("problem" in answered && !answered.isSent) return { outcome: "failed", errorCode: answered.code };
  if (gone.aborted) return CANCELLED;
  if ("problem" in answered) return { outcome: "unknown", errorCode: answered.code };
  const { statusCode = 0 } = answered.response;
  if (statusCode < 400) return { outcome: "unknown", errorCode: "NO_ANSWER" };
  // A client's mistake is refused before anything runs. What came of the server's own nobody knows.
  return { outcome: statusCode < 500 ? "failed" : "unknown", errorCode: `HTTP_${statusCode}` };
}

function keyOf({ headers }: IncomingMessage, id: unknown): string | null {
  const session = headers["mcp-session-id"];
  return session === undefined ? null : `${JSON.stringify(session)} ${JSON.stringify(id)}`;
}

function idOf(message: ClientMessage | undefined): RequestId | null {
  return message !== undefined && "id" in message ? message.id : null;
}
