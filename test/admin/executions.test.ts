import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Caller } from "../../src/admin/caller.ts";
import { ExecutionOperations } from "../../src/admin/executions.ts";
import { PageTokens } from "../../src/admin/page-tokens.ts";
import { systemClock } from "../../src/core/clock.ts";
import { Fault } from "../../src/core/fault.ts";
import type { Execution } from "../../src/execution/execution.ts";
import { SqlExecutionStore } from "../../src/store/executions.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import type { StartEntry } from "../../src/store/execution-entries.ts";
import { entryFor, random } from "../support/entries.ts";
import { endOf, startOf } from "../support/executions.ts";
import { query } from "../support/sql.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";

const NOBODY = "0195e0b2-7a3b-7c1d-8a2b-1234567890ab";
const HOUR = 3_600_000_000;
const operator = (name: string): Caller => ({
  kind: "operator",
  name,
  role: "operator",
  signedInAt: systemClock.now(),
  methods: ["pwd"],
});
const ann = operator("ann");

describe.each(storeKinds())("executions that operators look after, on $name", ({ open }) => {
  let store: TestStore;
  let executions: SqlExecutionStore;
  let operations: ExecutionOperations;
  let sequence = 0;

  beforeAll(async () => {
    store = await open();
    executions = new SqlExecutionStore(store.database.kysely);
    const tokens = new PageTokens(Buffer.alloc(32, 7));
    operations = new ExecutionOperations({ store: executions, tokens, now: () => systemClock.now(), random });
  });
  afterAll(() => store.close());

  const start = async (change: Partial<Execution> = {}, agentId = "demo"): Promise<StartEntry> => {
    const entry = entryFor(`operated-${++sequence}`, { agentId });
    await new SqlRecordStore(store.database.kysely).recordBatch([entry]);
    const started = startOf(entry, change);
    await executions.startBatch([started]);
    return started;
  };
  const overdue = async (hours: number, agentId?: string): Promise<string> =>
    (await start({ reportDueAt: systemClock.now() - hours * HOUR }, agentId)).execution.decisionId;
  const events = async (decisionId: string): Promise<{ kind: string; actor: string }[]> =>
    await query(
      store.database,
      "SELECT kind, actor FROM audit_events WHERE decision_id = $1::text::uuid AND kind <> 'execution.started' ORDER BY recorded_at, event_id",
      [decisionId],
    );
  const faultOf = async (work: Promise<unknown>): Promise<Fault> => {
    const error = await work.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(Fault);
    return error as Fault;
  };

  test("are resolved once, under the operator's name, and the same may be said again", async () => {
    const decisionId = await overdue(1);
    expect(await operations.find(decisionId)).toMatchObject({ unresolved: true, end: null });
    for (const id of [decisionId, decisionId.toUpperCase(), decisionId])
      expect(await operations.resolve(id, "failed", " the mailbox is empty ", ann)).toMatchObject({
        unresolved: false,
        end: { outcome: "failed", resolvedBy: "ann", reportedBy: null, comment: "the mailbox is empty" },
      });
    expect(await events(decisionId)).toEqual([{ kind: "execution.ended", actor: "operator:ann" }]);
  });

  test.each([
    ["the other outcome", "succeeded", "looked", ann],
    ["another comment", "failed", "asked her", ann],
    ["by another operator", "failed", "looked", operator("bob")],
  ] as const)("are not resolved a second time with %s", async (_, outcome, comment, caller) => {
    const decisionId = await overdue(1);
    await operations.resolve(decisionId, "failed", "looked", ann);
    const { code, message } = await faultOf(operations.resolve(decisionId, outcome, comment, caller));
    expect([code, message]).toEqual([
      "OUTCOME_CONTRADICTED",
      expect.stringMatching(/^ann recorded at .* that the execution ended as failed; it stays so\.$/),
    ]);
    expect((await operations.find(decisionId))?.end).toMatchObject({ outcome: "failed", comment: "looked" });
    expect(await events(decisionId)).toHaveLength(1);
  });

  test("are resolved by one of those who do so at the same time, and the others are shown by which", async () => {
    const decisionId = await overdue(1);
    const names = ["ann", "bob", "cyd", "dan", "eve"];
    const resolved = await Promise.allSettled(
      names.map((name) => operations.resolve(decisionId, "unknown", `${name} looked`, operator(name))),
    );
    const winner = names.filter((_, n) => resolved[n]?.status === "fulfilled");
    expect(winner).toHaveLength(1);
    for (const one of resolved)
      if (one.status === "rejected")
        expect((one.reason as Fault).message).toMatch(new RegExp(`^${winner[0]} recorded`));
    expect(await events(decisionId)).toEqual([{ kind: "execution.ended", actor: `operator:${winner[0]}` }]);
  });

  test("end by the agent's report or by the operator, whichever is first, and once", async () => {
    const started = await start({ reportDueAt: systemClock.now() - HOUR });
    const { decisionId } = started.execution;
    const [reported, resolved] = await Promise.allSettled([
      executions.endBatch([endOf(started)]),
      operations.resolve(decisionId, "failed", "looked", ann),
    ]);
    const wasReported = reported.status === "fulfilled" && reported.value.size === 1;
    expect(resolved.status).toBe(wasReported ? "rejected" : "fulfilled");
    expect((await operations.find(decisionId))?.end).toMatchObject(
      wasReported ? { outcome: "succeeded", resolvedBy: null } : { outcome: "failed", resolvedBy: "ann" },
    );
    expect(await events(decisionId)).toHaveLength(1);
  });

  test("that the agent has reported keep its report, also against the same outcome", async () => {
    const started = await start();
    await executions.endBatch([endOf(started)]);
    const { code, message } = await faultOf(
      operations.resolve(started.execution.decisionId, "succeeded", "looked", ann),
    );
    expect([code, message]).toEqual(["OUTCOME_CONTRADICTED", expect.stringMatching(/^The agent reported at /)]);
  });

  test.each([
    ["of no outcome", { outcome: null }, "FIELD_INVALID", /outcome must be/],
    ["without a comment", { comment: " \n" }, "FIELD_INVALID", /comment must say why/],
    ["with a comment of 501 characters", { comment: "x".repeat(501) }, "FIELD_INVALID", /at most 500/],
    ["with NUL in the comment", { comment: "a\0b" }, "FIELD_INVALID", /NUL/],
    ["of what is no UUID", { id: "1' OR '1'='1" }, "FIELD_INVALID", /decision_id must be a UUID/],
    ["of a decision that nobody has started", { id: NOBODY }, "EXECUTION_UNKNOWN", /was never started/],
    ["over the socket", { caller: { kind: "socket" } as Caller }, "NOT_PERMITTED", /named operator/],
    ["by an operator with the agent's name", { caller: operator("Demo") }, "NOT_PERMITTED", /another operator/],
  ])("are not resolved %s", async (_, change, code, message) => {
    const decisionId = await overdue(1);
    const asked = { id: decisionId, outcome: "failed" as const, comment: "looked", caller: ann, ...change };
    const fault = await faultOf(operations.resolve(asked.id, asked.outcome, asked.comment, asked.caller));
    expect([fault.code, fault.message]).toEqual([code, expect.stringMatching(message)]);
    expect(await events(decisionId)).toEqual([]);
  });

  test("are listed page by page, each once: the newest first, or those that are overdue longest", async () => {
    const ids: string[] = [];
    for (const hours of [3, 9, 6, 12, 1]) ids.push(await overdue(hours, "paged"));
    await start({}, "paged");
    const pages = async (unresolved: boolean): Promise<string[]> => {
      const [found, filter]: [string[], { unresolved: boolean; agentId: string }] = [
        [],
        { unresolved, agentId: "paged" },
      ];
      for (let token = ""; ; ) {
        const page = await operations.list(filter, token, 2);
        found.push(...page.executions.map(({ decisionId }) => decisionId));
        token = page.nextPageToken;
        if (token === "") return found;
        // A page token of one list is not accepted by another.
        await faultOf(operations.list({ ...filter, unresolved: !unresolved }, token, 2));
      }
    };
    expect(await pages(true)).toEqual([3, 1, 2, 0, 4].map((n) => ids[n]));
    const all = await pages(false);
    expect([all.length, new Set(all).size]).toEqual([6, 6]);
    expect((await faultOf(operations.list({ unresolved: true, agentId: "no agent" }, "", 2))).code).toBe(
      "FIELD_INVALID",
    );
  });

  test("are all noted as unresolved in one turn, each once, by replicas that do so at the same time", async () => {
    const entries = Array.from({ length: 450 }, () => entryFor(`noted-${++sequence}`, { agentId: "silent" }));
    const records = new SqlRecordStore(store.database.kysely);
    for (let n = 0; n < entries.length; n += 150) {
      const some = entries.slice(n, n + 150);
      await records.recordBatch(some);
      await executions.startBatch(some.map((entry) => startOf(entry, { reportDueAt: systemClock.now() - HOUR })));
    }
    const unnoted = async (): Promise<number> => (await executions.listUnnoted(1000)).length;
    expect(await unnoted()).toBeGreaterThanOrEqual(450);
    await Promise.all([operations.noteUnresolved(), operations.noteUnresolved(), operations.noteUnresolved()]);
    // A replica leaves to another what that one is at; its next turn finds what is left.
    await operations.noteUnresolved();
    expect(await unnoted()).toBe(0);
    const told = await query<{ kind: string; n: number }>(
      store.database,
      "SELECT kind, count(*)::int AS n FROM audit_events WHERE subject = 'silent' AND kind <> 'execution.started' GROUP BY kind",
    );
    expect(told).toEqual([{ kind: "execution.unresolved", n: 450 }]);
    const [{ messages } = { messages: 0 }] = await query<{ messages: number }>(
      store.database,
      "SELECT count(*)::int AS messages FROM webhook_messages m JOIN audit_events e ON e.event_id = m.source_id WHERE e.subject = 'silent'",
    );
    expect(messages).toBe(450);
  });
});
