import * as fc from "fast-check";
import { Redis } from "ioredis";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { timing } from "../../src/circuit/config.ts";
import { keysOf, parseView } from "../../src/circuit/redis-script.ts";
import { freePort, waitUntil } from "../../../../test/support/net.ts";
import type { RedisServer } from "../../../../test/support/redis.ts";
import {
  all,
  call,
  CONFIG,
  fail,
  leave,
  type Member,
  newAgent,
  one,
  opened,
  pair,
  PATIENT,
  redisOn,
  traffic,
  trio,
  until,
} from "./members.ts";

let redis: RedisServer;
let client: Redis;

beforeAll(async () => {
  redis = await redisOn(await freePort());
  client = new Redis(redis.url);
});

afterEach(leave);

afterAll(async () => {
  client.disconnect();
  await redis.stop();
});

async function connected(fleet: readonly Member[]): Promise<void> {
  await waitUntil(() => fleet.every(({ shared }) => shared.problem === null), 20_000, "not connected again");
}

describe("when Redis fails", () => {
  it("a flush loses nothing: who failed says so again, and nobody who failed is let through before its time", {
    tags: ["full"],
  }, async () => {
    const agentId = newAgent();
    const [key] = keysOf("http://service", agentId);
    const [first, second, third] = await opened(await trio(redis.url, agentId, { ...CONFIG, probeAfterMs: 3_000 }));
    await client.flushall();
    await waitUntil(async () => (await client.hexists(key, "opened_at")) === 1, 20_000, "not opened again");
    // It may have heard of the emptiness, and then a first call would be let through, until it hears again.
    await sleep(200);
    await waitUntil(() => (third.breaker.snapshot.nextProbeInMs ?? 0) > 0, 20_000, "the third has not heard");
    expect(first.breaker.permit()).toMatchObject({ kind: "denied", cause: "local" });
    expect(second.breaker.permit()).toMatchObject({ kind: "denied", cause: "local" });
    expect(third.breaker.permit()).toMatchObject({ kind: "denied", cause: "shared" });
  });

  it("each process is on its own: its own count stands, and others' word lapses into a first call", async () => {
    const port = await freePort();
    const before = await redisOn(port);
    const fleet = await opened(await trio(before.url, newAgent(), { ...CONFIG, probeAfterMs: 8_000 }));
    const [first, , third] = fleet;
    await before.stop();
    await waitUntil(() => third.breaker.snapshot.nextProbeInMs === 0, 20_000, "others' word did not lapse");
    expect(third.breaker.permit().kind).toBe("probe");
    expect(third.breaker.permit().kind).toBe("denied");
    expect(first.breaker.permit()).toMatchObject({ kind: "denied", cause: "local" });
    const after = await redisOn(port);
    await connected(fleet);
    await after.stop();
  });

  it("a stalled one costs no call its time, and gathers no commands", { tags: ["full"] }, async () => {
    const fleet = await opened(await pair(redis.url, newAgent(), { ...CONFIG, probeAfterMs: 60_000 }));
    const before = await exchanges();
    process.kill(redis.pid, "SIGSTOP");
    try {
      for (const end = performance.now() + 4_000; performance.now() < end; await sleep(1)) {
        for (const { breaker, shared } of fleet) {
          shared.wake();
          // It waits for nothing: its result is no promise.
          expect(breaker.permit().kind).toBe("denied");
        }
      }
    } finally {
      process.kill(redis.pid, "SIGCONT");
    }
    await connected(fleet);
    // Thousands of wakes; one exchange may have been under way for each process, and some followed the return.
    expect((await exchanges()) - before).toBeLessThan(20);
  });
});

async function exchanges(): Promise<number> {
  const stats = await client.info("commandstats");
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}

const FIELDS = [
  "opened_at",
  "probe_at",
  "lease",
  "lease_until",
  "wanted_at",
  "recovered_at",
  "news_at",
  "born_at",
  "owner",
  "loser",
];
const NONSENSE = fc.oneof(
  fc.constantFrom("", "nan", "inf", "-1", "0", "1", "9".repeat(400), "1e308", "9007199254740993", "0x10", "\u0000"),
  // A clock that has jumped looks like this.
  fc.integer({ min: -1e10, max: 1e10 }).map((offset) => String(1_800_000_000_000 + offset)),
  fc.string(),
);

