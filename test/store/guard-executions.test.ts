import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeEvent } from "../../src/audit/row/event.ts";
import { hashEvent } from "../../src/audit/row/hash.ts";
import { systemClock } from "../../src/core/clock.ts";
import { SqlExecutionStore } from "../../src/store/executions.ts";
import {
  SqlGuardExecutions,
  type UploadedEnd,
  type UploadedRecord,
  type UploadedStart,
} from "../../src/store/guard-executions.ts";
import { SqlGuardRecords } from "../../src/store/guard-records.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { entryFor, guardEntryFor, random } from "../support/entries.ts";
import { endOf, startOf } from "../support/executions.ts";
import { query } from "../support/sql.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";

describe.each(storeKinds())("executions that guards upload on $name", ({ open }) => {
  let store: TestStore;
  let executions: SqlExecutionStore;
  let uploads: SqlGuardExecutions;
  let records: SqlRecordStore;
  beforeAll(async () => {
    store = await open();
    const { kysely } = store.database;
    executions = new SqlExecutionStore(kysely);
    uploads = new SqlGuardExecutions(kysely);
    records = new SqlRecordStore(kysely);
  });
  afterAll(() => store.close());

  const journalId = randomUUID();
  const bypassed = (idempotencyKey: string) =>
    guardEntryFor(random.take(32), {
      decision: "allow",
      reason: "CIRCUIT_BYPASS",
      grantId: randomUUID(),
      idempotencyKey,
    });
  const recordFor = (decisionId: string): UploadedRecord => {
    const place = { journalId, sequence: 1, recordedAt: systemClock.now() };
    return { agentId: "demo", hash: random.take(32), decisionId, ...place };
  };
  /** The start of a bypass whose decision is recorded. */
  const startedUnder = async (key: string, change: { recordedAt?: number } = {}): Promise<UploadedStart> => {
    const decision = bypassed(key);
    await new SqlGuardRecords(store.database.kysely).recordGuardBatch([decision]);
    const start = startOf({ ...decision, payload: null } as never, { executionId: randomUUID(), startedBy: journalId });
    return { ...start, ...change, record: recordFor(decision.row.decisionId) };
  };
  const endedOf = (start: UploadedStart): UploadedEnd => {
    return {
      ...endOf(start, { outcome: "failed", reportedBy: journalId }),
      record: recordFor(start.execution.decisionId),
    };
  };
  const kindsOf = async (decisionId: string): Promise<string[]> => {
    const text =
      "SELECT kind, hash FROM audit_events WHERE decision_id = $1::text::uuid ORDER BY recorded_at, event_id";
    return (await query<{ kind: string }>(store.owner, text, [decisionId])).map(({ kind }) => kind);
  };
  const isNoted = async ({ record }: { record: UploadedRecord | null }): Promise<boolean> =>
    (await query(store.owner, "SELECT FROM guard_records WHERE record_hash = $1", [record?.hash ?? null])).length === 1;

  test("are started once, with their event and record, however often and beside what they are sent", async () => {
    const [first, other] = [await startedUnder("once"), await startedUnder("other")];
    const again = { ...first, event: makeEvent(first.event.row as never, systemClock.now(), random) };
    expect(await uploads.recordStarts([first])).toEqual(new Set([first.execution.executionId]));
    await Promise.all([uploads.recordStarts([again, other]), uploads.recordStarts([other, again])]);
    expect(await kindsOf(first.execution.decisionId)).toEqual(["execution.started"]);
    expect(await kindsOf(other.execution.decisionId)).toEqual(["execution.started"]);
    expect(await executions.find(first.execution.decisionId)).toMatchObject({
      executionId: first.execution.executionId,
      source: "guard",
      startedBy: journalId,
      end: null,
    });
    const [event] = await query<{ hash: Uint8Array }>(
      store.owner,
      "SELECT hash FROM audit_events WHERE event_id = $1::text::uuid",
      [first.event.row.eventId],
    );
    expect(Buffer.from(event?.hash ?? [])).toEqual(hashEvent(first.event.row));
    expect(await isNoted(first)).toBe(true);
  });

  test("do not start under an id that another execution has, and keep no neighbour from it", async () => {
    const first = await startedUnder("chosen");
    await uploads.recordStarts([first]);
    const { executionId } = first.execution;
    const stolen = await startedUnder("stolen");
    const thief = { ...stolen, execution: { ...stolen.execution, executionId } };
    const neighbour = await startedUnder("neighbour");
    expect(await uploads.recordStarts([thief, neighbour])).toEqual(new Set([neighbour.execution.executionId]));
    expect(await executions.find(thief.execution.decisionId)).toBeNull();
    expect([await isNoted(thief), await isNoted(neighbour)]).toEqual([false, true]);
  });

  test("end once, with their event and record, and are then not due any more", async () => {
    const start = await startedUnder("ends");
    await uploads.recordStarts([start]);
    const [end, another] = [endedOf(start), endedOf(start)];
    expect(await uploads.recordEnds([end])).toEqual(new Set([end.event.row.eventId]));
    expect(await uploads.recordEnds([another])).toEqual(new Set());
    expect([await isNoted(end), await isNoted(another)]).toEqual([true, false]);
    expect(await kindsOf(start.execution.decisionId)).toEqual(["execution.started", "execution.ended"]);
    expect(await executions.find(start.execution.decisionId)).toMatchObject({
      end: { outcome: "failed", reportedBy: journalId },
    });
    const due = "SELECT FROM execution_reports_due WHERE decision_id = $1::text::uuid";
    expect(await query(store.owner, due, [start.execution.decisionId])).toEqual([]);
    expect(await uploads.recordEnds([])).toEqual(new Set());
  });

  test("become unresolved if nobody has said how they ended", async () => {
    const start = await startedUnder("unresolved");
    const reportDueAt = systemClock.now() - 1;
    await uploads.recordStarts([{ ...start, execution: { ...start.execution, reportDueAt } }]);
    const { decisionId } = start.execution;
    expect((await executions.listUnnoted(100)).map((execution) => execution.decisionId)).toContain(decisionId);
  });

  test("are noted once where they say nothing new, with an event where there is one", async () => {
    const start = await startedUnder("noted");
    await uploads.recordStarts([start]);
    const { decisionId } = start.execution;
    const facts = { kind: "execution.refused", actor: "agent:demo", subject: "demo", decisionId };
    const said = { record: recordFor(decisionId), event: makeEvent(facts, systemClock.now(), random) };
    const silent = { record: recordFor(decisionId), event: null };
    await uploads.recordNotes([said, silent]);
    await uploads.recordNotes([{ ...said, event: makeEvent(facts, systemClock.now(), random) }, silent]);
    expect(await kindsOf(decisionId)).toEqual(["execution.started", "execution.refused"]);
    expect([await isNoted(said), await isNoted(silent)]).toEqual([true, true]);
  });

  test("are found by their decisions", async () => {
    const start = await startedUnder("found");
    await uploads.recordStarts([start]);
    const { decisionId, executionId } = start.execution;
    const found = await uploads.findAll([decisionId, randomUUID()]);
    expect([...found.values()]).toMatchObject([{ decisionId, executionId }]);
    expect((await uploads.findAll([])).size).toBe(0);
  });

  test("keep their key from another decision for 24 hours of the upload, and are found by it", async () => {
    const decided = entryFor("taken");
    await records.recordBatch([decided]);
    const { decisionId } = decided.row;
    const bypassedUnder = async (): Promise<unknown> => (await executions.findDecision(decisionId))?.bypassedDecisionId;
    expect(await bypassedUnder()).toBeNull();
    expect(await uploads.startedKeys("demo", ["taken"])).toEqual(new Map());
    const day = 24 * 3600 * 1_000_000;
    await uploads.recordStarts([await startedUnder("taken", { recordedAt: systemClock.now() - day - 1_000_000 })]);
    expect(await bypassedUnder()).toBeNull();
    const start = await startedUnder("taken");
    await uploads.recordStarts([start]);
    expect((await executions.startBatch([startOf(decided)])).size).toBe(0);
    expect(await kindsOf(decisionId)).toEqual([]);
    expect(await bypassedUnder()).toBe(start.execution.decisionId);
    expect((await executions.findDecision(start.execution.decisionId))?.bypassedDecisionId).toBe(
      start.execution.decisionId,
    );
    expect(await uploads.startedKeys("demo", ["taken", "free"])).toEqual(
      new Map([["taken", start.execution.decisionId]]),
    );
    expect(await uploads.startedKeys("another", ["taken"])).toEqual(new Map());
  });

  test("are told of a start of the service's under their key", async () => {
    const decided = entryFor("served");
    await records.recordBatch([decided]);
    await executions.startBatch([startOf(decided)]);
    expect(await uploads.startedKeys("demo", ["served"])).toEqual(new Map([["served", decided.row.decisionId]]));
    const other = entryFor("another agent's", { agentId: "demo" });
    await records.recordBatch([other]);
    expect((await executions.findDecision(other.row.decisionId))?.bypassedDecisionId).toBeNull();
  });
});
