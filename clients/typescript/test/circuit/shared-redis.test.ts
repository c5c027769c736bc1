import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Token } from "../../src/circuit/breaker.ts";
import { keysOf } from "../../src/circuit/redis-script.ts";
import { systemClock } from "../../../../src/core/clock.ts";
import { freePort, waitUntil } from "../../../../test/support/net.ts";
import type { RedisServer } from "../../../../test/support/redis.ts";
import {
  all,
  call,
  fail,
  heard,
  join,
  leave,
  type Member,
  newAgent,
  one,
  opened,
  PATIENT,
  pair,
  redisOn,
  traffic,
  trio,
  until,
} from "./members.ts";

let redis: RedisServer;

beforeAll(async () => {
  redis = await redisOn(await freePort());
});

afterEach(leave);

afterAll(async () => {
  await redis.stop();
});

async function openFleet(count: number): Promise<Member[]> {
  const agentId = newAgent();
  return await opened(await heard(Array.from({ length: count }, () => join(redis.url, agentId))));
}

describe("who opens the circuit for all", () => {
  it("two processes that fail; a third is denied by their word, and that is no reason for a bypass", async () => {
    const [first, second, third] = await trio(redis.url, newAgent(), PATIENT);
    fail(first);
    fail(second);
    await until(third, "open");
    expect(third.breaker.permit()).toMatchObject({ kind: "denied", cause: "shared" });
    expect(third.breaker.snapshot).toMatchObject({ cause: "shared", openedLocally: false, consecutiveFailures: 0 });
    expect(first.breaker.snapshot).toMatchObject({ cause: "local", openedLocally: true });
  });

  it("not one alone while another lives: it opens for itself", async () => {
    const [first, second] = await pair(redis.url);
    fail(first);
    await sleep(300);
    expect(first.breaker.snapshot.state).toBe("open");
    expect(call(second.breaker, () => true).kind).toBe("call");
    expect(second.breaker.snapshot.state).toBe("closed");
  });

  it("one alone if it is the only one alive: who comes later is denied from the start", {
    tags: ["full"],
  }, async () => {
    const agentId = newAgent();
    const first = await one(redis.url, agentId, PATIENT);
    // Long enough to know that it is.
    await sleep(5_500);
    fail(first);
    const isOpenForAll = (): boolean => first.shared.view(systemClock.monotonic())?.open === true;
    await waitUntil(isOpenForAll, 20_000, "not open for all");
    const second = await one(redis.url, agentId, PATIENT);
    expect(second.breaker.permit()).toMatchObject({ kind: "denied", cause: "shared" });
  });

  it("not one alone that those confirm who have not tried since the service was well", async () => {
    const agentId = newAgent();
    const idle = await opened(await pair(redis.url, agentId));
    const [third, fourth] = await pair(redis.url, agentId);
    await traffic([third, fourth], () => true, all([third, fourth], "closed"));
    fail(third);
    await sleep(300);
    expect(third.breaker.snapshot.state).toBe("open");
    expect(idle.map(({ breaker }) => breaker.snapshot.state)).toEqual(["open", "open"]);
    expect(call(fourth.breaker, () => true).kind).toBe("call");
  });

  it("what a process counts after it is denied still opens its own circuit", async () => {
    const [first, second, third] = await trio(redis.url, newAgent(), PATIENT);
    const early = Array.from({ length: 5 }, () => third.breaker.permit());
    await opened([first, second]);
    await until(third, "open");
    for (const permit of early) {
      if (permit.kind !== "denied")
        third.breaker.report(permit.token, { kind: "failure", error: "late, but of the same state" });
    }
    expect(third.breaker.snapshot).toMatchObject({ cause: "local", openedLocally: true });
  });

  it("agents and services do not share one", async () => {
    await opened(await pair(redis.url));
    const other = await one(redis.url);
    await sleep(200);
    expect(call(other.breaker, () => true).kind).toBe("call");
    expect(new Set([keysOf("ab", "c"), keysOf("a", "bc"), keysOf("a", "b")].map(([key]) => key)).size).toBe(3);
  });
});

