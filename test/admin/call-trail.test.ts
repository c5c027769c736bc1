import { beforeEach, expect, test } from "vitest";
import { CallTrail } from "../../src/admin/call-trail.ts";
import type { EventRow } from "../../src/audit/row/record.ts";
import { RandomPool } from "../../src/core/ids.ts";

let now: number;
let failing: boolean;
let rows: EventRow[];
let trail: CallTrail;
beforeEach(() => {
  [now, failing, rows] = [0, false, []];
  trail = new CallTrail({
    append: async ({ row }) => {
      if (failing) throw new Error("the store is down");
      rows.push(row);
    },
    random: new RandomPool(),
    now: () => 1,
    monotonic: () => now,
  });
});

const call = { method: "AdminService.ListAgents", from: "10.0.0.1", subject: null, outcome: "ok" } as const;
const refused = { ...call, actor: null, outcome: "CREDENTIAL_MISSING" } as const;
const details = (): unknown[] => rows.map(({ detail }) => JSON.parse(detail) as unknown);

test("every call of a known operator has a row, however many there are", async () => {
  for (let n = 0; n < 200; n++) await trail.record({ ...call, actor: "operator:ann" });
  expect(rows).toHaveLength(200);
});

test("a call that cannot be recorded fails, a stranger's too", async () => {
  failing = true;
  const unavailable = { code: "STORE_UNAVAILABLE", status: "unavailable" };
  await expect(trail.record({ ...call, actor: "operator:ann" })).rejects.toMatchObject(unavailable);
  await expect(trail.record(refused)).rejects.toMatchObject(unavailable);
});

test("strangers have rows as long as they are few; beyond that they are counted, and reported together", async () => {
  for (let n = 0; n < 100; n++) await trail.record(refused);
  expect(rows).toHaveLength(60);
  await trail.report();
  expect(details().at(-1)).toEqual({
    refused: [{ method: "AdminService.ListAgents", outcome: "CREDENTIAL_MISSING", from: "10.0.0.1", count: 40 }],
  });
  await trail.report();
  expect(rows).toHaveLength(61);
  now += 5000;
  for (let n = 0; n < 10; n++) await trail.record(refused);
  expect(rows).toHaveLength(66);
});

test("a report names so many addresses and no more, and loses no count when it cannot be written", async () => {
  for (let n = 0; n < 60; n++) await trail.record(refused);
  for (let n = 0; n < 500; n++) await trail.record({ ...refused, from: `10.0.${n}` });
  failing = true;
  await expect(trail.report()).rejects.toThrow("could not be recorded");
  failing = false;
  await trail.report();
  const report = details().at(-1) as { refused: { count: number }[] };
  expect(report.refused.length).toBeLessThan(60);
  expect(report.refused.reduce((sum, { count }) => sum + count, 0)).toBe(500);
});

test("what a caller wrote is cut, and is text that the store can hold", async () => {
  await trail.record({ ...call, actor: "socket", subject: `a\0b\ud800${"x".repeat(1000)}` });
  expect(rows[0]?.subject).toMatch(/^a\ufffdb\ufffdx+$/);
  expect(rows[0]?.subject).toHaveLength(128);
});
