import fc from "fast-check";
import { Redis } from "ioredis";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { timing } from "../../src/breaker/config.ts";
import { keysOf, parseView } from "../../src/breaker/redis-script.ts";
import { freePort, waitUntil } from "../support/net.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { all, call, CONFIG, fail, type FleetMember, joined, leave, newAgent, traffic, untilState } from "./members.ts";

let server: RedisServer;
let redis: Redis;
const members: FleetMember[] = [];

beforeAll(async () => {
  server = await serverOn(await freePort());
  redis = new Redis(server.url);
});

afterEach(async () => {
  await leave(members.splice(0));
});

afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

async function serverOn(port: number): Promise<RedisServer> {
  const started = await startRedis(port);
  if (started === null) throw new Error("no redis-server on this machine");
  return started;
}

async function fleet(count: number, config = CONFIG, agentId = newAgent()): Promise<FleetMember[]> {
  const added = await joined(server.url, agentId, count, config);
  members.push(...added);
  return added;
}

/** All of them failing, and the fleet's circuit open. */
async function openFleet(count: number, config = CONFIG, agentId = newAgent()): Promise<FleetMember[]> {
  const added = await fleet(count, config, agentId);
  for (const member of added.slice(0, 2)) fail(member);
  for (const member of added) await untilState(member, "open");
  return added;
}

describe("who opens the circuit for all", () => {
  it("two processes that fail; a third is denied by their word, and that is no reason for a bypass", async () => {
    const [first, second, third] = (await fleet(3)) as [FleetMember, FleetMember, FleetMember];
    fail(first);
    fail(second);
    await untilState(third, "open");
    expect(third.breaker.permit()).toMatchObject({ kind: "denied", cause: "shared" });
    expect(third.breaker.snapshot).toMatchObject({ cause: "shared", openedLocally: false, consecutiveFailures: 0 });
    expect(first.breaker.snapshot).toMatchObject({ cause: "local", openedLocally: true });
  });

  it("not one alone while another lives: it opens for itself", async () => {
    const [first, second] = (await fleet(2)) as [FleetMember, FleetMember];
    fail(first);
    await sleep(300);
    expect(first.breaker.snapshot.state).toBe("open");
    expect(call(second.breaker, () => true).kind).toBe("call");
    expect(second.breaker.snapshot.state).toBe("closed");
  });

  it("one alone if it is the only one alive: who comes later is denied from the start", async () => {
    const agentId = newAgent();
    const [first] = (await fleet(1, CONFIG, agentId)) as [FleetMember];
    // Long enough to know that it is.
    await sleep(5_500);
    fail(first);
    await sleep(200);
    const [second] = (await fleet(1, CONFIG, agentId)) as [FleetMember];
    expect(second.breaker.permit()).toMatchObject({ kind: "denied", cause: "shared" });
  });

  it("agents and services do not share one", async () => {
    await openFleet(2);
    const [other] = (await fleet(1)) as [FleetMember];
    await sleep(200);
    expect(call(other.breaker, () => true).kind).toBe("call");
    expect(new Set([keysOf("ab", "c"), keysOf("a", "bc"), keysOf("a", "b")].map(([key]) => key)).size).toBe(3);
  });
});

describe("the fleet's probe", () => {
  it("is one for all, and after it each process makes a first call before it makes many", async () => {
    const opened = await openFleet(6);
    const admitted = await traffic(opened, () => true, all(opened, "closed"));
    expect(admitted.filter(({ kind }) => kind === "probe")).toHaveLength(1);
  });

  it("that fails keeps all denied for another round, and another process has the next try", async () => {
    const opened = await openFleet(3);
    let probes = 0;
    const admitted = await traffic(opened, () => (probes += 1) > 3, all(opened, "closed"));
    const probers = admitted.filter(({ kind }) => kind === "probe");
    expect(probers).toHaveLength(4);
    expect(new Set(probers.slice(0, 2).map(({ member }) => member)).size).toBe(2);
  });

  it("that hangs is given up with its lease; what it says then closes nothing", async () => {
    const opened = await openFleet(2);
    const prober = await firstProbe(opened);
    const next = await firstProbe(opened);
    expect(next.member).not.toBe(prober.member);
    prober.member.breaker.report(prober.token, { kind: "success" });
    await sleep(200);
    for (const { breaker } of opened) expect(breaker.permit().kind).toBe("denied");
    next.member.breaker.report(next.token, { kind: "success" });
    await traffic(opened, () => true, all(opened, "closed"));
  });

  it("is left to a process that has calls to make", async () => {
    const [idle, busy] = (await openFleet(2)) as [FleetMember, FleetMember];
    // The last call of one is long past when the other, after a pause, begins to call again.
    await sleep(3_000);
    const admitted = await traffic([busy], () => true, all([busy], "closed"), 5_000);
    expect(admitted[0]).toMatchObject({ kind: "probe" });
    expect(call(idle.breaker, () => true).kind).toBe("call");
  });
});

