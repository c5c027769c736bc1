import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, waitUntil } from "./net.ts";
import { endProcess, ownDirectory, ownProcess } from "./owned.ts";

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** 0 if it is not ours. */
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

/** A Redis of our own on a free port, without persistence; or TEST_REDIS_URL; or null if there is neither. */
export async function startRedis(port?: number): Promise<RedisServer | null> {
  const given = process.env["TEST_REDIS_URL"];
  if (given !== undefined && port === undefined) {
    return { url: given, port: Number(new URL(given).port || 6379), pid: 0, stop: async () => undefined };
  }
  if (spawnSync("redis-server", ["--version"]).status !== 0) return null;
  const directory = ownDirectory(mkdtempSync(join(tmpdir(), "datacrawl-redis-")));
  const listen = port ?? (await freePort());
  const args = [
    "--port",
    String(listen),
    "--bind",
    "127.0.0.1",
    "--save",
    "",
    "--appendonly",
    "no",
    "--dir",
    directory,
  ];
  const child = ownProcess(spawn("redis-server", args, { stdio: "ignore" }));
  await waitUntil(() => accepts(listen), 20_000, "Redis did not start");
  return {
    url: `redis://127.0.0.1:${listen}`,
    port: listen,
    pid: child.pid as number,
    stop: async () => {
      await endProcess(child, "SIGKILL");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: "127.0.0.1", port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
