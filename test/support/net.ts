import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** A TCP port on loopback that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** Polls `condition` until it holds. @throws if it does not within `milliseconds` */
export async function waitUntil(
  condition: () => Promise<boolean> | boolean,
  milliseconds: number,
  otherwise: string,
): Promise<void> {
  const end = performance.now() + milliseconds;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`${otherwise} (waited ${milliseconds} ms)`);
    await sleep(20);
  }
}
