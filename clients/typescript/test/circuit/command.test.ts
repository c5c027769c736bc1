import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Breaker, createBreaker } from "../../src/circuit/breaker.ts";
import { systemClock } from "../../../../src/core/clock.ts";
import { openCircuitCommands } from "../../src/circuit/command.ts";

let dir: string;
let breaker: Breaker;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "datacrawl-orders-"));
  breaker = newBreaker();
});
afterEach(() => rmSync(dir, { recursive: true }));

function newBreaker(): Breaker {
  const config = { failures: 2, probeAfterMs: 60_000 };
  return createBreaker({ service: "s", agentId: "a", config, clock: systemClock, random: () => 0.5 });
}
const open = (into = breaker) => openCircuitCommands({ dir, agentId: "a", breaker: into, clock: systemClock });
const inSeconds = (seconds: number): number => systemClock.now() + seconds * 1_000_000;
const fail = (): void => {
  const permit = breaker.permit();
  if (permit.kind !== "denied") breaker.report(permit.token, { kind: "failure", error: "down" });
};

test("an order to hold the circuit open denies, by order, until another one ends it", async () => {
  const orders = await open();
  await orders.take({ epoch: 5, open: true, expiresAt: null });
  expect(breaker.permit()).toMatchObject({ kind: "denied", cause: "forced" });
  expect(breaker.snapshot).toMatchObject({ state: "open", cause: "forced", openedLocally: false });
  await orders.take({ epoch: 4, open: false, expiresAt: null });
  await orders.take(null);
  expect(breaker.permit().kind).toBe("denied");
  await orders.take({ epoch: 6, open: false, expiresAt: null });
  expect(breaker.permit().kind).toBe("call");
});

test("it ends by itself when it has expired", async () => {
  const orders = await open();
  await orders.take({ epoch: 5, open: true, expiresAt: inSeconds(0.3) });
  expect(breaker.permit().kind).toBe("denied");
  await expect.poll(() => breaker.permit().kind).toBe("call");
  await orders.take({ epoch: 6, open: true, expiresAt: inSeconds(-1) });
  expect(breaker.permit().kind).toBe("call");
});

test("it outlives the process that heard it", async () => {
  await (await open()).take({ epoch: 5, open: true, expiresAt: inSeconds(60) });
  const next = newBreaker();
  const orders = await open(next);
  expect(next.permit()).toMatchObject({ kind: "denied", cause: "forced" });
  await orders.take({ epoch: 6, open: false, expiresAt: null });
  const last = newBreaker();
  await open(last);
  expect(last.permit().kind).toBe("call");
});

test("a reset lets the next call probe, once, and allows no more than that", async () => {
  const orders = await open();
  fail();
  fail();
  expect(breaker.permit()).toMatchObject({ kind: "denied", cause: "local" });
  await orders.take({ epoch: 5, open: false, expiresAt: null });
  const probe = breaker.permit();
  expect(probe.kind).toBe("probe");
  expect(breaker.permit().kind).toBe("denied");
  if (probe.kind === "probe") breaker.report(probe.token, { kind: "failure", error: "still down" });
  // The same order again, as each sync brings it.
  await orders.take({ epoch: 5, open: false, expiresAt: null });
  expect(breaker.permit().kind).toBe("denied");
});

test("what cannot be read or written is told, and denies nothing by itself", async () => {
  mkdirSync(join(dir, "a"));
  writeFileSync(join(dir, "a", "circuit.json"), '{"epoch":"x"}');
  const orders = await open();
  expect(orders.problem).toContain("malformed");
  expect(breaker.permit().kind).toBe("call");
  for (const epoch of [0, -1, 1.5, Number.NaN, 2 ** 60]) await orders.take({ epoch, open: true, expiresAt: null });
  expect(breaker.permit().kind).toBe("call");
  await orders.take({ epoch: 1, open: true, expiresAt: null });
  expect(orders.problem).toBeNull();
});
