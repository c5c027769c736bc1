import { lstat, unlink } from "node:fs/promises";
import { connect, type Server } from "node:net";
import type { Address } from "../config.ts";
import { messageOf, UsageError } from "../core/fault.ts";
import { codeOf } from "../core/error-code.ts";
import type { ListenerTls } from "./tls.ts";

/** A port or socket that is being served. */
export interface Listener {
  /** With the port that the system chose, where it was left to it. */
  readonly address: Address;
  /** Replaces the certificate for new connections; for listeners that were opened with one. */
  readonly setTls: (tls: ListenerTls) => void;
  /** Stops accepting, lets what is under way finish for at most `drainMs`, then cuts it off. Resolves when all is closed. */
  readonly close: (options: { readonly drainMs: number }) => Promise<void>;
}

/**
 * Makes `server` listen. A Unix socket is open to its owner alone, and replaces the file of a dead server.
 *
 * @throws UsageError naming the address and its variable
 */
export async function listen(server: Server, address: Address): Promise<Address> {
  try {
    if (address.kind === "tcp") {
      await listening(server, () => server.listen(address.port, address.host));
      return { ...address, port: portOf(server) };
    }
    await removeDeadSocket(address.path);
    await listening(server, () => listenPrivately(server, address.path));
    return address;
  } catch (error) {
    throw new UsageError([`${nameOf(address)} ${problemOf(error)}`]);
  }
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return address.port;
}

function listening(server: Server, start: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      resolve();
    });
    start();
  });
}

/** Node binds a Unix socket before `listen` returns, so that the mask covers the one moment in which the file appears. */
function listenPrivately(server: Server, path: string): void {
  const mask = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
}

/** @throws an error of code EADDRINUSE if a process answers on the socket, or the file is not a socket */
async function removeDeadSocket(path: string): Promise<void> {
  const file = await lstat(path).catch(() => undefined);
  if (file === undefined) return;
  if (!file.isSocket() || (await answers(path)))
    throw Object.assign(new Error(`${path} exists`), { code: "EADDRINUSE" });
  await unlink(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  });
}

/** Such as `127.0.0.1:7440 (DATACRAWL_GRPC_ADDR)`. */
function nameOf(address: Address): string {
  if (address.kind === "unix") return `${address.path} (${address.variable})`;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${host}:${address.port} (${address.variable})`;
}

const PROBLEMS: ReadonlyMap<string | undefined, string> = new Map([
  ["EADDRINUSE", "is already in use"],
  ["EADDRNOTAVAIL", "is not an address of this machine"],
  ["EACCES", "needs more privileges than this process has"],
]);

function problemOf(error: unknown): string {
  return PROBLEMS.get(codeOf(error)) ?? `cannot be listened on: ${messageOf(error)}`;
}
