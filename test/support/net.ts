import { randomInt } from "node:crypto";
import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Below those that the system gives to whoever connects: else a caller of a dead server might be given its port. */
const [FIRST_PORT, LAST_PORT] = [10_000, 32_000];

/**
 * How long a port that was given to one test is given to no other: longer than a test file takes. A service binds it only when it has
 * opened its store, and where one was killed or closed nobody else may answer.
 */
const HELD_MS = 600_000;

/** A TCP port on loopback that nobody listens on now, and that no other test is given meanwhile. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (hold(port) && (await isFree(port))) return port;
  }
}

/** Holds a port for this process, against the other workers of the run. False if one of them holds it. */
function hold(port: number): boolean {
  const directory = join(tmpdir(), "datacrawl-test-ports");
  const file = join(directory, String(port));
  mkdirSync(directory, { recursive: true });
  const heldAt = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  if (heldAt !== undefined) {
    if (Date.now() - heldAt < HELD_MS) return false;
    rmSync(file, { force: true });
  }
  try {
    writeFileSync(file, "", { flag: "wx" });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
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
