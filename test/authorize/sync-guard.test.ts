import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { hashDecision } from "../../src/audit/row/hash.ts";
import type { StoredBypassOrder } from "../../src/core/bypass-order.ts";
import { Fault } from "../../src/core/fault.ts";
import { encodeEntry, type JournalRecord, NO_HASH } from "../../src/core/journal-format.ts";
import type { Call } from "../../src/authorize/call.ts";
import type { RefusedCall } from "../../src/authorize/frame.ts";
import { createSyncGuard, MAX_UPLOAD, type SyncPorts, type UnverifiedSync } from "../../src/authorize/sync-guard.ts";
import type { StartableDecision } from "../../src/execution/startable.ts";
import { FakeUploads, startable, TIMEOUT } from "./execution-fakes.ts";
import { AGENT, callWith, FakeAgents, FakePolicy, keys, Outage, random, STORE_TIME } from "./fakes.ts";
import { bypass, bypassEnd, bypassStart, deny } from "../../clients/typescript/test/support/journal-samples.ts";
import type { GuardEntry } from "../../src/store/guard-records.ts";

const JOURNAL = "0195e0b2-7a3b-7c1d-8a2b-00000000000f";
const KEYS = [{ publicKey: Buffer.alloc(32, 1), signatureByPrevious: Buffer.alloc(0) }];

type Command = Awaited<ReturnType<SyncPorts["commands"]["newest"]>>;

function order(change: Partial<StoredBypassOrder> = {}): StoredBypassOrder {
  return {
    agentId: AGENT,
    epoch: 1,
    grantId: "0b7d1f0e-6c1f-4a55-9c3e-2f5a9d1c7e11",
    tools: "*",
    operator: "nora",
    reason: "outage",
    issuedAt: STORE_TIME - 10,
    expiresAt: STORE_TIME + 10,
    token: "signed",
    ...change,
  };
}

/** SyncGuard over fakes. */
function syncWorld() {
  const agents = new FakeAgents();
  const world = {
    agents,
    admitted: [] as [string, number][],
    turnedAway: null as Fault | null,
    rows: [] as GuardEntry[],
    /** Decision ids and sequence numbers that others hold already. */
    takenIds: new Set<string>(),
    takenSequences: new Set<number>(),
    reports: [] as [string, string, string][],
    forgotten: [] as [string, string][],
    decisions: new Map<string, StartableDecision>(),
    uploads: new FakeUploads(),
    order: null as StoredBypassOrder | null,
    command: null as Command,
    revoked: [] as [string, string][],
    ordersVoidBefore: 0,
    /** What recording rejects with. */
    unwritable: null as Error | null,
    refusals: [] as (RefusedCall & { readonly fault: Fault })[],
    bodiesRead: 0,
    sync,
  };
  const syncGuard = createSyncGuard({
    checkRecovery: () => {
      throw new Error("a guard syncs in recovery, too");
    },
    ordersVoidBefore: () => world.ordersVoidBefore,
    admit: (agentId, records) => {
      if (world.turnedAway !== null) throw world.turnedAway;
      world.admitted.push([agentId, records]);
    },
    agents,
    trail: {
      known: async () => ({
        hashes: new Set(world.rows.map(({ row }) => Buffer.from(row.guardRecordHash as Uint8Array).toString("hex"))),
        sequences: world.takenSequences,
        decisionIds: world.takenIds,
      }),
      recordGuardBatch: async (entries) => {
        if (world.unwritable !== null) throw world.unwritable;
        world.rows.push(...entries);
      },
    },
    circuits: {
      report: async (...report) => void world.reports.push(report),
      forget: async (...guard) => void world.forgotten.push(guard),
    },
    orders: { newest: async () => world.order },
    commands: { newest: async () => world.command },
    revoke: async (agentId, reason) => {
      world.revoked.push([agentId, reason]);
      world.order = order({ epoch: 2, grantId: null, token: "revocation" });
    },
    grantKeys: () => KEYS,
    decisions: { findDecision: async (id) => world.decisions.get(id) ?? null },
    uploads: world.uploads,
    executionMicros: TIMEOUT,
    keys,
    policy: () => new FakePolicy(),
    monotonic: () => Date.now(),
    refused: (fault, refused) => void world.refusals.push({ fault, ...refused }),
    random,
    now: () => STORE_TIME,
  });

  async function sync(body: Partial<UnverifiedSync> = {}, change: Partial<Call<UnverifiedSync>> = {}) {
    const readBody = (): UnverifiedSync => {
      world.bodiesRead++;
      return { journalId: JOURNAL, records: [], circuit: null, closing: false, ...body };
    };
    return await syncGuard(callWith(readBody, change));
  }

  return world;
}

