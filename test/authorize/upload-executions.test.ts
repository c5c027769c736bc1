import { beforeEach, describe, expect, test } from "vitest";
import type { EventRow } from "../../src/audit/row/record.ts";
import { type ExecutionClaim, recordExecutions } from "../../src/authorize/upload-executions.ts";
import type { ExecutionRecord } from "../../src/core/journal-format.ts";
import { execution, FakeUploads, startable, TIMEOUT } from "./execution-fakes.ts";
import { AGENT, FakePolicy, keys, Outage, random, redacting, STORE_TIME } from "./fakes.ts";
import { bypassEnd, bypassStart } from "../../clients/typescript/test/support/journal-samples.ts";

const { decisionId, executionId, startedBy, idempotencyKey } = bypassStart();
const JOURNAL = "0195e0b2-7a3b-7c1d-8a2b-00000000000f";
const BYPASSED = { decisionId, source: "guard", reason: "CIRCUIT_BYPASS" } as const;

let uploads: FakeUploads;
let policy: FakePolicy;
let decisions: Map<string, ReturnType<typeof startable>>;
beforeEach(() => {
  uploads = new FakeUploads();
  policy = new FakePolicy();
  decisions = new Map([[decisionId, startable({ ...BYPASSED, recordedAt: STORE_TIME - 7 })]]);
});

let sequence = 0;
function claim(record: ExecutionRecord, flags: readonly string[] = []): ExecutionClaim {
  const place = { journalId: JOURNAL, sequence: ++sequence, coalesced: 0 } as const;
  return { record: { ...record, agentId: AGENT, ...place }, hash: random.take(32), flags };
}

const upload = (...claims: readonly ExecutionClaim[]) =>
  recordExecutions(
    {
      decisions: { findDecision: async (id) => decisions.get(id) ?? null },
      uploads,
      policy: () => policy,
      keys,
      executionMicros: TIMEOUT,
      random,
      now: () => STORE_TIME,
    },
    AGENT,
    claims,
  );
const started = bypassStart({ startedAt: STORE_TIME - 3_600_000_000 });
const ended = bypassEnd({ startedAt: started.startedAt, endedAt: STORE_TIME - 3_000_000_000 });
const kinds = (): string[] => uploads.events.map(({ kind }) => kind);
const detailOf = (event: EventRow | undefined): unknown => JSON.parse(event?.detail ?? "null");
const recordsOf = (...claims: readonly ExecutionClaim[]): string[] =>
  claims.map(({ hash }) => Buffer.from(hash).toString("hex"));

describe("an uploaded start", () => {
  test("is the execution of its decision, with an event, and is due by the service's clock", async () => {
    const start = claim(started);
    expect(await upload(start)).toEqual([]);
    const execution = uploads.executions.get(decisionId);
    expect(execution).toMatchObject({
      decisionId,
      executionId,
      agentId: AGENT,
      tool: started.tool,
      idempotencyKey,
      startedAt: started.startedAt,
      startedBy,
      reportDueAt: STORE_TIME + TIMEOUT,
      end: null,
    });
    expect(execution?.nonce).toHaveLength(16);
    expect(uploads.events).toEqual([
      {
        eventId: expect.not.stringContaining(executionId),
        recordedAt: STORE_TIME,
        kind: "execution.started",
        actor: `agent:${AGENT}`,
        subject: AGENT,
        decisionId,
        detail: expect.any(String),
      },
    ]);
    expect(detailOf(uploads.events[0])).toEqual({
      executionId,
      tool: started.tool,
      startedAtUs: started.startedAt,
      startedBy,
      reportDueAtUs: STORE_TIME + TIMEOUT,
      guard: { journalId: JOURNAL, sequence: start.record.sequence, recordHash: recordsOf(start)[0] },
    });
    expect(uploads.records).toEqual(recordsOf(start));
  });

  test("that comes again, in any record, is noted and says nothing new", async () => {
    const copies = [claim(started), claim(started), claim(started)];
    await upload(copies[0] as ExecutionClaim, copies[1] as ExecutionClaim);
    await upload(copies[2] as ExecutionClaim);
    expect(kinds()).toEqual(["execution.started"]);
    expect(uploads.records.toSorted()).toEqual(recordsOf(...copies).toSorted());
  });

  test("of a decision that another start has is an event, and changes nothing", async () => {
    await upload(claim(started));
    const other = claim({ ...started, executionId: "019c2f4e-7d11-7b3a-9c55-2f0e8a1b6c3f" });
    await upload(other);
    expect(kinds()).toEqual(["execution.started", "execution.refused"]);
    expect(detailOf(uploads.events[1])).toMatchObject({
      refusal: "ALREADY_STARTED",
      executionId: other.record.executionId,
    });
    expect(uploads.executions.get(decisionId)?.executionId).toBe(executionId);
    expect(uploads.records).toHaveLength(2);
  });

  test("in the guard's future is started now", async () => {
    await upload(claim({ ...started, startedAt: STORE_TIME + 1 }));
    expect(uploads.executions.get(decisionId)?.startedAt).toBe(STORE_TIME);
  });

  test.each([
    ["of another agent's decision", { ...BYPASSED, agentId: "another" }],
    ["of the service's allow", { decisionId }],
    ["of a guard's deny", { ...BYPASSED, reason: "CIRCUIT_OPEN" as const }],
  ])("%s is refused for good, and its neighbour recorded", async (_, change) => {
    decisions.set(decisionId, startable(change));
    const [foreign, own] = [claim(started), claim({ ...started, decisionId: startedBy })];
    expect(await upload(foreign, own)).toEqual([
      { hash: foreign.hash, problem: expect.stringContaining("not a bypass") },
    ]);
    expect([...uploads.executions.keys()]).toEqual([startedBy]);
    expect(uploads.records).toEqual(recordsOf(own));
  });

  test.each([
    ["whose decision is not there yet", () => decisions.clear(), ["decision_unknown"], {}],
    [
      "of a key that was started under another decision",
      () => uploads.keys.set(idempotencyKey, startedBy),
      ["key_started_twice"],
      { startedBefore: startedBy },
    ],
  ])("%s is recorded, with a flag", async (_, arrange, flags, facts) => {
    arrange();
    await upload(claim(started, ["sequence_used_twice"]));
    expect(detailOf(uploads.events[0])).toMatchObject({
      guard: { flags: ["sequence_used_twice", ...flags] },
      ...facts,
    });
  });

  test("whose key is known by this decision alone has no flag", async () => {
    uploads.keys.set(idempotencyKey, decisionId);
    await upload(claim(started));
    expect(detailOf(uploads.events[0])).not.toHaveProperty("guard.flags");
  });
});

