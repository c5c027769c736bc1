import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, start } from "../support/child.ts";
import type { Postgres, Redis } from "../support/stores.ts";
import type { Peer } from "./peer.ts";
import { untilAnswering } from "./probe.ts";
import { AUTHORIZE_PATH, authorizeRequest } from "./question.ts";

export function startEcho(stack: AsyncDisposableStack, directory: string): Promise<Peer> {
  return startNodePeer(stack, directory, "echo", new URL("./echo-server.ts", import.meta.url), [], {});
}

/** A service that allows every question, and names it. */
export function startAnswering(stack: AsyncDisposableStack, directory: string): Promise<Peer> {
  return startNodePeer(stack, directory, "answering", new URL("./answer-server.ts", import.meta.url), [], {});
}

export async function startFloor(
  stack: AsyncDisposableStack,
  directory: string,
  postgres: Postgres,
  redis: Redis,
): Promise<Peer> {
  const { owner } = await postgres.createDatabase("floor");
  const stores = { postgres: postgres.pid, redis: redis.pid };
  return startNodePeer(
    stack,
    directory,
    "floor",
    new URL("./floor-server.ts", import.meta.url),
    [redis.url, owner],
    stores,
  );
}

async function startNodePeer(
  stack: AsyncDisposableStack,
  directory: string,
  name: string,
  script: URL,
  args: readonly string[],
  stores: Readonly<Record<string, number>>,
): Promise<Peer> {
  const port = await freePort();
  const command = { name, file: process.execPath, args: [fileURLToPath(script), String(port), ...args] };
  const server = start(stack, command, join(directory, `${name}.log`));
  const peer: Peer = {
    name,
    port,
    path: AUTHORIZE_PATH,
    // A bearer credential like those that the service gets: its length is part of the cost.
    metadata: { authorization: `Bearer dc_agent_billing-7_0123456789abcdef_${"s".repeat(43)}` },
    request: authorizeRequest(),
    expected: "fixed",
    processes: { service: server.pid, ...stores },
  };
  await untilAnswering(server, peer);
  return peer;
}