function record(record: JournalRecord = deny(), sequence = 1) {
  return encodeEntry(record, { journalId: JOURNAL, sequence, coalesced: 0 }, NO_HASH);
}

describe("SyncGuard records what a guard decided", () => {
  test("a deny, in every column, and acknowledges its hash", async () => {
    const world = syncWorld();
    const denied = deny({ attempts: 2, errors: ["gone"] });
    const entry = record(denied, 7);
    expect(await world.sync({ records: [entry] })).toMatchObject({ recordedHashes: [entry.hash], refused: [] });
    const [{ row, hash } = {}] = world.rows;
    expect(row).toEqual({
      decisionId: denied.decisionId,
      recordedAt: STORE_TIME,
      source: "guard",
      agentId: AGENT,
      credentialId: null,
      tool: denied.tool,
      idempotencyKey: denied.idempotencyKey,
      decision: "deny",
      reason: "CIRCUIT_OPEN",
      message: denied.message,
      ruleId: null,
      policyVersion: null,
      requestDigest: null,
      payloadDigest: null,
      decidedAt: denied.decidedAt,
      linkedDecisionId: null,
      reviewId: null,
      grantId: null,
      guardJournalId: JOURNAL,
      guardSequence: 7,
      guardRecordHash: entry.hash,
      traceId: null,
      detail: `{"attempts":2,"coalesced":0,"errors":["gone"],"requestDigest":"${denied.requestDigest}"}`,
      principal: null,
      sessionId: null,
    });
    expect(hash).toEqual(row && hashDecision(row));
    expect(world.admitted).toEqual([[AGENT, 1]]);
  });

  test("an allow under a grant, with the grant", async () => {
    const world = syncWorld();
    await world.sync({ records: [record(bypass())] });
    expect(world.rows).toMatchObject([{ row: { decision: "allow", grantId: bypass().grantId } }]);
  });

  test("once, however often it is sent, and acknowledges it each time", async () => {
    const world = syncWorld();
    const entry = record();
    expect((await world.sync({ records: [entry, entry] })).recordedHashes).toEqual([entry.hash]);
    expect((await world.sync({ records: [entry] })).recordedHashes).toEqual([entry.hash]);
    expect(world.rows).toHaveLength(1);
  });

  test.each(["frozen", "revoked"] as const)("also of an agent that is %s", async (state) => {
    const world = syncWorld();
    world.agents.confirmed = state;
    await world.sync({ records: [record()] });
    expect(world.rows).toHaveLength(1);
  });
});

describe("SyncGuard records what a guard started", () => {
  test("after the decision that allowed it, and acknowledges both", async () => {
    const world = syncWorld();
    const allowed = record(bypass({ decisionId: bypassStart().decisionId }), 1);
    const [start, end] = [record(bypassStart({ agentId: AGENT }), 2), record(bypassEnd({ agentId: AGENT }), 3)];
    const { recordedHashes, refused } = await world.sync({ records: [allowed, start, end] });
    expect([recordedHashes, refused]).toEqual([[allowed.hash, start.hash, end.hash], []]);
    expect(world.rows.map(({ row }) => JSON.parse(row.detail ?? "{}"))).toEqual([
      expect.not.objectContaining({ flags: expect.anything() }),
    ]);
    expect(world.uploads.events.map(({ kind }) => kind)).toEqual(["execution.started", "execution.ended"]);
  });

  test("and refuses for good what is not its agent's bypass, without acknowledging it", async () => {
    const world = syncWorld();
    const start = record(bypassStart({ agentId: AGENT }), 2);
    world.decisions.set(bypassStart().decisionId, startable({ agentId: "another" }));
    expect(await world.sync({ records: [start] })).toMatchObject({
      recordedHashes: [],
      refused: [{ hash: start.hash }],
    });
  });

  test("and flags it, if its place in the journal was used before", async () => {
    const world = syncWorld();
    world.takenSequences.add(2);
    await world.sync({ records: [record(bypassStart({ agentId: AGENT }), 2)] });
    expect(world.uploads.events[0]?.detail).toContain("sequence_used_twice");
  });
});

