import { createServer as createPlainServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, Server as TlsServer } from "node:tls";
import type { Address } from "../../config.ts";
import { isForged } from "../client-certificate.ts";
import { LIMITS } from "../limits/limits.ts";
import { listen } from "../listen.ts";
import type { ListenerTls } from "../tls.ts";

/** A port that passes on its connections, with TLS after the handshake. */
export interface TcpListener {
  readonly address: Address;
  readonly setTls: (tls: ListenerTls) => void;
  /** Accepts no more connections and closes unused ones. Resolves when the others have ended. */
  readonly stop: () => Promise<void>;
  /** Ends every connection now. */
  readonly cut: () => void;
}

/** @throws UsageError if the address cannot be listened on */
export async function openTcpListener(
  address: Address,
  tls: ListenerTls | null,
  accept: (socket: Socket) => void,
): Promise<TcpListener> {
  let stopped = false;
  const server = createServer(tls, (socket) => {
    // A TLS handshake that was under way when the listener was stopped.
    if (stopped || isForged(socket)) socket.destroy();
    else accept(socket);
  });
  const sockets = trackSockets(server);
  return {
    address: await listen(server, address),
    setTls: (renewed) => {
      if (server instanceof TlsServer) server.setSecureContext(renewed);
    },
    stop: () => {
      stopped = true;
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
      return new Promise((resolve) => void server.close(() => resolve()));
    },
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

function createServer(tls: ListenerTls | null, accept: (socket: Socket) => void): Server {
  const server =
    tls === null
      ? createPlainServer(accept)
      : createTlsServer({ ...tls, ALPNProtocols: ["h2"], handshakeTimeout: LIMITS.handshakeMs }, accept);
  server.maxConnections = LIMITS.connections;
  return server;
}

function trackSockets(server: Server): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return sockets;
}
