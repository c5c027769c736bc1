import type { Address } from "../config.ts";

/** Resolves with the name of the first signal that asks the process to stop. */
export function untilStopped(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
}

/** A TCP address as `host:port`, an IPv6 host in brackets; a Unix socket as `unix:/path`. */
export function shownAddress(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}
