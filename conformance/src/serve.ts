/** The hostile server: every address, opened and closed together. Never one that other machines can reach. */
import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "@datacrawl/core/clock";
import { UsageError } from "@datacrawl/core/fault";
import { certificates, type Listener, rawListeners, tlsListener } from "./listeners.ts";
import { memory } from "./memory.ts";
import { connectServer } from "./server-connect.ts";
import { serveGrpc } from "./server-grpc.ts";

/** The URLs of one address: for gRPC, and for Connect. */
export interface EndpointUrls {
  readonly grpc: string;
  readonly connect: string;
}

/** The server's addresses, as `GET /endpoints` on the main Connect address returns them. */
export interface Directory {
  /** By name; `main` is where most cases are. */
  readonly endpoints: Readonly<Record<string, EndpointUrls>>;
  /** The authority of the right TLS addresses, in PEM. */
  readonly authority: string;
}

/** A running server. */
export interface HostileServer extends Directory {
  /** Closes every address and connection. */
  close(): Promise<void>;
}

/** Where the server listens: on loopback only. */
export interface ServeOptions {
  /** Where gRPC listens: `host:port`; port 0 picks a free one. */
  readonly grpcAddr: string;
  /** Where Connect listens, and `GET /endpoints`: `host:port`. */
  readonly connectAddr: string;
  /** Dates the certificates and remembers requests. */
  readonly clock: Clock;
}

/**
 * Starts the hostile server, which answers as each case says. It allows any request: never expose it.
 *
 * @throws UsageError if an address cannot be opened or is not loopback
 */
export async function serveConformance({ grpcAddr, connectAddr, clock }: ServeOptions): Promise<HostileServer> {
  const remembered = memory(clock);
  const urls: Record<string, EndpointUrls> = {};
  const { authority, shown } = certificates(clock.now() / 1000);
  const directory: Directory = { endpoints: urls, authority: authority.certPem };
  const opened = new Opened();
  try {
    const connect = connectServer(remembered, () => JSON.stringify(directory));
    const grpc = createServer((socket) => serveGrpc(socket, remembered));
    const grpcAt = await opened.listen(grpc, loopback(grpcAddr, "--grpc-addr"));
    const connectAt = await opened.listen(connect, loopback(connectAddr, "--connect-addr"));
    const main = { grpc: `http://${grpcAt}`, connect: `http://${connectAt}` };
    const listeners: Record<string, Listener> = rawListeners();
    for (const [name, options] of Object.entries(shown)) listeners[name] = tlsListener(options, remembered, connect);
    for (const [name, { server, scheme, host }] of Object.entries(listeners)) {
      const at = await opened.listen(server, { host: "127.0.0.1", port: 0 });
      urls[name] = same(`${scheme}://${at.replace("127.0.0.1", host)}`);
    }
    urls["main"] = main;
    Object.assign(urls, misdirected(main, urls["tls-trusted"] ?? main), { refused: same(await refusedUrl()) });
    return { ...directory, close: () => opened.close() };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

const same = (url: string): EndpointUrls => ({ grpc: url, connect: url });

/** Right servers under wrong URLs. */
function misdirected(main: EndpointUrls, tls: EndpointUrls): Record<string, EndpointUrls> {
  const https = { grpc: main.grpc.replace("http:", "https:"), connect: main.connect.replace("http:", "https:") };
  return {
    "plain-behind-https": https,
    "tls-behind-http": same(tls.grpc.replace("https:", "http:")),
    "grpc-at-http1": same(main.connect),
    "connect-at-http2": same(main.grpc),
    unresolvable: same("https://conformance.invalid:7450"),
  };
}

/** A port that was free a moment ago, and at which nobody listens. */
async function refusedUrl(): Promise<string> {
  const probe = new Opened();
  const at = await probe.listen(createServer(), { host: "127.0.0.1", port: 0 });
  await probe.close();
  return `http://${at}`;
}

/** It allows any request, so other machines must not be able to mistake it for the service. */
function loopback(addr: string, option: string): { host: string; port: number } {
  const [, host = "", port = ""] = /^(.*):(\d{1,5})$/.exec(addr) ?? [];
  if (host !== "localhost" && !/^127(\.\d{1,3}){3}$/.test(host)) {
    throw new UsageError([
      `${option} ${addr}: not a loopback address such as 127.0.0.1:7450. This server allows everything.`,
    ]);
  }
  return { host, port: Number(port) };
}

/** Servers and their connections, to be closed together. */
class Opened {
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();

  /** Resolves to `host:port`. */
  listen(server: Server, at: { host: string; port: number }): Promise<string> {
    server.on("connection", (socket: Socket) => {
      socket.on("error", () => {});
      this.#sockets.add(socket.on("close", () => this.#sockets.delete(socket)));
    });
    return new Promise((resolve, reject) => {
      server.once("error", (error) =>
        reject(new UsageError([`cannot listen on ${at.host}:${at.port}: ${error.message}`])),
      );
      server.listen(at.port, at.host, () => {
        this.#servers.push(server);
        const bound = server.address();
        resolve(`${at.host}:${typeof bound === "object" ? bound?.port : at.port}`);
      });
    });
  }

  async close(): Promise<void> {
    const closing = this.#servers.map((server) => new Promise((resolve) => server.close(resolve)));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closing);
  }
}
