import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** Below those that the system gives to whoever connects: else a caller of a dead server might be given its port. */
const [FIRST_PORT, LAST_PORT] = [10_000, 32_000];

/** A TCP port on loopback that nobody listens on now, and that nobody is given meanwhile. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
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