describe("the fleet's probe", () => {
  it("is one for all, and after it each process makes a first call before it makes many", async () => {
    const fleet = await openFleet(6);
    const admitted = await traffic(fleet, () => true, all(fleet, "closed"));
    expect(admitted.filter(({ kind }) => kind === "probe")).toHaveLength(1);
  });

  it("that fails keeps all denied for another round, and another process has the next try", async () => {
    const fleet = await openFleet(3);
    let probes = 0;
    const healthy = (): boolean => (probes += 1) > 3;
    const admitted = await traffic(fleet, healthy, all(fleet, "closed"));
    const probers = admitted.filter(({ kind }) => kind === "probe").map(({ member }) => member);
    expect(probers).toHaveLength(4);
    expect(probers[0]).not.toBe(probers[1]);
  });

  it("that hangs is given up with its lease; what it says then closes nothing", async () => {
    const fleet = await openFleet(2);
    const hung = await firstProbe(fleet);
    const next = await firstProbe(fleet);
    expect(next.member).not.toBe(hung.member);
    hung.member.breaker.report(hung.token, { kind: "success" });
    await sleep(200);
    for (const { breaker } of fleet) expect(breaker.permit().kind).toBe("denied");
    next.member.breaker.report(next.token, { kind: "success" });
    const admitted = await traffic(fleet, () => true, all(fleet, "closed"));
    expect(admitted.filter(({ kind }) => kind === "probe")).toHaveLength(0);
  });

  it("is left to a process that has calls to make", { tags: ["full"] }, async () => {
    const [idle, busy] = await opened(await pair(redis.url));
    // The last call of both is long past when one begins to call again.
    await sleep(3_000);
    const admitted = await traffic([busy], () => true, all([busy], "closed"), 5_000);
    expect(admitted[0]).toMatchObject({ kind: "probe" });
    expect(call(idle.breaker, () => true).kind).toBe("call");
  });
});

/** Calls until some member is given the probe, and leaves it hanging. */
async function firstProbe(fleet: readonly Member[]): Promise<{ readonly member: Member; readonly token: Token }> {
  for (const end = performance.now() + 10_000; performance.now() < end; await sleep(5)) {
    for (const member of fleet) {
      const permit = member.breaker.permit();
      if (permit.kind === "call") throw new Error("let through without a probe");
      if (permit.kind === "probe") return { member, token: permit.token };
    }
  }
  throw new Error("nobody was given the probe");
}

describe("a process that is cut off", () => {
  it("from the service, as others are well, is denied their recovery and does not undo it", async () => {
    const fleet = await openFleet(5);
    const [cutOff, well] = [fleet.slice(0, 2), fleet.slice(2)];
    const healthy = (member: Member): boolean => !cutOff.includes(member);
    await traffic(fleet, healthy, all(well, "closed"));
    const end = performance.now() + 2_000;
    await traffic(fleet, healthy, () => performance.now() > end);
    for (const { breaker } of well) expect(breaker.snapshot.state).toBe("closed");
    for (const { breaker } of cutOff) expect(["open", "half_open"]).toContain(breaker.snapshot.state);
  });

  it("from Redis goes by its own count, and its recovery is not the others'", async () => {
    const [first, second] = await opened(await pair(redis.url));
    const alone = join("redis://127.0.0.1:1", newAgent());
    expect(call(alone.breaker, () => false).kind).toBe("call");
    fail(alone);
    expect(alone.breaker.permit()).toMatchObject({ kind: "denied", cause: "local" });
    const admitted = await traffic([alone], () => true, all([alone], "closed"));
    expect(admitted[0]).toMatchObject({ kind: "probe" });
    for (const { breaker } of [first, second]) expect(breaker.snapshot.state).toBe("open");
  });
});
