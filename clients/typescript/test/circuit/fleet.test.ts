// @module-tag full
import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type Server, type Socket } from "node:net";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freePort, waitUntil } from "../../../../test/support/net.ts";
import type { RedisServer } from "../../../../test/support/redis.ts";
import { newAgent, redisOn } from "./members.ts";
import { ownProcess, showErrors } from "../../../../test/support/owned.ts";
import { amount } from "../../../../test/support/amount.ts";

const [PROCESSES, RECOVERIES] = amount([8, 3] as const, [32, 25] as const);
const CONFIG = { failures: 5, probeAfterMs: 1_500, rampMs: 300 };

let redis: RedisServer;
let service: FakeService;
const fleet: Member[] = [];

/** Answers, hangs up, or hangs; and counts who asks for what. */
class FakeService {
  mode: "well" | "down" | "hanging" = "well";
  asked: { readonly kind: string; readonly pid: number; readonly sentIn: string }[] = [];
  readonly #server: Server = createServer((socket) => this.#serve(socket));
  readonly #sockets = new Set<Socket>();

  async listen(): Promise<number> {
    const port = await freePort();
    await new Promise<void>((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
    return port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (data) => {
      const [kind = "", pid = "", sentIn = ""] = data.toString().split(" ");
      this.asked.push({ kind, pid: Number(pid), sentIn });
      if (this.mode === "well") socket.write("ok");
      if (this.mode === "down") socket.destroy();
    });
  }
}

interface Member {
  readonly child: ChildProcess;
  readonly pid: number;
  joined: boolean;
  state: string;
}

beforeAll(async () => {
  redis = await redisOn(await freePort());
});

afterEach(async () => {
  const exits = fleet.map(({ child }) => new Promise((resolve) => child.once("exit", resolve)));
  for (const { child } of fleet) child.kill("SIGKILL");
  await Promise.all(exits);
  fleet.length = 0;
  service.close();
});

afterAll(async () => {
  await redis.stop();
});

async function startFleet(count: number): Promise<void> {
  service = new FakeService();
  const args = [redis.url, newAgent(), String(await service.listen()), JSON.stringify(CONFIG)];
  for (let index = 0; index < count; index += 1) fleet.push(startMember(args));
  await waitUntil(() => fleet.every(({ joined }) => joined), 60_000, "not all joined");
}

function startMember(args: string[]): Member {
  const program = fileURLToPath(new URL("fleet-process.ts", import.meta.url));
  const child = ownProcess(spawn(process.execPath, [program, ...args], { stdio: ["ignore", "ignore", "pipe", "ipc"] }));
  showErrors(child as ChildProcess & { readonly stderr: Readable });
  const member: Member = { child, pid: child.pid ?? 0, joined: false, state: "closed" };
  child.on("message", (message) => {
    if (message === "joined") member.joined = true;
    else if (typeof message === "string") member.state = message;
  });
  return member;
}

async function until(state: string): Promise<void> {
  await waitUntil(() => fleet.every((member) => member.state === state), 30_000, `not all ${state}`);
}

function probes(): number {
  return service.asked.filter(({ kind }) => kind === "probe").length;
}

describe(`${PROCESSES} processes that share a circuit`, () => {
  it(`probe once in each of ${RECOVERIES} recoveries`, async () => {
    await startFleet(PROCESSES);
    for (let recovery = 0; recovery < RECOVERIES; recovery += 1) {
      service.mode = "down";
      await until("open");
      service.asked = [];
      service.mode = "well";
      await until("closed");
      expect(probes(), `recovery ${recovery + 1}`).toBe(1);
    }
  }, 600_000);

  it("probe one after the other while the service stays down, and each is denied meanwhile", async () => {
    await startFleet(PROCESSES);
    const start = performance.now();
    service.mode = "down";
    await until("open");
    service.asked = [];
    await waitUntil(() => probes() === 3, 30_000, "no third probe");
    // An interval before each, a tenth shorter at most, on three clocks that count milliseconds.
    expect(performance.now() - start).toBeGreaterThan(3 * 0.9 * CONFIG.probeAfterMs - 10);
    // What was sent before its process heard may arrive late.
    expect(service.asked.filter(({ sentIn }) => sentIn !== "closed")).toHaveLength(3);
  });

  it("recover although the one that probes is killed", async () => {
    await startFleet(PROCESSES);
    service.mode = "down";
    await until("open");
    service.asked = [];
    service.mode = "hanging";
    await waitUntil(() => probes() === 1, 30_000, "no probe");
    const prober = service.asked.find(({ kind }) => kind === "probe");
    const index = fleet.findIndex(({ pid }) => pid === prober?.pid);
    const [victim] = fleet.splice(index, 1);
    victim?.child.kill("SIGKILL");
    service.mode = "well";
    await until("closed");
    expect(probes()).toBe(2);
  });
});
