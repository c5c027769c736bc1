import { createConnection, createServer, type Socket } from "node:net";
import { freePort } from "./net.ts";

/** How the proxy treats bytes: `pass` them, `stall` (keep connections, deliver nothing either way), or `mute` the server's answers. */
export type Mode = "pass" | "stall" | "mute";

export interface TcpProxy {
  readonly port: number;
  setMode(mode: Mode): void;
  /** Refuses connections, and cuts those that there are; or accepts them again. */
  setListening(listening: boolean): Promise<void>;
  /** Cuts every connection now; new ones are accepted. */
  cut(): void;
  close(): Promise<void>;
}

/** A TCP proxy to `127.0.0.1:port` that can misbehave, so that real servers seem to hang, vanish or answer into the void. */
export async function startTcpProxy(port: number): Promise<TcpProxy> {
  let mode: Mode = "pass";
  const pairs = new Set<[Socket, Socket]>();
  const server = createServer((client) => {
    const upstream = createConnection({ host: "127.0.0.1", port });
    const pair: [Socket, Socket] = [client, upstream];
    pairs.add(pair);
    const end = (): void => {
      client.destroy();
      upstream.destroy();
      pairs.delete(pair);
    };
    // Bytes that are held back are lost: the modes are for failures, not for delays.
    client.on("data", (chunk) => mode !== "stall" && upstream.write(chunk));
    upstream.on("data", (chunk) => mode === "pass" && client.write(chunk));
    for (const socket of pair) socket.on("close", end).on("error", end);
  });
  const cut = (): void => {
    for (const pair of pairs) for (const socket of pair) socket.destroy();
  };
  const listen = (on: number): Promise<void> => new Promise((resolve) => server.listen(on, "127.0.0.1", resolve));
  const stop = (): Promise<void> => {
    const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
    cut();
    return stopped;
  };
  const own = await freePort();
  await listen(own);
  return {
    port: own,
    setListening: (listening) => (listening ? listen(own) : stop()),
    setMode: (next) => {
      mode = next;
    },
    cut,
    close: stop,
  };
}

/** `url` with its port replaced. */
export function throughPort(url: string, port: number): string {
  const changed = new URL(url);
  changed.port = String(port);
  return changed.href;
}
