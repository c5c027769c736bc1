import { beforeEach, describe, expect, test } from "vitest";
import { SignInLimit } from "../../src/authn/sign-in-limit.ts";
import { Fault } from "../../src/core/fault.ts";

const MINUTE = 60_000;

let now: number;
let limit: SignInLimit;
beforeEach(() => {
  now = 0;
  limit = new SignInLimit(() => now);
});

/** Milliseconds to wait, 0 if the attempt was made; it fails. */
function fail(name: string, from: string): number {
  try {
    limit.begin(name, from);
    return 0;
  } catch (error) {
    if (error instanceof Fault && error.code === "SIGN_IN_LIMITED") return error.retryAfterMs ?? Number.NaN;
    throw error;
  }
}

const succeed = (name: string, from: string): void => limit.begin(name, from).succeeded();

describe("failed sign-ins", () => {
  test("cost nothing five times, then longer and longer, up to 15 minutes", () => {
    for (let n = 0; n < 5; n++) expect(fail("ann", "10.0.0.1")).toBe(0);
    const waits: number[] = [];
    for (let n = 0; n < 8; n++) {
      waits.push(fail("ann", "10.0.0.1"));
      now += waits.at(-1) ?? 0;
      expect(fail("ann", "10.0.0.1")).toBe(0);
    }
    expect(waits).toEqual([30_000, MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE, 15 * MINUTE, 15 * MINUTE, 15 * MINUTE]);
  });

  test("count before they are made, so that many at once are no way around", () => {
    const made = Array.from({ length: 100 }, () => fail("ann", "10.0.0.1")).filter((wait) => wait === 0);
    expect(made).toHaveLength(5);
  });

  test("count against the name from wherever, and against the address for whatever name", () => {
    for (let n = 0; n < 5; n++) fail("ann", `10.0.0.${n}`);
    expect(fail("ann", "10.0.0.9")).toBeGreaterThan(0);
    for (let n = 0; n < 5; n++) fail(`guess-${n}`, "10.1.1.1");
    expect(fail("bob", "10.1.1.1")).toBeGreaterThan(0);
    expect(fail("bob", "10.1.1.2")).toBe(0);
  });

  test("of one who guesses from elsewhere do not lock out the owner where she has signed in before", () => {
    succeed("ann", "192.168.0.7");
    for (let n = 0; n < 1000; n++) {
      fail("ann", `10.0.${n % 250}.1`);
      now += 1000;
    }
    expect(fail("ann", "10.9.9.9")).toBeGreaterThan(0);
    succeed("ann", "192.168.0.7");
    for (let n = 0; n < 5; n++) expect(fail("ann", "192.168.0.7")).toBe(0);
    expect(fail("ann", "192.168.0.7")).toBeGreaterThan(0);
  });

  test("over the network lock nobody out over the socket, where failures count for themselves", () => {
    for (let n = 0; n < 100; n++) fail("ann", `10.0.0.${n}`);
    expect(fail("ann", "10.9.9.9")).toBeGreaterThan(0);
    for (let n = 0; n < 5; n++) expect(fail("ann", "socket")).toBe(0);
    expect(fail("ann", "socket")).toBeGreaterThan(0);
    succeed("bob", "socket");
  });

  test("are not forgiven by signing in with an account of one's own", () => {
    for (let round = 0; round < 3; round++) {
      fail(`victim-${round}`, "10.0.0.1");
      succeed("mallory", "10.0.0.1");
    }
    for (let n = 3; n < 5; n++) fail(`victim-${n}`, "10.0.0.1");
    expect(fail("victim-5", "10.0.0.1")).toBeGreaterThan(0);
  });

  test("that were none, because the service failed, do not count", () => {
    for (let n = 0; n < 20; n++) limit.begin("ann", "10.0.0.1").abandoned();
    expect(fail("ann", "10.0.0.1")).toBe(0);
  });

  test("are forgotten after an hour", () => {
    for (let n = 0; n < 9; n++) {
      fail("ann", "10.0.0.1");
      now += 15 * MINUTE;
    }
    now += 61 * MINUTE;
    for (let n = 0; n < 5; n++) expect(fail("ann", "10.0.0.1")).toBe(0);
  });
});

test.each([
  ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true],
  ["2001:db8:1:2::1", "2001:db8:1:3::1", false],
  ["::ffff:10.0.0.1", "10.0.0.1", true],
  ["2001:db8::1", "2001:db8:0:0:1::1", true],
])("addresses %s and %s are of one network: %s", (one, other, same) => {
  for (let n = 0; n < 5; n++) fail(`guess-${n}`, one);
  expect(fail("bob", other) > 0).toBe(same);
});

test("the oldest is forgotten when there are too many names", () => {
  for (let n = 0; n < 5; n++) fail("ann", "10.0.0.1");
  const others = (count: number): void => {
    for (let n = 0; n < count; n++) fail(`name-${n}`, `other-${n}`);
  };
  others(9_000);
  expect(fail("ann", "10.0.0.2")).toBeGreaterThan(0);
  others(20_000);
  expect(fail("ann", "10.0.0.2")).toBe(0);
});
