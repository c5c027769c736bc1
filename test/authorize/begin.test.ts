import { beforeEach, describe, expect, test } from "vitest";
import { Fault } from "../../src/core/fault.ts";
import { REVIEW_STATES, type Review, type ReviewState } from "../../src/review/review.ts";
import { AGENT, Outage, STORE_TIME } from "./fakes.ts";
import {
  BEGIN_NONCE,
  DAY,
  DECISION,
  execution,
  executionWorld,
  OTHER_ID,
  startable,
  TIMEOUT,
} from "./execution-fakes.ts";

let world: ReturnType<typeof executionWorld>;
beforeEach(() => {
  world = executionWorld();
});

const OTHER_NONCE = Buffer.alloc(16, 1);
const kinds = (): string[] => world.executions.events.map(({ kind }) => kind);
const lastDetail = (): unknown => JSON.parse(world.executions.events.at(-1)?.detail ?? "null");
const reviewIn = (state: ReviewState, wasApproved: boolean): Review =>
  ({ state, approvalExpiresAt: wasApproved ? STORE_TIME : null }) as Review;

describe("an allowed decision", () => {
  test("is started with an event, which has the execution's id", async () => {
    const answer = await world.begin();
    expect(answer).toMatchObject({ state: "started", decisionId: DECISION, agentId: AGENT, nonce: BEGIN_NONCE });
    if (answer.state === "refused") throw new Error("refused");
    const { executionId, startedAt, startedBy, reportDueAt, end } = answer.execution;
    expect({ startedAt, startedBy, reportDueAt, end }).toEqual({
      startedAt: STORE_TIME,
      startedBy: "key-1",
      reportDueAt: STORE_TIME + TIMEOUT,
      end: null,
    });
    expect(world.executions.events).toEqual([
      {
        eventId: executionId,
        recordedAt: STORE_TIME,
        kind: "execution.started",
        actor: `agent:${AGENT}`,
        subject: AGENT,
        decisionId: DECISION,
        detail: JSON.stringify({
          credentialId: "key-1",
          reportDueAtUs: STORE_TIME + TIMEOUT,
          tool: "stripe.refund",
        }),
      },
    ]);
    expect(world.answers).toEqual([answer]);
  });

  test("has the time of its rule to be reported, where the policy in force says one", async () => {
    world.policy.executionMicros.set("refund-small", 60e6);
    expect(await world.begin()).toMatchObject({ execution: { reportDueAt: STORE_TIME + 60e6 } });
  });

  test("gets the same start again with the same nonce, and no other event", async () => {
    const first = await world.begin();
    expect(await world.begin()).toEqual(first);
    expect(kinds()).toEqual(["execution.started"]);
  });

  test("is not started again with another nonce", async () => {
    await world.begin();
    const again = await world.begin({ nonce: OTHER_NONCE });
    expect(again).toMatchObject({ state: "already_started", nonce: OTHER_NONCE, execution: { startedBy: "key-1" } });
    expect(kinds()).toEqual(["execution.started"]);
  });

  test("is asked for in either case of letters", async () => {
    expect(await world.begin({ decisionId: DECISION.toUpperCase() })).toMatchObject({ decisionId: DECISION });
  });
});

describe("a decision that this process has just allowed", () => {
  beforeEach(() => {
    world.recent = startable();
  });

  test("is started without being read", async () => {
    world.executions.unreadable = new Outage("down");
    expect(await world.begin()).toMatchObject({ state: "started", execution: { startedBy: "key-1" } });
    expect(kinds()).toEqual(["execution.started"]);
  });

  test("is another agent's as much as one that is read", async () => {
    world.recent = startable({ agentId: "another" });
    expect(await world.begin()).toMatchObject({ state: "refused", reason: "UNKNOWN_DECISION" });
    expect(kinds()).toEqual(["execution.refused"]);
  });

  test("is not started for a frozen agent", async () => {
    world.agents.confirmed = "frozen";
    expect(await world.begin()).toMatchObject({ state: "refused", reason: "AGENT_FROZEN" });
    expect(world.executions.execution).toBeNull();
  });

  test("is read again where it is not started, and refused if its claim is gone", async () => {
    world.executions.decision = startable({ requestDigest: null, expiresAt: null });
    world.executions.starts.record = async () => null;
    expect(await world.begin()).toMatchObject({ state: "refused", reason: "EXPIRED" });
    expect(kinds()).toEqual(["execution.refused"]);
  });

  test("is read again where it is not started, and tells of the guard that has started its key", async () => {
    world.executions.decision = startable({ bypassedDecisionId: OTHER_ID });
    world.executions.starts.record = async () => null;
    world.executions.find = async (decisionId) =>
      decisionId === OTHER_ID ? execution({ decisionId: OTHER_ID, nonce: OTHER_NONCE }) : null;
    expect(await world.begin()).toMatchObject({ state: "already_started" });
  });
});