describe("when Redis lies", () => {
  it("nonsense lets nobody through who has counted failures, and denies nobody for ever", {
    tags: ["full"],
  }, async () => {
    const agentId = newAgent();
    const [failing, well] = await pair(redis.url, agentId, { ...CONFIG, probeAfterMs: 1_500 });
    fail(failing);
    const dueAt = performance.now() + 0.9 * 1_500;
    const [key] = keysOf("http://service", agentId);
    const seen = new Set<string>();
    for (;;) {
      const [values] = fc.sample(fc.dictionary(fc.constantFrom(...FIELDS), NONSENSE, { minKeys: 3 }), 1);
      await client.hset(key, { ...values });
      await sleep(10);
      // Of the last one it is not known whether it was due.
      if (performance.now() > dueAt - 50) break;
      seen.add(failing.breaker.permit().kind);
    }
    expect([...seen]).toEqual(["denied"]);
    const admitted = await traffic([well, failing], () => true, all([well, failing], "closed"));
    expect(admitted.length).toBeGreaterThan(0);
  });

  it("keys of another type are put right", async () => {
    const agentId = newAgent();
    const [circuit, alive, failing] = keysOf("http://service", agentId);
    const [first, second, third] = await trio(redis.url, agentId, PATIENT);
    await client
      .multi()
      .set(circuit, "garbage")
      .del(alive, failing)
      .lpush(alive, "garbage")
      .hset(failing, "gar", "bage")
      .exec();
    await sleep(200);
    fail(first);
    fail(second);
    await until(third, "open");
    expect(third.breaker.permit()).toMatchObject({ kind: "denied", cause: "shared" });
  });

  it("an open circuit that no process has opened is believed for ten probe intervals, and then tried", {
    tags: ["full"],
  }, async () => {
    const agentId = newAgent();
    const victim = await one(redis.url, agentId, { ...CONFIG, probeAfterMs: 200 });
    const start = performance.now();
    const lie = setInterval(() => void sayOpen(agentId).catch(() => undefined), 20);
    try {
      await until(victim, "open");
      const admitted = await traffic([victim], () => true, all([victim], "closed"), 10_000);
      expect(admitted[0]?.kind).toBe("probe");
      expect(performance.now() - start).toBeGreaterThan(1_900);
      expect(call(victim.breaker, () => true).kind).toBe("call");
    } finally {
      clearInterval(lie);
    }
  });

  it("an answer that is none is nothing known, and any other is in range", () => {
    const limits = timing(CONFIG);
    const word = fc.oneof(fc.integer({ min: -2, max: 2_000 }), fc.double(), fc.constantFrom("1", null, [], {}));
    const reply = fc.oneof(fc.array(word, { minLength: 5, maxLength: 7 }), fc.anything());
    const inRange = fc.property(reply, (untrusted) => {
      const view = parseView(untrusted, limits, 5_000);
      if (view === null) return true;
      const probeIn = view.probeAt - 5_000;
      const leaseLeft = (view.lease?.until ?? 5_000) - 5_000;
      return (
        probeIn >= 0 &&
        probeIn <= 2 * limits.probeAfterMs &&
        leaseLeft <= limits.leaseMs &&
        (view.recoveredAt ?? 0) <= 5_000
      );
    });
    expect(() => fc.assert(inRange)).not.toThrow();
    expect(parseView([1, 500, 7, 1_000, 0, -1], limits, 0)).toEqual({
      open: true,
      probeAt: 500,
      lease: { number: 7, until: 1_000 },
      challenged: false,
      recoveredAt: null,
    });
    const bad = [
      [2, 500, 7, 1_000, 0, -1],
      [1, 1_001, 7, 1_000, 0, -1],
      [1, 500, 7, 1_001, 0, -1],
      [1, 500, -7, 1_000, 0, -1],
      [1, 500, 7, 1_000, 0, -2],
      [1, 500, 7, 1_000, 0],
    ];
    for (const untrusted of bad) expect(parseView(untrusted, limits, 0)).toBeNull();
  });
});

async function sayOpen(agentId: string): Promise<void> {
  const [seconds, micros] = await client.time();
  const now = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
  const [key] = keysOf("http://service", agentId);
  await client.hset(key, { opened_at: now, probe_at: now + 300, owner: "nobody", lease: now, lease_until: now + 900 });
}
