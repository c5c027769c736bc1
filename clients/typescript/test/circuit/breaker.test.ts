import { afterEach, describe, expect, it, vi } from "vitest";
import {
  type Breaker,
  type CircuitEvent,
  createBreaker,
  type Permit,
  type Result,
  type Token,
} from "../../src/circuit/breaker.ts";
import type { Clock } from "../../../../src/core/clock.ts";

/** A clock that goes only when told to; its wall time can be set without its monotonic time. */
class HandClock implements Clock {
  elapsed = 0;
  wall = 1_800_000_000_000_000;
  now = (): number => this.wall + this.elapsed * 1000;
  monotonic = (): number => this.elapsed;
}

const FAILURE: Result = { kind: "failure", error: "UNAVAILABLE: connection refused" };
const SUCCESS: Result = { kind: "success" };

function start(config: { failures?: number; probeAfterMs?: number; rampMs?: number } = {}): {
  breaker: Breaker;
  clock: HandClock;
} {
  const clock = new HandClock();
  const breaker = createBreaker({
    service: "http://service",
    agentId: "demo",
    config: { failures: 5, probeAfterMs: 30_000, rampMs: 5_000, ...config },
    clock,
    random: () => 0.5,
  });
  return { breaker, clock };
}

function tokenOf(permit: Permit): Token {
  if (permit.kind === "denied") throw new Error(`denied: ${permit.cause}`);
  return permit.token;
}

function fail(breaker: Breaker, times: number): void {
  for (let done = 0; done < times; done += 1) breaker.report(tokenOf(breaker.permit()), FAILURE);
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe("a breaker without a fleet", () => {
  it("denies after five failures in a row, and says for how long", () => {
    const { breaker, clock } = start();
    fail(breaker, 5);
    clock.elapsed += 1_000;
    expect(breaker.permit()).toEqual({ kind: "denied", cause: "local", retryInMs: 29_000 });
    expect(breaker.snapshot).toMatchObject({
      state: "open",
      cause: "local",
      consecutiveFailures: 5,
      openedLocally: true,
      openedAt: 1_800_000_000_000_000,
      nextProbeInMs: 29_000,
    });
  });

  it("probes once after 30 s, and recovers when the probe succeeds", () => {
    const { breaker, clock } = start();
    fail(breaker, 5);
    clock.elapsed += 30_000;
    const probe = breaker.permit();
    expect(probe).toMatchObject({ kind: "probe", leaseMs: 10_000 });
    expect(breaker.permit()).toEqual({ kind: "denied", cause: "local", retryInMs: 10_000 });
    expect(breaker.snapshot).toMatchObject({ state: "half_open", openedLocally: true, nextProbeInMs: null });
    breaker.report(tokenOf(probe), SUCCESS);
    expect(breaker.snapshot).toMatchObject({
      state: "recovering",
      cause: "local",
      openedLocally: false,
      consecutiveFailures: 0,
    });
    clock.elapsed += 5_000;
    expect(breaker.snapshot).toMatchObject({ state: "closed", cause: null, openedAt: null, nextProbeInMs: null });
  });

  it("keeps saying when it opened, though the wall clock is set", () => {
    const { breaker, clock } = start();
    fail(breaker, 5);
    const { openedAt } = breaker.snapshot;
    clock.wall -= 3_600_000_000;
    clock.elapsed += 10;
    expect(breaker.snapshot).toMatchObject({ openedAt, nextProbeInMs: 29_990 });
  });

  it("takes a report once, and only for a token of its own", () => {
    const { breaker } = start();
    const token = tokenOf(breaker.permit());
    for (let times = 0; times < 10; times += 1) breaker.report(token, FAILURE);
    for (let times = 0; times < 10; times += 1) breaker.report({ ...token }, FAILURE);
    expect(breaker.snapshot).toMatchObject({ state: "closed", consecutiveFailures: 1 });
  });

  it("does not count what comes from before the opening, nor shows it", () => {
    const { breaker, clock } = start();
    const early = tokenOf(breaker.permit());
    fail(breaker, 5);
    breaker.report(early, { kind: "failure", error: "late" });
    expect(breaker.snapshot.lastErrors).not.toContain("late");
    const late = tokenOf(start().breaker.permit());
    breaker.report(late, SUCCESS);
    clock.elapsed += 29_999;
    expect(breaker.permit().kind).toBe("denied");
  });

  it("shows the last five errors, newest first, each of at most 200 bytes and whole characters", () => {
    const { breaker } = start({ failures: 100 });
    for (const error of ["1", "2", "3", "4", "5", `${"x".repeat(199)}ü`, "💥".repeat(100)]) {
      breaker.report(tokenOf(breaker.permit()), { kind: "failure", error });
    }
    expect(breaker.snapshot.lastErrors).toEqual(["💥".repeat(50), "x".repeat(199), "5", "4", "3"]);
  });

  it("tells its listeners of each change, and survives them", () => {
    const warn = vi.spyOn(process, "emitWarning").mockReturnValue();
    const { breaker, clock } = start();
    const seen: string[] = [];
    breaker.on(() => {
      throw new Error("a listener's mistake");
    });
    const stop = breaker.on((event: CircuitEvent) =>
      seen.push(`${event.from} ${event.to} ${event.cause} ${event.snapshot.state}`),
    );
    fail(breaker, 5);
    clock.elapsed += 30_000;
    breaker.report(tokenOf(breaker.permit()), SUCCESS);
    clock.elapsed += 5_000;
    breaker.permit();
    stop();
    fail(breaker, 5);
    expect(seen).toEqual([
      "closed open local open",
      "open half_open local half_open",
      "half_open recovering local recovering",
      "recovering closed null closed",
    ]);
    expect(warn).toHaveBeenCalledTimes(5);
  });

  it("survives listeners that reject", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockReturnValue();
    const { breaker } = start();
    breaker.on(async () => {
      throw new Error("an async listener's mistake");
    });
    fail(breaker, 5);
    await expect.poll(() => warn.mock.calls.length).toBe(1);
  });

  it("refuses a configuration that is none", () => {
    for (const config of [
      { failures: 0 },
      { failures: Number.NaN },
      { probeAfterMs: 0 },
      { probeAfterMs: Number.POSITIVE_INFINITY },
      { rampMs: 0.5 },
    ]) {
      expect(() => start(config)).toThrow(RangeError);
    }
  });
});

describe("an order to hold the circuit open", () => {
  it("denies whatever the service does, and is no reason for a bypass", () => {
    const { breaker } = start();
    breaker.force(true);
    expect(breaker.permit()).toMatchObject({ kind: "denied", cause: "forced" });
    expect(breaker.snapshot).toMatchObject({
      state: "open",
      cause: "forced",
      openedLocally: false,
      nextProbeInMs: null,
    });
  });

  it("is no reason for a bypass even if the process has counted its failures", () => {
    const { breaker } = start();
    fail(breaker, 5);
    breaker.force(true);
    expect(breaker.snapshot).toMatchObject({ cause: "forced", openedLocally: false });
  });

  it("leaves, when it ends, what the process itself has seen", () => {
    const { breaker } = start();
    fail(breaker, 5);
    breaker.force(true);
    breaker.force(false);
    expect(breaker.permit()).toMatchObject({ kind: "denied", cause: "local" });
    const other = start().breaker;
    other.force(true);
    other.force(false);
    expect(other.permit().kind).toBe("call");
  });
});
