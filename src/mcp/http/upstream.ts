import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { codeOf } from "../../core/error-code.ts";

/** Between two hops, or about the connection that we make; and what a browser says of pages. */
const NOT_FORWARDED = new Set(
  (
    "accept-encoding alt-svc connection content-length expect host keep-alive origin proxy-authenticate proxy-authorization proxy-connection " +
    "referer te trailer transfer-encoding upgrade"
  ).split(" "),
);

export interface Asked {
  readonly method: string;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  readonly body: string | null;
  readonly signal: AbortSignal;
}

/** What the MCP server answers, or why there is no answer, as a sentence. */
export type Answered = { readonly response: IncomingMessage } | NotAnswered;

interface NotAnswered {
  readonly problem: string;
  /** Short, for records. */
  readonly code: string;
  /** False if it is certain that the server has not got what was asked. */
  readonly isSent: boolean;
}

/** Without a connection nothing was sent. */
const NOT_CONNECTED = new Set(["ECONNREFUSED", "EAI_AGAIN", "ENOTFOUND", "EHOSTUNREACH", "ENETUNREACH"]);

/** The MCP server, over HTTP. */
export class Upstream {
  readonly url: URL;
  readonly #agent: HttpAgent;
  readonly #isSecure: boolean;

  constructor(url: URL) {
    this.url = url;
    this.#isSecure = url.protocol === "https:";
    this.#agent = this.#isSecure ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true });
  }

  /** Never rejects. A redirect is not followed, and not passed on: a client that follows it would ask without the proxy. */
  async ask({ method, rawHeaders, body, signal }: Asked): Promise<Answered> {
    const headers = [...endToEnd(rawHeaders), "Host", this.url.host, "Accept-Encoding", "identity"];
    if (body !== null) headers.push("Content-Length", String(Buffer.byteLength(body)));
    const options = { method, headers, agent: this.#agent, signal, rejectUnauthorized: true };
    const request = (this.#isSecure ? httpsRequest : httpRequest)(this.url, options);
    const answered = new Promise<Answered>((resolve) => {
      request.on("response", (response) => resolve({ response }));
      request.on("error", (error) => {
        const code = codeOf(error) ?? error.name;
        const problem = `The MCP server cannot be reached (${code}).`;
        resolve({ problem, code, isSent: !NOT_CONNECTED.has(code) });
      });
      request.on("upgrade", (_response, socket) => {
        socket.destroy();
        resolve({ problem: "The MCP server switches protocols (HTTP 101).", code: "HTTP_101", isSent: true });
      });
    });
    request.end(body ?? undefined);
    const answer = await answered;
    if ("problem" in answer) return answer;
    const { statusCode = 0 } = answer.response;
    const isStatus = statusCode >= 200 && statusCode < 600;
    if (isStatus && (statusCode < 300 || statusCode >= 400)) return answer;
    answer.response.destroy();
    if (!isStatus) {
      const problem = `The MCP server answers with HTTP status ${statusCode}, which there is none of.`;
      return { problem, code: `HTTP_${statusCode}`, isSent: true };
    }
    const problem = `The MCP server redirects (HTTP ${statusCode}). Start the proxy with the URL where it is.`;
    return { problem, code: `HTTP_${statusCode}`, isSent: true };
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** What of a message's headers goes on to the other side. */
export function endToEnd(rawHeaders: readonly string[]): string[] {
  const kept: string[] = [];
  const named = new Set<string>();
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.toLowerCase() === "connection")
      for (const name of (rawHeaders[at + 1] ?? "").split(",")) named.add(name.trim().toLowerCase());
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = "", value = ""] = rawHeaders.slice(at, at + 2);
    const key = name.toLowerCase();
    if (!NOT_FORWARDED.has(key) && !named.has(key) && !key.startsWith("sec-fetch-")) kept.push(name, value);
  }
  return kept;
}