/** Calls until some member is given the probe, and leaves it hanging. */
async function firstProbe(
  fleetMembers: readonly FleetMember[],
): Promise<{ member: FleetMember; token: Parameters<FleetMember["breaker"]["report"]>[0] }> {
  for (const end = performance.now() + 10_000; performance.now() < end; await sleep(5)) {
    for (const member of fleetMembers) {
      const permit = member.breaker.permit();
      if (permit.kind === "call") throw new Error("let through without a probe");
      if (permit.kind === "probe") return { member, token: permit.token };
    }
  }
  throw new Error("nobody was given the probe");
}

describe("processes that are cut off from the service alone", () => {
  it("are denied the others' recovery, and do not undo it", async () => {
    const opened = await openFleet(5);
    const cutOff = opened.slice(0, 2);
    const well = opened.slice(2);
    const healthy = (member: FleetMember): boolean => !cutOff.includes(member);
    await traffic(opened, healthy, all(well, "closed"));
    const until = performance.now() + 2_000;
    await traffic(opened, healthy, () => performance.now() > until);
    for (const { breaker } of well) expect(breaker.snapshot.state).toBe("closed");
    for (const { breaker } of cutOff) expect(["open", "half_open"]).toContain(breaker.snapshot.state);
  });
});

describe("when Redis fails", () => {
  it("a flush loses nothing: who failed says so again, and nobody who failed is let through before its time", async () => {
    const config = { ...CONFIG, probeAfterMs: 3_000 };
    const opened = await openFleet(3, config);
    await redis.flushall();
    const [first, second, third] = opened as [FleetMember, FleetMember, FleetMember];
    await waitUntil(
      () => third.breaker.snapshot.nextProbeInMs !== 0 && third.breaker.snapshot.state === "open",
      3_000,
      "not opened again",
    );
    expect(first.breaker.permit()).toMatchObject({ kind: "denied", cause: "local" });
    expect(second.breaker.permit()).toMatchObject({ kind: "denied", cause: "local" });
    expect(third.breaker.permit()).toMatchObject({ kind: "denied", cause: "shared" });
  });

  it("each process is on its own: its own count stands, and others' word lapses into a first call", async () => {
    const port = await freePort();
    let own = await serverOn(port);
    const opened = await joined(own.url, newAgent(), 3, { ...CONFIG, probeAfterMs: 8_000 });
    members.push(...opened);
    const [first, second, third] = opened as [FleetMember, FleetMember, FleetMember];
    fail(first);
    fail(second);
    await untilState(third, "open");
    await own.stop();
    await waitUntil(() => third.breaker.snapshot.nextProbeInMs === 0, 5_000, "others' word did not lapse");
    expect(third.breaker.permit().kind).toBe("probe");
    expect(third.breaker.permit().kind).toBe("denied");
    expect(first.breaker.permit()).toMatchObject({ kind: "denied", cause: "local" });
    own = await serverOn(port);
    await waitUntil(() => opened.every(({ shared }) => shared.problem === null), 20_000, "not connected again");
    await own.stop();
  });

  it("a stalled one costs no call its time, and gathers no commands", async () => {
    const opened = await openFleet(2, { ...CONFIG, probeAfterMs: 60_000 });
    const before = await exchanges();
    process.kill(server.pid, "SIGSTOP");
    try {
      const times: number[] = [];
      for (const end = performance.now() + 4_000; performance.now() < end; await sleep(1)) {
        for (const { breaker, shared } of opened) {
          shared.wake();
          const start = performance.now();
          expect(breaker.permit().kind).toBe("denied");
          times.push(performance.now() - start);
        }
      }
      times.sort((a, b) => a - b);
      expect(times[Math.floor(times.length * 0.99)]).toBeLessThan(1);
    } finally {
      process.kill(server.pid, "SIGCONT");
    }
    await waitUntil(() => opened.every(({ shared }) => shared.problem === null), 20_000, "not connected again");
    // Thousands of wakes; one exchange may have been under way for each, and some followed the return.
    expect((await exchanges()) - before).toBeLessThan(20);
  });
});

