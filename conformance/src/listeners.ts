/** The addresses other than the main ones: TLS with every kind of certificate, and listeners that do not even listen well. */
import type { Server as HttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import { type Certificate, certificate } from "./certificates.ts";
import { FLAG, FRAME, frame, goaway, ping, settings } from "./frames.ts";
import type { Memory } from "./memory.ts";
import { serveConnect } from "./server-connect.ts";
import { serveGrpc } from "./server-grpc.ts";

/** What listens at an address, and how its URL begins. */
export interface Listener {
  readonly server: Server;
  readonly scheme: "http" | "https";
  readonly host: string;
}

const HOSTS = ["localhost", "127.0.0.1"];
const DAY = 86_400_000;

/** Certificates by the address that shows them, and the authority that clients trust. */
export function certificates(now: number): { authority: Certificate; shown: Record<string, TlsOptions> } {
  const name = "DataCrawl conformance authority";
  const authority = certificate(now, { name, authority: true });
  const impostor = certificate(now, { name, authority: true });
  const stranger = certificate(now, { name: "An authority that nobody trusts", authority: true });
  const good = { name: "localhost", issuer: authority, hosts: HOSTS };
  const leaf = certificate(now, good);
  const byLeaf = certificate(now, { ...good, issuer: leaf });
  const shown = {
    "tls-trusted": pair(leaf),
    "tls-1-3": { ...pair(leaf), minVersion: "TLSv1.3" as const },
    "tls-self-signed": pair(certificate(now, { name: "localhost", hosts: HOSTS })),
    "tls-unknown-authority": pair(certificate(now, { ...good, issuer: stranger })),
    "tls-same-name-authority": pair(certificate(now, { ...good, issuer: impostor })),
    "tls-expired": pair(certificate(now, { ...good, from: now - 30 * DAY, until: now - DAY })),
    "tls-not-yet-valid": pair(certificate(now, { ...good, from: now + DAY, until: now + 30 * DAY })),
    "tls-wrong-host": pair(certificate(now, { ...good, name: "other.example", hosts: ["other.example"] })),
    "tls-wrong-address": pair(certificate(now, { ...good, name: "127.0.0.2", hosts: ["127.0.0.2"] })),
    "tls-no-host": pair(certificate(now, { ...good, name: "nobody", hosts: [] })),
    "tls-for-clients": pair(certificate(now, { ...good, usage: "client" })),
    "tls-issued-by-leaf": { key: byLeaf.keyPem, cert: byLeaf.certPem + leaf.certPem },
    "tls-no-alpn": { ...pair(leaf), ALPNProtocols: ["allow/1"] },
  };
  return { authority, shown };
}

function pair({ keyPem, certPem }: Certificate): TlsOptions {
  return { key: keyPem, cert: certPem };
}

/** Serves gRPC or Connect, as ALPN agrees; a client that does not speak of protocols gets HTTP/1.1. */
export function tlsListener(options: TlsOptions, memory: Memory, connect: HttpServer): Listener {
  const server = createTlsServer({ ALPNProtocols: ["h2", "http/1.1"], ...options }, (socket) => {
    if (socket.alpnProtocol === "h2") serveGrpc(socket, memory);
    else serveConnect(connect, socket);
  });
  // Handshakes are meant to fail here.
  server.on("tlsClientError", () => {});
  return { server, scheme: "https", host: "localhost" };
}

/** What a listener does with a connection when it is made, or when its first bytes have come. */
type Behaviour = { readonly at: "connection" | "bytes"; readonly act: (socket: Socket) => void };

const atOnce = (act: (socket: Socket) => void): Behaviour => ({ at: "connection", act });
const onBytes = (act: (socket: Socket) => void): Behaviour => ({ at: "bytes", act });
const writes =
  (...bytes: readonly Uint8Array[]) =>
  (socket: Socket) => {
    for (const one of bytes) socket.write(one);
  };

const NOISE = Uint8Array.from({ length: 200 }, (_, n) => (n * n * 31 + 7) & 0xff);
const HANDSHAKE_FAILURE = Uint8Array.of(0x15, 0x03, 0x03, 0, 2, 2, 40);
const NO_SETTINGS = settings();
const SETTINGS_ACK = frame(FRAME.settings, FLAG.ack, 0, new Uint8Array());

const BEHIND_HTTP: Record<string, Behaviour> = {
  "ended-at-once": atOnce((socket) => socket.end()),
  "reset-at-once": atOnce((socket) => socket.resetAndDestroy()),
  "black-hole": atOnce((socket) => socket.pause()),
  "ended-after-bytes": onBytes((socket) => socket.end()),
  "reset-after-bytes": onBytes((socket) => socket.resetAndDestroy()),
  garbage: onBytes((socket) => socket.end(NOISE)),
  banner: atOnce((socket) => socket.end("220 allow.example ESMTP\r\n")),
  "http-error": onBytes((socket) =>
    socket.end("HTTP/1.1 503 Down\r\ncontent-length: 5\r\nconnection: close\r\n\r\nALLOW"),
  ),
  "h2-no-settings": onBytes(() => {}),
  "h2-goaway-first": onBytes((socket) => {
    writes(NO_SETTINGS, goaway(0, 0))(socket);
    socket.end();
  }),
  "h2-ping-first": onBytes(writes(ping(), NO_SETTINGS)),
  "h2-no-streams": onBytes(writes(settings([3, 0]), SETTINGS_ACK)),
  "h2-no-window": onBytes(writes(settings([4, 0]), SETTINGS_ACK)),
  "h2-settings-broken": onBytes(writes(frame(FRAME.settings, 0, 0, new Uint8Array(5)))),
  "h2-settings-then-end": onBytes((socket) => socket.end(NO_SETTINGS)),
  "h2-settings-without-end": onBytes(forEver(settings([3, 100]))),
};

const BEHIND_HTTPS: Record<string, Behaviour> = {
  "tls-garbage": onBytes((socket) => socket.end(NOISE)),
  "tls-alert": onBytes((socket) => socket.end(HANDSHAKE_FAILURE)),
  "tls-drop": onBytes((socket) => socket.end()),
  "tls-reset": onBytes((socket) => socket.resetAndDestroy()),
  "tls-stall": onBytes(() => {}),
};

/** Writes `bytes` over and over, a thousand times a second. */
function forEver(bytes: Uint8Array): (socket: Socket) => void {
  return (socket) => {
    const timer = setInterval(() => socket.write(Buffer.concat(Array.from({ length: 10 }, () => bytes))), 10);
    socket.on("close", () => clearInterval(timer));
  };
}

/** Every listener that does not get as far as reading a request, by name. */
export function rawListeners(): Record<string, Listener> {
  const all: Record<string, Listener> = {};
  for (const [name, one] of Object.entries(BEHIND_HTTP)) all[name] = rawListener(one, "http");
  for (const [name, one] of Object.entries(BEHIND_HTTPS)) all[name] = rawListener(one, "https");
  return all;
}

function rawListener({ at, act }: Behaviour, scheme: "http" | "https"): Listener {
  const server = createServer((socket) => {
    if (at === "connection") return act(socket);
    socket.once("data", () => act(socket));
  });
  return { server, scheme, host: "127.0.0.1" };
}
