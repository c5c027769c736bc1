import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join as path } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Redis } from "ioredis";
import { afterEach, describe, expect, it } from "vitest";
import { keysOf } from "../../src/circuit/redis-script.ts";
import { systemClock } from "../../../../src/core/clock.ts";
import { freePort, waitUntil } from "../../../../test/support/net.ts";
import { heard, leave, newAgent, one, opened, redisOn, trio } from "./members.ts";
import { ownProcess, showErrors } from "../../../../test/support/owned.ts";

const run = promisify(execFile);
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  await leave();
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/**
 * The state of a process' breaker that it never closes, after that time with that Redis.
 *
 * @throws if the process does not end by itself: the link to Redis holds it for as long as it tries to connect, which is for ever
 */
async function forget(redisUrl: string, milliseconds: number): Promise<string> {
  const script = fileURLToPath(new URL("forgetful-process.ts", import.meta.url));
  const { stdout } = await run(process.execPath, [script, redisUrl, String(milliseconds)], { timeout: 30_000 });
  return stdout;
}

describe("a process that ends without closing its breaker", { tags: ["full"] }, () => {
  it("is not held by a Redis that is well", async () => {
    const redis = await redisOn(await freePort());
    cleanups.push(redis.stop);
    expect(await forget(redis.url, 1_000)).toBe("open");
  });

  it("is not held by one that refuses, or has no address, or no sense", async () => {
    for (const url of [`redis://127.0.0.1:${await freePort()}`, "redis://nowhere.invalid:6379", "http://[", ""]) {
      expect(await forget(url, 300)).toBe("open");
    }
  });

  it("is not held by one that stalls", async () => {
    const redis = await redisOn(await freePort());
    cleanups.push(redis.stop);
    process.kill(redis.pid, "SIGSTOP");
    for (const milliseconds of [300, 2_500]) expect(await forget(redis.url, milliseconds)).toBe("open");
  });

  it("is not held by one that swallows packets, to which the system would try to connect for two minutes", async () => {
    expect(await forget(`redis://127.0.0.1:${await blackHole()}`, 2_500)).toBe("open");
  });
});

/** A port whose listener takes no connections and whose queue is full: the kernel drops what comes. */
async function blackHole(): Promise<number> {
  const source =
    "s=require('net').createServer().listen({port:0,host:'127.0.0.1',backlog:1},()=>console.log(s.address().port))";
  const listener = showErrors(
    ownProcess(spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "pipe"] })),
  );
  cleanups.push(() => listener.kill("SIGKILL"));
  const [line] = await once(listener.stdout, "data");
  const port = Number(String(line));
  listener.kill("SIGSTOP");
  const filling: Socket[] = Array.from({ length: 4 }, () => connect(port, "127.0.0.1").on("error", () => undefined));
  cleanups.push(() => filling.map((socket) => socket.destroy()));
  await sleep(200);
  return port;
}

describe("a server is given up for the next one", () => {
  it("if it stops answering", async () => {
    const [first, second] = [await redisOn(await freePort()), await redisOn(await freePort())];
    cleanups.push(first.stop, second.stop);
    const member = await one(`${first.url},${second.url}`);
    process.kill(first.pid, "SIGSTOP");
    await waitUntil(() => member.shared.problem !== null, 20_000, "the silence was not noticed");
    await heard([member]);
    await waitUntil(() => member.shared.problem === null, 20_000, "the next one was not asked");
    expect(member.shared.view(systemClock.monotonic())).not.toBeNull();
  });

  it("if it takes the connection and says nothing", async () => {
    const silent = createServer();
    const port = await freePort();
    await new Promise<void>((resolve) => silent.listen(port, "127.0.0.1", resolve));
    const redis = await redisOn(await freePort());
    cleanups.push(() => silent.close(), redis.stop);
    const member = await one(`redis://127.0.0.1:${port},${redis.url}`);
    expect(member.shared.problem).toBeNull();
  });
});

describe("a Cluster", () => {
  it("is shared whichever of its servers a process knows", async () => {
    const [first, second] = [await clusterNode(), await clusterNode()];
    await meet(first, second);
    const known = [`redis://127.0.0.1:${first.port}`, `redis://127.0.0.1:1,redis://127.0.0.1:${second.port}`];
    for (const agentId of [await agentIn(first, 0, 8191), await agentIn(first, 8192, 16383)]) {
      for (const url of known) {
        const [, , third] = await opened(await trio(url, agentId));
        expect(third.breaker.permit()).toMatchObject({ kind: "denied", cause: "shared" });
        await leave();
        await Promise.all([first, second].map(({ client }) => client.flushall()));
      }
    }
  });
});

/** An agent whose keys are in one of those slots. */
async function agentIn({ client }: ClusterNode, low: number, high: number): Promise<string> {
  for (;;) {
    const agentId = newAgent();
    const slot = Number(await client.call("CLUSTER", "KEYSLOT", keysOf("http://service", agentId)[0]));
    if (slot >= low && slot <= high) return agentId;
  }
}

interface ClusterNode {
  readonly port: number;
  readonly busPort: number;
  readonly client: Redis;
}

async function clusterNode(): Promise<ClusterNode> {
  const [port, busPort] = [await freePort(), await freePort()];
  const directory = mkdtempSync(path(tmpdir(), "datacrawl-cluster-"));
  const args = [
    "--port",
    String(port),
    "--cluster-port",
    String(busPort),
    "--cluster-enabled",
    "yes",
    "--save",
    "",
    "--dir",
    directory,
  ];
  const child: ChildProcess = ownProcess(spawn("redis-server", [...args, "--bind", "127.0.0.1"], { stdio: "ignore" }));
  const client = new Redis(port, "127.0.0.1", { retryStrategy: () => 50, maxRetriesPerRequest: 200 });
  client.on("error", () => undefined);
  cleanups.push(async () => {
    client.disconnect();
    child.kill("SIGKILL");
    await once(child, "exit");
    rmSync(directory, { recursive: true, force: true });
  });
  await client.ping();
  return { port, busPort, client };
}

async function meet(first: ClusterNode, second: ClusterNode): Promise<void> {
  await first.client.call("CLUSTER", "ADDSLOTSRANGE", "0", "8191");
  await second.client.call("CLUSTER", "ADDSLOTSRANGE", "8192", "16383");
  await first.client.call("CLUSTER", "MEET", "127.0.0.1", String(second.port), String(second.busPort));
  const ok = async ({ client }: ClusterNode): Promise<boolean> =>
    String(await client.call("CLUSTER", "INFO")).includes("cluster_state:ok");
  await waitUntil(async () => (await ok(first)) && (await ok(second)), 20_000, "the Cluster did not form");
}
