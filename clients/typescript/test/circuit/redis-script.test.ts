import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { timing } from "../../src/circuit/config.ts";
import type { FleetView, Standing } from "../../src/circuit/fleet.ts";
import { argumentsOf, EXCHANGE, keysOf, parseView } from "../../src/circuit/redis-script.ts";
import { freePort } from "../../../../test/support/net.ts";
import type { RedisServer } from "../../../../test/support/redis.ts";
import { newAgent, redisOn } from "./members.ts";

const LIMITS = timing({ failures: 5, probeAfterMs: 30_000 });
const WELL: Standing = { openAge: null, failureAge: null, dueIn: 0, want: "no", outcome: null, probeNow: false };
/** Its circuit has been open for long, and it has failed only now. */
const FAILING: Standing = { ...WELL, openAge: 60_000, failureAge: 0 };

let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  server = await redisOn(await freePort());
  redis = new Redis(server.url);
});

afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

/** A fleet whose members speak when told to. */
class Fleet {
  readonly keys = keysOf("http://service", newAgent());

  async say(id: string, standing: Standing): Promise<FleetView> {
    const reply = await redis.eval(EXCHANGE, 3, ...this.keys, ...argumentsOf(id, standing, LIMITS, 0.5));
    const view = parseView(reply, LIMITS, 0);
    if (view === null) throw new Error(`no view: ${JSON.stringify(reply)}`);
    return view;
  }

  /** Opens it, with the probe due. */
  async open(): Promise<this> {
    await this.say("a", FAILING);
    await this.say("b", FAILING);
    await this.set({ probe_at: -10_000 });
    return this;
  }

  /** Times as so many milliseconds from Redis' now. */
  async set(times: Record<string, number>): Promise<void> {
    const [seconds, micros] = await redis.time();
    const now = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
    for (const [field, offset] of Object.entries(times)) await redis.hset(this.keys[0], field, now + offset);
  }

  async lease(id: string): Promise<number> {
    const { lease } = await this.say(id, { ...FAILING, want: "busy" });
    if (lease === null) throw new Error(`no lease for ${id}`);
    return lease.number;
  }
}

describe("the lease", () => {
  it("is held by one, until it lapses, and then the other goes first", async () => {
    const fleet = await new Fleet().open();
    const first = await fleet.lease("a");
    expect((await fleet.say("b", { ...FAILING, want: "busy" })).lease).toBeNull();
    expect(await fleet.lease("a"), "renewed").toBe(first);
    await fleet.set({ lease_until: -1 });
    expect((await fleet.say("a", { ...FAILING, want: "busy" })).lease).toBeNull();
    expect(await fleet.lease("b")).toBeGreaterThan(first);
  });

  it("is to be had at once when an operator has reset the circuit, and only if it is open", async () => {
    const fleet = await new Fleet().open();
    await fleet.set({ probe_at: 20_000 });
    expect(await fleet.say("a", { ...FAILING, probeNow: true })).toMatchObject({ open: true, probeAt: 0, lease: null });
    expect(await fleet.lease("b")).toBeGreaterThan(0);
    expect((await new Fleet().say("a", { ...WELL, probeNow: true })).open).toBe(false);
  });

  it("is not granted before the probe is due, nor to who does not want it", async () => {
    const fleet = await new Fleet().open();
    await fleet.set({ probe_at: 5_000 });
    expect((await fleet.say("a", { ...FAILING, want: "busy" })).lease).toBeNull();
    await fleet.set({ probe_at: -10_000 });
    expect((await fleet.say("a", { ...FAILING, want: "no" })).lease).toBeNull();
  });

  it("that an idle process gives back goes to the one that asked for it", async () => {
    const fleet = await new Fleet().open();
    expect((await fleet.say("a", { ...FAILING, want: "idle" })).lease).not.toBeNull();
    await fleet.say("b", { ...FAILING, want: "busy" });
    expect(await fleet.say("a", { ...FAILING, want: "idle" })).toMatchObject({ challenged: true });
    expect((await fleet.say("a", { ...FAILING, want: "no" })).lease).toBeNull();
    expect((await fleet.say("a", { ...FAILING, want: "idle" })).lease, "before the other has heard of it").toBeNull();
    await fleet.lease("b");
  });

  it("goes to a process with calls to make before an idle one", async () => {
    const fleet = await new Fleet().open();
    await fleet.set({ probe_at: -1 });
    expect((await fleet.say("a", { ...FAILING, want: "idle" })).lease).toBeNull();
    await fleet.lease("b");
  });

  it("of another, or an older one, decides nothing", async () => {
    const fleet = await new Fleet().open();
    const old = await fleet.lease("a");
    await fleet.set({ lease_until: -1 });
    const lease = await fleet.lease("b");
    for (const [id, number] of [
      ["a", old],
      ["a", lease],
      ["b", old],
    ] as const) {
      const view = await fleet.say(id, { ...FAILING, want: "probing", outcome: { lease: number, outcome: "success" } });
      expect(view.open).toBe(true);
    }
    expect((await fleet.say("b", { ...WELL, outcome: { lease, outcome: "success" } })).open).toBe(false);
  });
});

