import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { freePort } from "./net.ts";

export interface Received {
  readonly id: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly body: string;
  readonly headers: IncomingMessage["headers"];
}

export type Answer = (response: ServerResponse, message: Received) => void;

const accept: Answer = (response) => response.writeHead(204).end();

/** A webhook's receiver, which answers as it is told. */
export class Receiver {
  readonly received: Received[] = [];
  answer: Answer = accept;
  connections = 0;
  #server: Server | null = null;
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}/hook/t0ken`;
  }

  get ids(): string[] {
    return this.received.map(({ id }) => id);
  }

  /** On the same port each time. */
  async open(): Promise<this> {
    this.#server = createServer((request, response) => void this.#take(request, response));
    this.#server.on("connection", () => this.connections++);
    this.#port ||= await freePort();
    await new Promise<void>((resolve) => this.#server?.listen(this.#port, "127.0.0.1", resolve));
    return this;
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    try {
      for await (const chunk of request) body += String(chunk);
    } catch {
      return;
    }
    if (!request.complete) return;
    const { type, data } = JSON.parse(body) as Pick<Received, "type" | "data">;
    const message = { id: String(request.headers["webhook-id"]), type, data, body, headers: request.headers };
    this.received.push(message);
    this.answer(response, message);
  }
}

/** Verifies a message as docs/webhooks.md tells receivers to, without any of our code. */
export function isSigned({ headers, body }: Received, secret: string, toleranceSeconds = 300): boolean {
  const key = Buffer.from(secret.trim().replace(/^whsec_/, ""), "base64");
  const [id, timestamp] = [String(headers["webhook-id"]), String(headers["webhook-timestamp"])];
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > toleranceSeconds) return false;
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  return String(headers["webhook-signature"]).split(" ").includes(`v1,${expected}`);
}