describe("SyncGuard keeps what is suspicious, with a flag:", () => {
  const detailOf = ({ row }: GuardEntry): Record<string, unknown> => JSON.parse(row.detail ?? "{}");

  test.each<[string, boolean, boolean]>([
    ["a sequence number", true, false],
    ["a decision id", false, true],
    ["both", true, true],
  ])("%s that the trail has already", async (_, forked, taken) => {
    const world = syncWorld();
    const denied = deny();
    if (forked) world.takenSequences.add(1);
    if (taken) world.takenIds.add(denied.decisionId);
    await world.sync({ records: [record(denied)] });
    const [entry] = world.rows as [GuardEntry];
    const flags = [...(forked ? ["sequence_used_twice"] : []), ...(taken ? ["decision_id_used_twice"] : [])];
    expect(detailOf(entry)).toMatchObject({ flags });
    expect(entry.row.decisionId === denied.decisionId).toBe(!taken);
    expect(detailOf(entry)["claimedDecisionId"]).toBe(taken ? denied.decisionId : undefined);
  });

  test("a sequence number and a decision id that two records of one upload share", async () => {
    const world = syncWorld();
    const denied = deny();
    await world.sync({ records: [record(denied), record({ ...denied, tool: "other" })] });
    expect(world.rows.map(detailOf)).toEqual(
      Array.from({ length: 2 }, () =>
        expect.objectContaining({
          flags: ["sequence_used_twice", "decision_id_used_twice"],
          claimedDecisionId: denied.decisionId,
        }),
      ),
    );
    const ids = world.rows.map(({ row }) => row.decisionId);
    expect(new Set([...ids, denied.decisionId]).size).toBe(3);
  });

  test("and flags nothing else", async () => {
    const world = syncWorld();
    await world.sync({ records: [record(deny(), 1), record(deny(), 2)] });
    expect(world.rows.map((entry) => detailOf(entry)["flags"])).toEqual([undefined, undefined]);
  });
});

describe("SyncGuard refuses for good a record", () => {
  const whole = record();
  test.each<[string, Partial<typeof whole>, RegExp]>([
    ["with another hash", { hash: Buffer.alloc(32, 1) }, /hash is not/],
    ["with a short previous hash", { previousHash: Buffer.alloc(31) }, /previous hash/],
    ["whose body was altered", { body: Buffer.from("{}") }, /hash is not/],
    ["of another place in the journal", { sequence: 2 }, /another place/],
    ["of another agent", record(deny({ agentId: "other" })), /another agent/],
    [
      "of another journal",
      encodeEntry(deny(), { journalId: randomUUID(), sequence: 1, coalesced: 0 }, NO_HASH),
      /another journal/,
    ],
  ])("%s, and records its neighbours", async (_, change, problem) => {
    const world = syncWorld();
    const sound = record(deny(), 5);
    const broken = { ...whole, ...change };
    expect(await world.sync({ records: [broken, sound] })).toMatchObject({
      recordedHashes: [sound.hash],
      refused: [{ hash: broken.hash, problem: expect.stringMatching(problem) }],
    });
    expect(world.rows).toHaveLength(1);
  });
});