describe("a start that fails", () => {
  test("is not answered, and can be tried again", async () => {
    world.executions.failure = { error: new Outage("down"), persists: false };
    await expect(world.begin()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(await world.begin()).toMatchObject({ state: "started" });
  });

  test("but was written is found by its nonce, and by no other", async () => {
    world.executions.failure = { error: new Fault("COMMIT_UNKNOWN", "?"), persists: true };
    await expect(world.begin()).rejects.toMatchObject({ code: "COMMIT_UNKNOWN" });
    expect(await world.begin({ nonce: OTHER_NONCE })).toMatchObject({ state: "already_started" });
    expect(await world.begin()).toMatchObject({ state: "started" });
    expect(kinds()).toEqual(["execution.started"]);
  });

  test("is unavailable where the decision cannot be read", async () => {
    world.executions.unreadable = new Outage("down");
    await expect(world.begin()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(kinds()).toEqual([]);
  });

  test("is unavailable where the agent's state cannot be confirmed", async () => {
    world.agents.confirmed = "unknown";
    await expect(world.begin()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(world.executions.execution).toBeNull();
  });

  test("is unavailable where the start that came first cannot be read", async () => {
    world.executions.starts.record = async () => null;
    await expect(world.begin()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  });

  test("is refused in recovery, before and after it is recorded", async () => {
    world.recovery.from = 1;
    await expect(world.begin()).rejects.toMatchObject({ code: "IN_RECOVERY" });
    expect(kinds()).toEqual([]);
    world.recovery.from = 3;
    await expect(world.begin()).rejects.toMatchObject({ code: "IN_RECOVERY" });
  });
});

describe("a refusal", () => {
  test.each([
    ["unknown", null, "UNKNOWN_DECISION"],
    ["another agent's", startable({ agentId: "another" }), "UNKNOWN_DECISION"],
    ["a guard's", startable({ source: "guard", reason: "CIRCUIT_BYPASS" }), "UNKNOWN_DECISION"],
    ["about another one", startable({ linkedDecisionId: DECISION, reason: "REVIEW_APPROVED" }), "UNKNOWN_DECISION"],
    ["a deny", startable({ reason: "RULE_DENIED" }), "NOT_ALLOWED"],
    ["an expired deny", startable({ reason: "RULE_DENIED", expiresAt: null }), "NOT_ALLOWED"],
    ["without its claim", startable({ requestDigest: null, expiresAt: null }), "EXPIRED"],
    ["a review without a review", startable({ reason: "REVIEW_PENDING" }), "NOT_ALLOWED"],
  ] as const)("of a decision that is %s is recorded", async (_, decision, reason) => {
    world.executions.decision = decision;
    expect(await world.begin()).toMatchObject({ state: "refused", reason, decisionId: DECISION, nonce: BEGIN_NONCE });
    expect(world.executions.execution).toBeNull();
    expect(kinds()).toEqual(["execution.refused"]);
    expect(lastDetail()).toMatchObject({ refusal: reason, credentialId: "key-1" });
  });

  test("tells the trail, but not the caller, whose decision it is", async () => {
    world.executions.decision = startable({ agentId: "another" });
    expect(JSON.stringify(await world.begin())).not.toContain("another");
    expect(lastDetail()).toMatchObject({ decisionOf: "another" });
  });

  test.each(["frozen", "revoked"] as const)("is what a %s agent gets, also of what it has started", async (state) => {
    await world.begin();
    world.agents.state = state;
    expect(await world.begin()).toMatchObject({ state: "refused", reason: "AGENT_FROZEN" });
    expect(await world.begin({ nonce: OTHER_NONCE })).toMatchObject({ state: "refused", reason: "AGENT_FROZEN" });
  });

  test("is what decisions get that are older than the acknowledgement of a rollback", async () => {
    world.voidBefore = STORE_TIME - 999;
    expect(await world.begin()).toMatchObject({ state: "refused", reason: "EXPIRED" });
    world.voidBefore = STORE_TIME - 1000;
    expect(await world.begin()).toMatchObject({ state: "started" });
  });

  test("of an expired decision tells others that it was started, and nobody that it may start", async () => {
    world.executions.decision = startable({ requestDigest: null, expiresAt: null, recordedAt: STORE_TIME - DAY });
    world.executions.execution = execution();
    expect(await world.begin({ nonce: OTHER_NONCE })).toMatchObject({ state: "already_started" });
    expect(await world.begin()).toMatchObject({ state: "refused", reason: "EXPIRED" });
  });
});

describe("a decision under review", () => {
  beforeEach(() => {
    world.executions.decision = startable({ reason: "REVIEW_PENDING" });
  });

  const EXPECTED: Readonly<Record<ReviewState, string>> = {
    open: "NOT_ALLOWED",
    approved: "started",
    rejected: "NOT_ALLOWED",
    expired: "NOT_ALLOWED",
    lapsed: "APPROVAL_LAPSED",
    void: "APPROVAL_LAPSED",
    withdrawn: "APPROVAL_LAPSED",
  };

  test.each(REVIEW_STATES)("that is %s", async (state) => {
    const wasApproved = !["open", "rejected", "expired"].includes(state);
    world.review = reviewIn(state, wasApproved);
    const answer = await world.begin();
    expect(answer.state === "refused" ? answer.reason : answer.state).toBe(EXPECTED[state]);
  });

  test("whose approval was withdrawn by one of several who are needed was never allowed", async () => {
    world.review = reviewIn("withdrawn", false);
    expect(await world.begin()).toMatchObject({ state: "refused", reason: "NOT_ALLOWED" });
  });

  test("whose approval ended after the start is not started by a retry", async () => {
    world.review = reviewIn("approved", true);
    await world.begin();
    world.review = reviewIn("withdrawn", true);
    expect(await world.begin()).toMatchObject({ state: "refused", reason: "APPROVAL_LAPSED" });
    expect(await world.begin({ nonce: OTHER_NONCE })).toMatchObject({ state: "already_started" });
  });
});

test.each([
  [{ decisionId: "" }, "decision_id"],
  [{ decisionId: "0195e0b2" }, "decision_id"],
  [{ nonce: new Uint8Array(0) }, "nonce"],
  [{ nonce: new Uint8Array(15) }, "nonce"],
  [{ nonce: new Uint8Array(17) }, "nonce"],
])("a request with %j is refused, and nothing is recorded", async (change, field) => {
  await expect(world.begin(change)).rejects.toMatchObject({ code: "FIELD_INVALID", field });
  expect(kinds()).toEqual([]);
});

describe("what a guard has started under a bypass", () => {
  const bypassed = execution({ decisionId: OTHER_ID, startedBy: "a-journal", nonce: Buffer.alloc(16, 7) });

  test.each([
    ["the decision itself", { source: "guard", reason: "CIRCUIT_BYPASS", requestDigest: null, expiresAt: null }],
    ["another decision under its key", {}],
  ] as const)("is not started again: %s", async (_, change) => {
    world.executions.decision = startable({ ...change, bypassedDecisionId: OTHER_ID });
    world.executions.execution = bypassed;
    expect(await world.begin()).toMatchObject({
      state: "already_started",
      decisionId: DECISION,
      execution: { startedBy: "a-journal", startedAt: bypassed.startedAt },
    });
    expect(kinds()).toEqual([]);
  });

  test("is not told to another agent", async () => {
    world.executions.decision = startable({ agentId: "another", bypassedDecisionId: OTHER_ID });
    world.executions.execution = bypassed;
    expect(await world.begin()).toMatchObject({ state: "refused", reason: "UNKNOWN_DECISION" });
  });

  test("and has not started is not the service's to start", async () => {
    world.executions.decision = startable({ source: "guard", reason: "CIRCUIT_BYPASS" });
    expect(await world.begin()).toMatchObject({ state: "refused", reason: "UNKNOWN_DECISION" });
  });
});