describe("an uploaded end", () => {
  const [start, end] = [() => claim(started), () => claim(ended)];

  test("is the outcome of its execution, with an event, in the guard's time", async () => {
    const both = [end(), start()];
    expect(await upload(...both)).toEqual([]);
    expect(kinds()).toEqual(["execution.started", "execution.ended"]);
    expect(uploads.executions.get(decisionId)?.end).toEqual({
      outcome: "failed",
      errorCode: "HTTP_503",
      durationMs: 250,
      summary: "the bank was closed",
      endedAt: ended.endedAt,
      reportedBy: startedBy,
      resolvedBy: null,
      comment: null,
    });
    expect(detailOf(uploads.events[1])).toMatchObject({ executionId, outcome: "failed", endedAtUs: ended.endedAt });
    expect(uploads.records.toSorted()).toEqual(recordsOf(...both).toSorted());
  });

  test("tells of its start, where the start did not come", async () => {
    const alone = end();
    await upload(alone);
    expect(kinds()).toEqual(["execution.started", "execution.ended"]);
    expect(uploads.records).toEqual(recordsOf(alone));
  });

  test("that comes again is noted, and says nothing new", async () => {
    await upload(start(), end(), end());
    await upload(end());
    expect(kinds()).toEqual(["execution.started", "execution.ended"]);
    expect(uploads.records).toHaveLength(4);
  });

  test.each([
    ["another outcome", { outcome: "succeeded" as const }],
    ["other facts", { durationMs: 251 }],
  ])("that says %s than is recorded is an event, and changes nothing", async (_, change) => {
    await upload(start(), end());
    await upload(claim({ ...ended, ...change }));
    expect(kinds().at(-1)).toBe("execution.report_refused");
    expect(detailOf(uploads.events.at(-1))).toMatchObject({
      refusal: "OUTCOME_CONTRADICTED",
      recorded: "failed",
      reported: change,
    });
    expect(uploads.executions.get(decisionId)?.end).toMatchObject({ outcome: "failed", durationMs: 250 });
  });

  test("of another execution of the decision is an event, and ends nothing", async () => {
    await upload(start());
    await upload(claim({ ...ended, executionId: startedBy }));
    expect(detailOf(uploads.events.at(-1))).toMatchObject({ refusal: "EXECUTION_UNKNOWN" });
    expect(uploads.executions.get(decisionId)?.end).toBeNull();
  });

  test("that an operator has found out as well is noted", async () => {
    const resolved = {
      ...ended,
      reportedBy: null,
      resolvedBy: "ann",
      comment: "seen",
      summary: null,
      durationMs: null,
    };
    uploads.executions.set(decisionId, execution({ decisionId, executionId, end: resolved }));
    await upload(end());
    expect(kinds()).toEqual([]);
    expect(uploads.records).toHaveLength(1);
  });

  test("has a digest in place of its summary, where the policy redacts something of the tool's payload", async () => {
    policy.redaction = redacting("payload.card");
    await upload(end());
    expect(uploads.executions.get(decisionId)?.end?.summary).not.toContain("bank");
    expect(uploads.events.map(({ detail }) => detail).join("")).not.toContain("bank");
    await upload(end());
    expect(kinds()).toEqual(["execution.started", "execution.ended"]);
  });

  test("lies between its start and now, whatever the guard's clock", async () => {
    await upload(claim({ ...ended, endedAt: STORE_TIME + 1 }));
    expect(uploads.executions.get(decisionId)?.end?.endedAt).toBe(STORE_TIME);
    uploads.executions.set(decisionId, execution({ decisionId, executionId, startedAt: started.startedAt }));
    await upload(claim({ ...ended, endedAt: 1 }));
    expect(uploads.executions.get(decisionId)?.end?.endedAt).toBe(started.startedAt);
  });
});

test.each(["starts", "ends", "notes"] as const)(
  "an upload that fails at its %s is whole when it is repeated",
  async (at) => {
    const claims = [claim(started), claim(ended), claim(started)];
    uploads.failure = { at, error: new Outage("down") };
    await expect(upload(...claims)).rejects.toThrow("down");
    await upload(...claims);
    expect(kinds()).toEqual(["execution.started", "execution.ended"]);
    expect(new Set(uploads.records)).toEqual(new Set(recordsOf(...claims)));
  },
);
