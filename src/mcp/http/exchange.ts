import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { JsonObject } from "../../core/json.ts";
import { ErrorCode, type RequestId } from "../message.ts";
import { errorReply } from "../reply.ts";
import { readWhole } from "./body.ts";
import { mapEvents } from "./events.ts";
import { type Answered, endToEnd } from "./upstream.ts";
import type { Watch } from "./watch.ts";

/** Of an answer that becomes an event, in bytes. */
const MAX_ANSWER = 64 * 1024 * 1024;

/** One request of a client and how it is answered: at once, or as a stream of events once there was something to say before. */
export class Exchange {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #gone = new AbortController();

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
    response.once("close", () => response.writableFinished || this.#gone.abort());
  }

  /** Aborted when the client has closed the connection before its answer was complete. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Sends a message before the answer, if the client takes streams. */
  notify(message: JsonObject): void {
    if (!/\btext\/event-stream\b/i.test(this.#request.headers.accept ?? "")) return;
    if (!this.#response.headersSent)
      this.#response.writeHead(200, {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache, no-transform",
        "X-Accel-Buffering": "no",
      });
    this.#response.write(eventOf(JSON.stringify(message)));
  }

  /** The answer is one message, or several to a batch. */
  reply(status: number, message: JsonObject | readonly JsonObject[]): void {
    const text = JSON.stringify(message);
    if (this.#response.headersSent) this.#response.end(eventOf(text));
    else this.#response.writeHead(status, { "Content-Type": "application/json" }).end(text);
  }

  accepted(): void {
    this.#response.writeHead(202).end();
  }

  refuse(status: number, message: string, headers: Readonly<Record<string, string>> = {}): void {
    const body = JSON.stringify(errorReply(null, ErrorCode.invalidRequest, message));
    this.#response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(body);
  }

  /**
   * Passes on what the MCP server answers.
   *
   * @param id of the request that it answers, if it is one
   * @param map what becomes of each text that holds messages; null if all passes as it is
   * @param watch sees all of it
   */
  async pass(
    answered: Answered,
    id: RequestId | null,
    map: ((text: string) => Promise<string>) | null,
    watch: Watch,
  ): Promise<void> {
    if ("problem" in answered) return this.reply(502, errorReply(id, ErrorCode.internal, answered.problem));
    const { response: source } = answered;
    const { statusCode = 502 } = source;
    const heard = async (text: string): Promise<string> => {
      watch.hear(text);
      return map === null ? text : await map(text);
    };
    const isStream = /^text\/event-stream\b/i.test(source.headers["content-type"] ?? "");
    if (map !== null && statusCode >= 200 && statusCode < 300) {
      const { "content-encoding": encoding = "identity" } = source.headers;
      if (encoding !== "identity") {
        source.destroy();
        return this.reply(
          502,
          errorReply(id, ErrorCode.internal, `The MCP server's answer is compressed (${encoding}).`),
        );
      }
      if (!isStream) return await this.#passMapped(source, id, heard);
      if (!this.#response.headersSent) this.#response.writeHead(statusCode, endToEnd(source.rawHeaders)).flushHeaders();
      await pipeline(mapEvents(source, heard), this.#response).catch(() => source.destroy());
      return;
    }
    if (!this.#response.headersSent) this.#response.writeHead(statusCode, endToEnd(source.rawHeaders)).flushHeaders();
    else if (statusCode !== 200) {
      source.destroy();
      return this.reply(
        502,
        errorReply(id, ErrorCode.internal, `The MCP server answered with HTTP status ${statusCode}.`),
      );
    } else if (!isStream) return await this.#passMapped(source, id, heard);
    // One that breaks off breaks off the client's, too.
    await pipeline(watch.through(source, isStream), this.#response).catch(() => source.destroy());
  }

  async #passMapped(
    source: IncomingMessage,
    id: RequestId | null,
    map: (text: string) => Promise<string>,
  ): Promise<void> {
    const bytes = await this.#readAnswer(source, id);
    if (bytes === null) return;
    const text = bytes.toString();
    const mapped = await map(text);
    if (this.#response.headersSent) this.#response.end(eventOf(mapped));
    else
      this.#response
        .writeHead(source.statusCode ?? 502, endToEnd(source.rawHeaders))
        .end(mapped === text ? bytes : mapped);
  }

  /** Null if it cannot be read, which is answered here. */
  async #readAnswer(source: IncomingMessage, id: RequestId | null): Promise<Buffer | null> {
    const bytes = await readWhole(source, MAX_ANSWER).catch(() => null);
    if (bytes === null)
      this.reply(502, errorReply(id, ErrorCode.internal, "The MCP server's answer could not be read."));
    return bytes;
  }
}

/** Lines of an event's data are read as one text with newlines. */
function eventOf(text: string): string {
  return `event: message\n${text
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}\n`)
    .join("")}\n`;
}