describe("a probe's outcome", () => {
  it("success ends it for all", async () => {
    const fleet = await new Fleet().open();
    const lease = await fleet.lease("a");
    expect(await fleet.say("a", { ...WELL, outcome: { lease, outcome: "success" } })).toMatchObject({
      open: false,
      recoveredAt: 0,
    });
    expect(await fleet.say("b", { ...WELL })).toMatchObject({ open: false });
  });

  it.each([
    ["failure", 30_000],
    ["ignored", 3_000],
  ] as const)("%s puts off the next one by %d ms", async (outcome, dueIn) => {
    const fleet = await new Fleet().open();
    const lease = await fleet.lease("a");
    expect(await fleet.say("a", { ...FAILING, outcome: { lease, outcome } })).toMatchObject({
      open: true,
      probeAt: dueIn,
      lease: null,
    });
  });
});

describe("who opens it", () => {
  it("nobody alone right after a start or a flush, when others have not spoken yet", async () => {
    const fleet = new Fleet();
    expect((await fleet.say("a", FAILING)).open).toBe(false);
    await fleet.set({ born_at: -5_001 });
    expect((await fleet.say("a", FAILING)).open).toBe(true);
  });

  it("not those that failed before the fleet last recovered, and not on no news", async () => {
    const fleet = new Fleet();
    await fleet.say("a", WELL);
    await fleet.set({ recovered_at: -1_000 });
    const early: Standing = { ...WELL, openAge: 40_000, failureAge: 2_000 };
    const still: Standing = { ...WELL, openAge: 40_000, failureAge: 500 };
    const fresh: Standing = { ...WELL, openAge: 500, failureAge: 500 };
    await fleet.say("a", still);
    expect((await fleet.say("b", still)).open, "both have been cut off since before").toBe(false);
    await fleet.say("a", early);
    await fleet.say("b", early);
    expect((await fleet.say("c", fresh)).open, "alone of those that have tried").toBe(false);
    await fleet.say("b", still);
    expect((await fleet.say("c", fresh)).open).toBe(true);
  });

  it("not with those that have long been silent", async () => {
    const fleet = new Fleet();
    await fleet.say("a", FAILING);
    await redis.zadd(fleet.keys[2], 1, "a");
    await fleet.say("b", WELL);
    expect((await fleet.say("c", FAILING)).open).toBe(false);
  });
});

describe("a circuit that makes no sense", () => {
  it.each([
    ["opened_at", 60_000],
    ["probe_at", 70_000],
  ] as const)("with %s in %d ms is none", async (field, offset) => {
    const fleet = await new Fleet().open();
    await fleet.set({ [field]: offset });
    expect((await fleet.say("c", WELL)).open).toBe(false);
  });

  it.each(["nan", "inf", "1e300", "-5", "0", "1.5", "", "\u0000", "9".repeat(400)])(
    "time %j is none",
    async (value) => {
      const fleet = await new Fleet().open();
      await redis.hset(fleet.keys[0], "probe_at", value);
      expect((await fleet.say("c", WELL)).open).toBe(false);
    },
  );
});