describe("SyncGuard brings", () => {
  test("the service's time and the grant keys", async () => {
    expect(await syncWorld().sync()).toEqual({
      recordedHashes: [],
      refused: [],
      orders: [],
      circuitCommand: null,
      grantKeys: KEYS,
      serviceTime: STORE_TIME,
    });
  });

  test.each<[string, StoredBypassOrder | null, readonly string[]]>([
    ["no order if there is none", null, []],
    ["the newest order", order(), ["signed"]],
    ["a revocation", order({ grantId: null }), ["signed"]],
    ["no order that has expired", order({ expiresAt: STORE_TIME }), []],
  ])("%s", async (_, newest, orders) => {
    const world = syncWorld();
    world.order = newest;
    expect((await world.sync()).orders).toEqual(orders);
    expect(world.revoked).toEqual([]);
  });

  test.each(["frozen", "revoked"] as const)("a revocation instead of a grant if the agent is %s", async (state) => {
    const world = syncWorld();
    world.order = order();
    world.agents.confirmed = state;
    expect((await world.sync()).orders).toEqual(["revocation"]);
    expect(world.revoked).toEqual([[AGENT, `the agent is ${state}`]]);
  });

  test.each<[string, Partial<StoredBypassOrder>]>([
    ["a revocation", { grantId: null }],
    ["a grant that has expired", { expiresAt: STORE_TIME }],
  ])("nothing new to a frozen agent whose newest order is %s", async (_, change) => {
    const world = syncWorld();
    world.order = order(change);
    world.agents.confirmed = "frozen";
    await world.sync();
    expect(world.revoked).toEqual([]);
  });

  const DAY = 24 * 3600 * 1e6;
  test.each<[string, StoredBypassOrder | null, number, boolean]>([
    ["no order is known", null, STORE_TIME - 5, true],
    ["the newest is a grant of before", order(), STORE_TIME - 5, true],
    ["the newest is a revocation of before", order({ grantId: null }), STORE_TIME - 5, true],
    ["the newest came after it", order(), STORE_TIME - 10, false],
    ["it is a day ago", null, STORE_TIME - DAY, false],
    ["it is nearly a day ago", null, STORE_TIME - DAY + 1, true],
    ["there never was one", null, 0, false],
  ])("a revocation after a rollback, for what only the guard may know: %s", async (_, newest, before, revokes) => {
    const world = syncWorld();
    world.order = newest;
    world.ordersVoidBefore = before;
    const { orders } = await world.sync();
    if (revokes) expect(orders).toEqual(["revocation"]);
    expect(world.revoked).toEqual(revokes ? [[AGENT, expect.stringContaining("rolled back")]] : []);
  });

  test.each<[Command, object | null]>([
    [null, null],
    [
      { epoch: 3, kind: "force_open", expiresAt: STORE_TIME + 5 },
      { epoch: 3, open: true, expiresAt: STORE_TIME + 5 },
    ],
    [
      { epoch: 4, kind: "reset", expiresAt: null },
      { epoch: 4, open: false, expiresAt: null },
    ],
  ])("the operators' last command about the circuit: %o", async (command, expected) => {
    const world = syncWorld();
    world.command = command;
    const { circuitCommand } = await world.sync();
    if (expected === null) expect(circuitCommand).toBeNull();
    else expect(circuitCommand).toMatchObject(expected);
  });

  test("the guard's circuit to the operators", async () => {
    const world = syncWorld();
    await world.sync({ circuit: "{}" });
    expect(world.reports).toEqual([[AGENT, JOURNAL, "{}"]]);
    expect(world.forgotten).toEqual([]);
  });

  test("that the guard has ended: its circuit is forgotten, whatever it says", async () => {
    const world = syncWorld();
    await world.sync({ closing: true, circuit: "{}" });
    expect([world.forgotten, world.reports]).toEqual([[[AGENT, JOURNAL]], []]);
  });
});

describe("SyncGuard fails, and acknowledges nothing,", () => {
  test.each<[string, string | undefined]>([
    ["CREDENTIAL_MISSING", undefined],
    ["CREDENTIAL_UNKNOWN", "Bearer dc_agent_other"],
  ])("if the credential is refused: %s", async (code, authorization) => {
    const world = syncWorld();
    await expect(world.sync({ records: [record()] }, { authorization })).rejects.toMatchObject({ code });
    expect([world.rows, world.admitted, world.bodiesRead]).toEqual([[], [], 0]);
    expect(world.refusals).toMatchObject([
      { fault: { code }, method: "SyncGuard", agentId: null, call: { authorization } },
    ]);
  });

  test("if the agent uploads too much", async () => {
    const world = syncWorld();
    world.turnedAway = new Fault("RATE_LIMITED", "Later.");
    await expect(world.sync({ records: [record()] })).rejects.toBe(world.turnedAway);
    expect(world.rows).toEqual([]);
  });

  test.each<[string, Partial<UnverifiedSync>, string]>([
    ["no journal id", { journalId: "" }, "journal_id"],
    ["a journal id in capitals", { journalId: JOURNAL.toUpperCase() }, "journal_id"],
    ["501 records", { records: Array.from({ length: MAX_UPLOAD + 1 }, () => record()) }, "records"],
  ])("on %s", async (_, change, field) => {
    await expect(syncWorld().sync(change)).rejects.toMatchObject({ code: "FIELD_INVALID", field });
  });

  test("if the deadline has passed, before it reads the body", async () => {
    const world = syncWorld();
    const late = world.sync({ records: [record()] }, { deadlineAt: Date.now() });
    await expect(late).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(world.bodiesRead).toBe(0);
  });

  test.each<[string, Error, string]>([
    ["the database is down", new Outage("down"), "STORE_UNAVAILABLE"],
    ["a bug is met", new TypeError("undefined is not a function"), "INTERNAL"],
  ])("if %s while the records are written", async (_, cause, code) => {
    const world = syncWorld();
    world.unwritable = cause;
    await expect(world.sync({ records: [record()], circuit: "{}" })).rejects.toMatchObject({ code, cause });
    expect(world.reports).toEqual([]);
    expect(world.refusals).toMatchObject([{ fault: { code }, method: "SyncGuard", agentId: AGENT }]);
  });

  test("if the agent's state cannot be confirmed: no order goes out", async () => {
    const world = syncWorld();
    world.order = order();
    world.agents.confirmed = "unknown";
    await expect(world.sync()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  });
});