async function exchanges(): Promise<number> {
  const stats = await redis.info("commandstats");
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}

describe("when Redis lies", () => {
  const word = fc.oneof(
    fc.constantFrom(
      "",
      "nan",
      "inf",
      "-1",
      "0",
      "1",
      "9".repeat(400),
      "1e308",
      "9007199254740993",
      "0x10",
      "open",
      "\u0000",
    ),
    fc.integer({ min: -1e13, max: 1e13 }).map((offset) => String(Date.now() + offset)),
    fc.string(),
  );
  const fields = [
    "opened_at",
    "probe_at",
    "lease",
    "lease_until",
    "wanted_at",
    "recovered_at",
    "news_at",
    "owner",
    "loser",
  ];

  it("nonsense in the hash lets no one through who has counted failures, and no one is denied for ever", async () => {
    const agentId = newAgent();
    const config = { ...CONFIG, probeAfterMs: 1_500 };
    const [failing, well] = (await fleet(2, config, agentId)) as [FleetMember, FleetMember];
    fail(failing);
    const openUntil = performance.now() + 0.9 * 1_500;
    const [key] = keysOf("http://service", agentId);
    for (const values of fc.sample(fc.dictionary(fc.constantFrom(...fields), word, { minKeys: 3 }), 60)) {
      await redis.hset(key, { ...values, nothing: "1" });
      await sleep(15);
      if (performance.now() < openUntil) expect(failing.breaker.permit().kind).toBe("denied");
    }
    await traffic([well, failing], () => true, all([well, failing], "closed"));
  });

  it("keys of another type are put right", async () => {
    const agentId = newAgent();
    const keys = keysOf("http://service", agentId);
    const [first, second, third] = (await fleet(3, CONFIG, agentId)) as [FleetMember, FleetMember, FleetMember];
    await redis.set(keys[0], "garbage");
    await redis.del(keys[1], keys[2]);
    await redis.lpush(keys[1], "garbage");
    await redis.hset(keys[2], "gar", "bage");
    await sleep(200);
    fail(first);
    fail(second);
    await untilState(third, "open");
  });

  it("an open circuit that no process has opened is believed for ten probe intervals, and then tried", async () => {
    const agentId = newAgent();
    const config = { ...CONFIG, probeAfterMs: 200 };
    const [victim] = (await fleet(1, config, agentId)) as [FleetMember];
    const [key] = keysOf("http://service", agentId);
    const start = performance.now();
    let lying = true;
    const lie = (async () => {
      while (lying) {
        const now = Date.now();
        await redis.hset(key, {
          opened_at: now - 1,
          probe_at: now + 300,
          owner: "nobody",
          lease: now,
          lease_until: now + 300,
        });
        await sleep(20);
      }
    })();
    await untilState(victim, "open");
    const admitted = await traffic([victim], () => true, all([victim], "closed"), 10_000);
    expect(admitted[0]?.kind).toBe("probe");
    expect(performance.now() - start).toBeGreaterThan(1_900);
    expect(call(victim.breaker, () => true).kind).toBe("call");
    lying = false;
    await lie;
  });

  it("an answer that is none is nothing known; any other is in range", () => {
    const limits = timing(CONFIG);
    const number = fc.oneof(fc.integer({ min: -2, max: 2_000 }), fc.double(), fc.constantFrom("1", null, [], {}));
    fc.assert(
      fc.property(fc.oneof(fc.array(number, { minLength: 5, maxLength: 7 }), fc.anything()), (reply) => {
        const view = parseView(reply, limits, 5_000);
        if (view === null) return;
        expect(view.probeAt).toBeGreaterThanOrEqual(5_000);
        expect(view.probeAt).toBeLessThanOrEqual(5_000 + 2 * limits.probeAfterMs);
        expect(view.lease?.until ?? 5_000).toBeLessThanOrEqual(5_000 + limits.leaseMs);
        expect(view.recoveredAt ?? 5_000).toBeLessThanOrEqual(5_000);
      }),
    );
    expect(parseView([1, 500, 7, 1_000, 0, -1], limits, 0)).toEqual({
      open: true,
      probeAt: 500,
      lease: { number: 7, until: 1_000 },
      challenged: false,
      recoveredAt: null,
    });
    for (const reply of [
      [2, 500, 7, 1_000, 0, -1],
      [1, 1_001, 7, 1_000, 0, -1],
      [1, 500, 7, 1_001, 0, -1],
      [1, 500, -7, 1_000, 0, -1],
    ]) {
      expect(parseView(reply, limits, 0)).toBeNull();
    }
  });
});
