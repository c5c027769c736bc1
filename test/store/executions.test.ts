import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeEvent } from "../../src/audit/row/event.ts";
import { hashEvent } from "../../src/audit/row/hash.ts";
import { PoisonedBatch } from "../../src/audit/write/group-writer.ts";
import { systemClock } from "../../src/core/clock.ts";
import { SqlExecutionStore } from "../../src/store/executions.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { entryFor, random } from "../support/entries.ts";
import { endOf, startOf } from "../support/executions.ts";
import { query } from "../support/sql.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import type { StartEntry } from "../../src/store/execution-entries.ts";

const NOBODY = "0195e0b2-7a3b-7c1d-8a2b-1234567890ab";

describe.each(storeKinds())("executions on $name", ({ open }) => {
  let store: TestStore;
  let records: SqlRecordStore;
  let executions: SqlExecutionStore;

  beforeAll(async () => {
    store = await open();
    records = new SqlRecordStore(store.database.kysely);
    executions = new SqlExecutionStore(store.database.kysely);
  });
  afterAll(() => store.close());

  const decided = async (key: string, change = {}) => {
    const entry = entryFor(key, change);
    await records.recordBatch([entry]);
    return entry;
  };
  const started = async (key: string, change = {}): Promise<StartEntry> => {
    const start = startOf(await decided(key), change);
    await executions.startBatch([start]);
    return start;
  };
  const eventsAbout = async (decisionId: string): Promise<{ kind: string; hash: Uint8Array }[]> =>
    await query(
      store.database,
      "SELECT kind, hash FROM audit_events WHERE decision_id = $1::text::uuid ORDER BY recorded_at, event_id",
      [decisionId],
    );
  const kinds = async (decisionId: string): Promise<string[]> =>
    (await eventsAbout(decisionId)).map(({ kind }) => kind);

  test("a start is recorded once for each decision, with the event of whoever came first", async () => {
    const entry = await decided("once", { principal: "ann@example.com" });
    const [first, second] = [startOf(entry), startOf(entry)];
    expect([...(await executions.startBatch([first])).keys()]).toEqual([first.event.row.eventId]);
    expect((await executions.startBatch([second])).size).toBe(0);
    const expected = { ...first.execution, source: "service", end: null };
    const found = await executions.find(entry.row.decisionId);
    expect({ ...found, nonce: Buffer.from(found?.nonce ?? []) }).toEqual(expected);
    const stored = await executions.findStored(entry.row.decisionId);
    expect({ ...stored, nonce: Buffer.from(stored?.nonce ?? []) }).toEqual({
      ...expected,
      principal: "ann@example.com",
      sessionId: null,
    });
    const [event, ...others] = await eventsAbout(entry.row.decisionId);
    expect(others).toEqual([]);
    expect(Buffer.from(event?.hash ?? [])).toEqual(hashEvent(first.event.row));
  });

  test("a batch starts those that nobody has started, and tells which", async () => {
    const [taken, free, other] = [await decided("taken"), await decided("free"), await decided("other")];
    await executions.startBatch([startOf(taken)]);
    const [late, one, two] = [startOf(taken), startOf(free), startOf(other)];
    const written = await executions.startBatch([late, one, two]);
    expect([...written.keys()].toSorted()).toEqual([one.event.row.eventId, two.event.row.eventId].toSorted());
    expect(await kinds(taken.row.decisionId)).toEqual(["execution.started"]);
  });

  test("a decision whose claim has expired or is another's is not started, and its neighbours are", async () => {
    const expire = "UPDATE idempotency_claims SET expires_at = now() WHERE decision_id = $1::text::uuid";
    const [expired, replaced, free] = [await decided("expired"), await decided("replaced"), await decided("held")];
    await query(store.database, expire, [expired.row.decisionId]);
    await query(store.database, expire, [replaced.row.decisionId]);
    await decided("replaced");
    const starts = [startOf(expired), startOf(replaced), startOf(free)];
    expect([...(await executions.startBatch(starts)).keys()]).toEqual([starts[2]?.event.row.eventId]);
    for (const { row } of [expired, replaced]) {
      expect(await executions.find(row.decisionId)).toBeNull();
      expect(await kinds(row.decisionId)).toEqual([]);
    }
  });

  test("of starts at once one wins", async () => {
    const entry = await decided("raced");
    const starts = Array.from({ length: 16 }, () => startOf(entry));
    const written = await Promise.all(starts.map((start) => executions.startBatch([start])));
    expect(written.filter(({ size }) => size > 0)).toHaveLength(1);
    expect(await kinds(entry.row.decisionId)).toEqual(["execution.started"]);
  });

  test("a start that Postgres refuses poisons its batch, and none of it is written", async () => {
    const [innocent, poisoned] = [startOf(await decided("innocent")), startOf(await decided("poison"))];
    const broken = { ...poisoned, execution: { ...poisoned.execution, tool: "\0" } };
    await expect(executions.startBatch([innocent, broken])).rejects.toThrow(PoisonedBatch);
    expect(await executions.find(innocent.execution.decisionId)).toBeNull();
    expect(await kinds(innocent.execution.decisionId)).toEqual([]);
  });

  test("an outcome is recorded once, with the event of whoever came first", async () => {
    const start = await started("ended");
    const first = endOf(start, { outcome: "failed", errorCode: "HTTP_503", summary: "down" });
    const second = endOf(start);
    expect([...(await executions.endBatch([first])).keys()]).toEqual([first.event.row.eventId]);
    expect((await executions.endBatch([second])).size).toBe(0);
    expect((await executions.find(start.execution.decisionId))?.end).toEqual(first.end);
    expect(await kinds(start.execution.decisionId)).toEqual(["execution.started", "execution.ended"]);
  });

  test("an execution is unresolved from when its report is due until it has an outcome", async () => {
    const before = await executions.countUnresolved(100);
    const due = systemClock.now();
    const [overdue, later, running] = [
      await started("overdue", { reportDueAt: due - 2e6 }),
      await started("later", { reportDueAt: due - 1e6 }),
      await started("running"),
    ];
    const ids = async (after: Parameters<typeof executions.listUnresolved>[1] = null): Promise<string[]> =>
      (await executions.listUnresolved("demo", after, 100)).map(({ decisionId }) => decisionId);
    const [first, second] = [overdue.execution, later.execution];
    expect(await ids()).toEqual([first.decisionId, second.decisionId]);
    expect(await ids({ at: first.reportDueAt, id: first.decisionId })).toEqual([second.decisionId]);
    expect(await executions.listUnresolved("another", null, 100)).toEqual([]);
    expect(await executions.countUnresolved(100)).toBe(before + 2);
    expect(await executions.countUnresolved(1)).toBe(1);
    expect(await executions.resolve(endOf(overdue, { reportedBy: null, resolvedBy: "ann", comment: "seen" }))).toBe(
      true,
    );
    expect(await executions.resolve(endOf(later))).toBe(true);
    expect(await executions.resolve(endOf(later))).toBe(false);
    expect(await ids()).toEqual([]);
    await executions.endBatch([endOf(running)]);
    expect(await executions.countUnresolved(100)).toBe(before);
  });

  test("that an execution is unresolved is recorded once, and never of one that is not", async () => {
    const unresolved = (decisionId: string) =>
      makeEvent(
        { kind: "execution.unresolved", actor: "service", subject: "demo", decisionId },
        systemClock.now(),
        random,
      );
    const overdue = (await started("silent", { reportDueAt: systemClock.now() - 1e6 })).execution.decisionId;
    const running = (await started("busy")).execution.decisionId;
    const late = await started("reported late", { reportDueAt: systemClock.now() - 2e6 });
    await executions.endBatch([endOf(late)]);
    const ended = late.execution.decisionId;
    const listed = await executions.listUnnoted(100);
    expect(listed.map(({ decisionId }) => decisionId)).toEqual([overdue]);
    const note = () => executions.noteUnresolved([unresolved(running), unresolved(overdue), unresolved(ended)]);
    expect((await Promise.all([note(), note(), note()])).toSorted()).toEqual([0, 0, 1]);
    expect(await note()).toBe(0);
    expect(await executions.listUnnoted(100)).toEqual([]);
    expect(await kinds(overdue)).toEqual(["execution.started", "execution.unresolved"]);
    expect(await kinds(running)).toEqual(["execution.started"]);
    expect(await kinds(ended)).toEqual(["execution.started", "execution.ended"]);
    const told = await query<{ type: string }>(
      store.database,
      "SELECT m.type FROM webhook_messages m JOIN audit_events e ON e.event_id = m.source_id WHERE e.decision_id = $1::text::uuid",
      [overdue],
    );
    expect(told).toEqual([{ type: "execution.unresolved" }]);
    expect((await executions.listUnresolved(null, null, 100)).map(({ decisionId }) => decisionId)).toEqual([overdue]);
  });

  test("lists come in pages, the newest first", async () => {
    const ids: string[] = [];
    for (const key of ["p1", "p2", "p3"]) {
      // Ids of one millisecond have no order.
      await sleep(5);
      ids.unshift((await started(key)).execution.executionId);
    }
    const page = async (before: string | null): Promise<string[]> =>
      (await executions.list("demo", before, 2)).map(({ executionId }) => executionId);
    expect(await page(null)).toEqual(ids.slice(0, 2));
    expect((await page(ids[1] as string))[0]).toBe(ids[2]);
    expect(await executions.list("another", null, 2)).toEqual([]);
  });

  test("a decision is found with its claim as long as it holds that", async () => {
    const { row } = await decided("found");
    const found = await executions.findDecision(row.decisionId);
    expect(found).toMatchObject({
      decisionId: row.decisionId,
      agentId: "demo",
      reason: "RULE_ALLOWED",
      source: "service",
    });
    expect(found?.recordedAt).toBe(row.recordedAt);
    expect(Buffer.from(found?.requestDigest ?? [])).toEqual(row.requestDigest);
    expect(found?.expiresAt).toBeGreaterThan(row.recordedAt);
    await query(store.database, "UPDATE idempotency_claims SET expires_at = now() WHERE decision_id = $1::text::uuid", [
      row.decisionId,
    ]);
    expect(await executions.findDecision(row.decisionId)).toMatchObject({ requestDigest: null, expiresAt: null });
    const successor = await decided("found");
    expect(await executions.findDecision(row.decisionId)).toMatchObject({ expiresAt: null });
    expect((await executions.findDecision(successor.row.decisionId))?.expiresAt).not.toBeNull();
    expect(await executions.findDecision(NOBODY)).toBeNull();
  });
});
