import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Address } from "../../config.ts";
import { isForged } from "../client-certificate.ts";
import { LIMITS } from "../limits/limits.ts";
import { type Listener, listen } from "../listen.ts";
import { closeAfter, type NodeRequest, type NodeResponse } from "./node-http.ts";
import type { ListenerTls } from "../tls.ts";

/** How far apart the requests of an HTTP/1.1 connection may be: more than balancers allow, so that they close it first. */
const KEEP_ALIVE_MS = 75_000;

export type HttpHandler = (request: NodeRequest, response: NodeResponse) => void;
type Server = HttpServer | Http2SecureServer;

/**
 * Serves `handle` over HTTP/1.1 in clear, or over HTTP/2 and HTTP/1.1 by ALPN with TLS.
 *
 * @throws UsageError if the address cannot be listened on
 */
export async function openHttp(address: Address, tls: ListenerTls | null, handle: HttpHandler): Promise<Listener> {
  const open = new Map<NodeResponse, NodeRequest>();
  let draining = false;
  const server = createServer(tls, (request, response) => {
    track(open, request, response);
    if (draining) closeAfter(response);
    handle(request, response);
  });
  const sockets = trackSockets(server, "connection");
  const established = tls === null ? sockets : trackSockets(server, "secureConnection");
  // A handshake that was under way when the draining began has carried nothing.
  server.on("secureConnection", (socket: Socket) => (draining || isForged(socket)) && socket.destroy());
  const bound = await listen(server, address);

  return {
    address: bound,
    setTls: (renewed) => {
      if ("setSecureContext" in server) server.setSecureContext(renewed);
    },
    close: async ({ drainMs }) => {
      draining = true;
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      for (const response of open.keys()) closeAfter(response);
      closeUnused(established, new Set([...open.values()].map((request) => request.socket)));
      await Promise.race([closed, sleep(drainMs, undefined, { ref: false })]);
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function createServer(tls: ListenerTls | null, handle: HttpHandler): Server {
  const limits = {
    headersTimeout: LIMITS.handshakeMs,
    requestTimeout: LIMITS.maxDeadlineMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: 1000,
  };
  const settings = { maxConcurrentStreams: LIMITS.streamsPerConnection };
  const server =
    tls === null
      ? createHttpServer(limits, handle)
      : createSecureServer(
          { ...tls, ...limits, settings, allowHTTP1: true, handshakeTimeout: LIMITS.handshakeMs },
          handle,
        );
  server.maxConnections = LIMITS.connections;
  return server;
}

/** Without listeners an error of a connection that breaks would end the process. */
function track(open: Map<NodeResponse, NodeRequest>, request: NodeRequest, response: NodeResponse): void {
  open.set(response, request);
  response.on("close", () => open.delete(response));
  response.on("error", nothing);
  request.on("error", nothing);
}

function trackSockets(server: Server, event: "connection" | "secureConnection"): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  server.on(event, (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return sockets;
}

/** `server.close` leaves HTTP/1.1 connections open that never carried a request. HTTP/2's it closes by themselves. */
function closeUnused(sockets: Iterable<Socket>, busy: ReadonlySet<unknown>): void {
  for (const socket of sockets) {
    const http1 = !("alpnProtocol" in socket) || socket.alpnProtocol !== "h2";
    if (http1 && !busy.has(socket)) socket.destroy();
  }
}

function nothing(): void {}
