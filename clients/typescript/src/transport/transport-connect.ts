import type http from "node:http";
import { broken, type BrokenReply, envelope, networkProblem, pairs, type RawReply, unframeBroken } from "./framing.ts";
import { unframeConnect } from "./framing-connect.ts";
import type { Attempt, Endpoint, Exchange, Protocol } from "./transport.ts";

// Not imported: an import of node:http reads each of its exports, and one of them loads all of Node's fetch.
const { request: httpRequest, Agent: HttpAgent } = process.getBuiltinModule("node:http");
const { request: httpsRequest, Agent: HttpsAgent } = process.getBuiltinModule("node:https");

/** As many calls at once; more wait, within their deadlines. */
const MAX_CONNECTIONS = 256;

/** The Connect protocol in protobuf, over HTTP/1.1: for networks that carry nothing newer. One call a connection. */
export function openConnect(endpoint: Endpoint): Protocol {
  const secure = endpoint.url.protocol === "https:";
  const pool = { keepAlive: true, maxSockets: MAX_CONNECTIONS, maxFreeSockets: 32 };
  // Said out loud, or NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would turn the check off.
  const trust = {
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    ...(endpoint.ca !== undefined && { ca: endpoint.ca }),
  } as const;
  const agent = secure ? new HttpsAgent({ ...pool, ...trust }) : new HttpAgent(pool);
  let closed = false;
  return {
    send(attempt) {
      if (!closed) return call(endpoint.url, agent, attempt);
      return { reply: Promise.resolve(unframeBroken(unreachable("the guard is closed"))), abandon() {} };
    },
    close() {
      closed = true;
      agent.destroy();
    },
  };
}

const unreachable = (problem: string): BrokenReply => broken("unreachable", problem);
const foreign = (problem: string): BrokenReply => broken("protocol", problem);

function call(url: URL, agent: http.Agent, attempt: Attempt): Exchange {
  const { method, timeoutMs, maxReplyBytes, awaited, streams = false, traceparent } = attempt;
  const { authorization, certificate } = attempt;
  const body = streams ? envelope(attempt.message) : attempt.message;
  const request = (url.protocol === "https:" ? httpsRequest : httpRequest)(url, {
    agent,
    // Node keeps connections of another certificate apart.
    ...certificate,
    method: "POST",
    path: `/datacrawl.authz.v1.AuthorizeService/${method}`,
    headers: {
      "content-type": streams ? "application/connect+proto" : "application/proto",
      "content-length": body.length,
      "connect-protocol-version": "1",
      "connect-timeout-ms": timeoutMs,
      ...(authorization !== null && { authorization }),
      ...(traceparent && { traceparent }),
      "user-agent": "datacrawl-guard",
    },
    insecureHTTPParser: false,
  });
  if (!awaited) request.on("socket", (socket) => socket.unref());
  const reply = listen(request, maxReplyBytes).then((raw) => unframeConnect(raw, streams));
  request.end(body);
  // The connection goes with the call, so there is no silent one to be kept.
  return { reply, abandon: () => void request.destroy() };
}

function listen(request: http.ClientRequest, maxBytes: number): Promise<RawReply> {
  return new Promise((resolve) => {
    request.on("error", (error) => resolve(brokenOff(error)));
    let responded = false;
    request.on("close", () => responded || resolve(unreachable("the connection was lost")));
    // An upgrade that nobody asked for.
    request.on("upgrade", (response, socket) => {
      resolve(foreign(`HTTP ${response.statusCode}`));
      socket.destroy();
    });
    request.on("response", (response) => {
      responded = true;
      if (response.httpVersion !== "1.1") resolve(foreign(`HTTP/${response.httpVersion}`));
      collect(response, maxBytes).then(resolve, (error: Error) => resolve(brokenOff(error)));
    });
  });
}

async function collect(response: http.IncomingMessage, maxBytes: number): Promise<RawReply> {
  const chunks: Buffer[] = [];
  let length = 0;
  // Leaving the loop early destroys the response, and its connection.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) return foreign(`the answer is over ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  if (!response.complete) return unreachable("the connection was lost");
  const headers = pairs(response.rawHeaders);
  return {
    kind: "reply",
    httpStatus: response.statusCode ?? 0,
    headers,
    body: Buffer.concat(chunks, length),
    trailers: null,
  };
}

function brokenOff(error: Error): BrokenReply {
  // llhttp's complaints: what arrived is not HTTP/1.1.
  const protocol = ((error as NodeJS.ErrnoException).code ?? "").startsWith("HPE_");
  return broken(protocol ? "protocol" : "unreachable", networkProblem(error));
}
