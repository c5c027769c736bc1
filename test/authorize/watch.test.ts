import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Answer, Call, UnverifiedWatch } from "../../src/authorize/call.ts";
import type { RefusedCall } from "../../src/authorize/frame.ts";
import { createWatch, type WatchedDecision } from "../../src/authorize/watch.ts";
import { Watchers } from "../../src/authorize/watchers.ts";
import { hashDecision } from "../../src/audit/row/hash.ts";
import type { Reason } from "../../src/core/decision.ts";
import { Fault } from "../../src/core/fault.ts";
import {
  AGENT,
  callWith,
  claim,
  CREDENTIAL,
  FakeAgents,
  FakePolicy,
  FakeStore,
  KEY,
  NONCE,
  Outage,
  random,
  SAME,
  STORE_TIME,
  recoveryCheck,
} from "./fakes.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const DECISION = "0195e0b2-7a3b-7c1d-8a2b-1234567890ab";
const MINUTE = 60_000;

/** WatchDecision of one decision over fakes. The monotonic clock is the fake timers'. */
function watchWorld(reason: Reason = "REVIEW_PENDING") {
  const agents = new FakeAgents();
  const store = new FakeStore();
  const watchers = new Watchers(async () => [DECISION]);
  const first: WatchedDecision = {
    ...claim({ reason, decisionId: DECISION }),
    tool: "stripe.refund",
    idempotencyKey: KEY,
  };
  const abort = new AbortController();
  const world = {
    agents,
    store,
    watchers,
    first,
    /** The decision as the store finds it. */
    found: first as WatchedDecision | null | Error,
    /** What its review has come to. */
    review: "REVIEW_PENDING" as Reason | Error,
    /** What is done while the review is being looked at. */
    onLook: (): void => {},
    turnedAway: null as Fault | null,
    recovery: { checks: 0, from: Number.POSITIVE_INFINITY },
    answers: [] as Answer[],
    refusals: [] as (RefusedCall & { readonly fault: Fault })[],
    bodiesRead: 0,
    abort,
    watch,
  };
  const handler = createWatch({
    agents,
    checkRecovery: recoveryCheck(world.recovery),
    admit: () => {
      if (world.turnedAway !== null) throw world.turnedAway;
    },
    findClaimOf: async (agentId, decisionId) => {
      expect([agentId, decisionId]).toEqual([AGENT, DECISION]);
      if (world.found instanceof Error) throw world.found;
      return world.found;
    },
    reviews: {
      current: async (claimed) => {
        const { review } = world;
        world.onLook();
        if (review instanceof Error) throw review;
        return { ...claimed, reason: review, message: `Review: ${review}.` };
      },
    },
    policy: () => new FakePolicy(),
    watchers,
    writer: store,
    random,
    now: () => STORE_TIME,
    monotonic: () => Date.now(),
    answered: (answer) => void world.answers.push(answer),
    refused: (fault, refused) => void world.refusals.push({ fault, ...refused }),
  });

  function watch(change: Partial<Call<UnverifiedWatch>> = {}, body: Partial<UnverifiedWatch> = {}) {
    const readBody = (): UnverifiedWatch => {
      world.bodiesRead++;
      return { decisionId: DECISION, nonce: NONCE, ...body };
    };
    return handler(callWith(readBody, { deadlineAt: Date.now() + MINUTE, signal: abort.signal, ...change }));
  }

  return world;
}

type World = ReturnType<typeof watchWorld>;

async function all(answers: AsyncIterable<Answer>): Promise<Answer[]> {
  const yielded: Answer[] = [];
  for await (const answer of answers) yielded.push(answer);
  return yielded;
}

async function faultOf(answers: AsyncIterable<Answer>): Promise<Fault> {
  const fault: unknown = await all(answers).catch((error: unknown) => error);
  if (!(fault instanceof Fault)) throw new Error("the stream ended without a fault", { cause: fault });
  return fault;
}

/** The first answer of a stream that then waits for a change, and what comes after it. */
async function waiting(world: World, change: Partial<Call<UnverifiedWatch>> = {}) {
  const stream = world.watch(change);
  const { value } = await stream.next();
  const next = stream.next();
  await vi.advanceTimersByTimeAsync(0);
  return { first: value, next, stream };
}

describe("WatchDecision answers", () => {
  test.each<Reason>(["RULE_ALLOWED", "RULE_DENIED", "IDEMPOTENCY_KEY_REUSED"])(
    "a decision that is no review's once, and ends: %s",
    async (reason) => {
      const world = watchWorld(reason);
      const answers = await all(world.watch());
      const { decisionId, message, policyVersion, ruleId, decidedAt } = world.first;
      expect(answers).toMatchObject([
        {
          decisionId,
          reason,
          message,
          policyVersion,
          ruleId,
          decidedAt,
          replayed: true,
          agentId: AGENT,
          tool: "stripe.refund",
          idempotencyKey: KEY,
          nonce: NONCE,
        },
      ]);
      expect(world.answers).toEqual(answers);
      expect(world.store.rows).toEqual([]);
    },
  );

  test.each<[Reason, string]>([
    ["REVIEW_APPROVED", "allow"],
    ["REVIEW_REJECTED", "deny"],
    ["REVIEW_EXPIRED", "deny"],
  ])("an open review, and then what it has come to: %s", async (review, decision) => {
    const world = watchWorld();
    const { first, next, stream } = await waiting(world);
    expect(first).toMatchObject({ reason: "REVIEW_PENDING", decision: "needs_review" });
    world.review = review;
    world.watchers.wake(DECISION);
    expect((await next).value).toMatchObject({ reason: review, decision, decisionId: DECISION });
    expect(world.answers).toHaveLength(2);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    expect(world.watchers.size).toBe(0);
  });

  test("a change that says nothing new not at all", async () => {
    const world = watchWorld();
    const { next } = await waiting(world);
    world.watchers.wake(DECISION);
    await vi.advanceTimersByTimeAsync(0);
    expect(world.answers).toHaveLength(1);
    world.review = "REVIEW_APPROVED";
    world.watchers.wake(DECISION);
    expect((await next).value).toMatchObject({ reason: "REVIEW_APPROVED" });
  });

  test("a resolution that comes while the review is being looked at", async () => {
    const world = watchWorld();
    world.onLook = () => {
      world.onLook = () => {};
      world.review = "REVIEW_APPROVED";
      world.watchers.wake(DECISION);
    };
    expect((await all(world.watch())).map(({ reason }) => reason)).toEqual(["REVIEW_PENDING", "REVIEW_APPROVED"]);
  });

  test("a decision id in capitals", async () => {
    const world = watchWorld("RULE_ALLOWED");
    expect(await all(world.watch({}, { decisionId: DECISION.toUpperCase() }))).toMatchObject([
      { decisionId: DECISION },
    ]);
  });
});

describe("WatchDecision of a frozen agent", () => {
  test.each<[Reason, "frozen" | "revoked"]>([
    ["RULE_ALLOWED", "frozen"],
    ["RULE_DENIED", "frozen"],
    ["REVIEW_PENDING", "frozen"],
    ["REVIEW_PENDING", "revoked"],
  ])("denies whatever was decided, by a row of its own: %s, %s", async (reason, state) => {
    const world = watchWorld(reason);
    world.review = "REVIEW_APPROVED";
    world.agents.confirmed = state;
    expect(await all(world.watch())).toMatchObject([{ decision: "deny", reason: "AGENT_FROZEN" }]);
    const [entry] = world.store.rows;
    expect(entry).toMatchObject({
      row: {
        reason: "AGENT_FROZEN",
        linkedDecisionId: DECISION,
        reviewId: null,
        credentialId: null,
        agentId: AGENT,
        tool: "stripe.refund",
        idempotencyKey: KEY,
        requestDigest: SAME,
        payloadDigest: null,
      },
      claim: null,
      payload: null,
      review: null,
    });
    expect(entry?.hash).toEqual(entry && hashDecision(entry.row));
  });

  test("denies a review that was approved while it was frozen", async () => {
    const world = watchWorld();
    const { next } = await waiting(world);
    world.review = "REVIEW_APPROVED";
    world.agents.state = "frozen";
    world.watchers.wake(DECISION);
    expect((await next).value).toMatchObject({ decision: "deny", reason: "AGENT_FROZEN" });
  });

  test.each<[string, Error | "lost", string]>([
    ["the store refuses it", new Fault("STORE_UNAVAILABLE", "Down."), "STORE_UNAVAILABLE"],
    ["a row without a claim loses one", "lost", "INTERNAL"],
  ])("answers nothing if the row is not committed: %s", async (_, attempt, code) => {
    const world = watchWorld();
    world.agents.confirmed = "frozen";
    world.store.attempts.push(attempt);
    expect(await faultOf(world.watch())).toMatchObject({ code });
    expect(world.answers).toEqual([]);
  });
});

describe("WatchDecision fails", () => {
  test.each<[string, string | undefined]>([
    ["CREDENTIAL_MISSING", undefined],
    ["CREDENTIAL_UNKNOWN", "Bearer dc_agent_other"],
  ])("before it reads the body if the credential is refused: %s", async (code, authorization) => {
    const world = watchWorld();
    const fault = await faultOf(world.watch({ authorization }));
    expect(fault).toMatchObject({ code });
    expect(world.refusals).toMatchObject([{ fault, method: "WatchDecision", agentId: null, call: { authorization } }]);
    expect(world.bodiesRead).toBe(0);
  });

  test.each(["RATE_LIMITED", "SHUTTING_DOWN"] as const)("before it reads the body if %s", async (code) => {
    const world = watchWorld();
    world.turnedAway = new Fault(code, "Not now.");
    expect(await faultOf(world.watch())).toMatchObject({ code });
    expect(world.bodiesRead).toBe(0);
  });

  test("before it reads the body if the service is in recovery, and instead of an answer if that begins meanwhile", async () => {
    const world = watchWorld();
    world.recovery.from = 1;
    expect(await faultOf(world.watch())).toMatchObject({ code: "IN_RECOVERY" });
    expect(world.bodiesRead).toBe(0);
    world.review = "REVIEW_APPROVED";
    world.recovery.from = 3;
    expect(await faultOf(world.watch())).toMatchObject({ code: "IN_RECOVERY" });
    expect(world.bodiesRead).toBe(1);
  });

  test("before it reads the body if the deadline has passed", async () => {
    const world = watchWorld();
    expect(await faultOf(world.watch({ deadlineAt: Date.now() }))).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(world.bodiesRead).toBe(0);
  });

  test.each<[string, Error, string]>([
    ["the database is down", new Outage("down"), "STORE_UNAVAILABLE"],
    ["a bug is met", new TypeError("undefined is not a function"), "INTERNAL"],
  ])("if %s: as %s", async (_, cause, code) => {
    const world = watchWorld();
    world.found = cause;
    const fault = await faultOf(world.watch());
    expect(fault).toMatchObject({ code, cause });
    expect(world.refusals).toMatchObject([{ fault, method: "WatchDecision", agentId: AGENT }]);
  });

  test.each<[string, object, string]>([
    ["a decision id that is no UUID", { decisionId: "17" }, "decision_id"],
    ["an empty decision id", { decisionId: "" }, "decision_id"],
    ["a nonce of 15 bytes", { nonce: Buffer.alloc(15) }, "nonce"],
  ])("on %s", async (_, body, field) => {
    const world = watchWorld();
    expect(await faultOf(world.watch({}, body))).toMatchObject({ code: "FIELD_INVALID", field });
  });

  test("if the agent has no such decision", async () => {
    const world = watchWorld();
    world.found = null;
    expect(await faultOf(world.watch())).toMatchObject({ code: "DECISION_UNKNOWN" });
  });

  test("if the agent's state cannot be confirmed, whatever was decided", async () => {
    const world = watchWorld("RULE_DENIED");
    world.agents.confirmed = "unknown";
    expect(await faultOf(world.watch())).toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect([world.answers, world.watchers.size]).toEqual([[], 0]);
  });

  test("if the review cannot be read", async () => {
    const world = watchWorld();
    world.review = new Fault("STORE_UNAVAILABLE", "The review could not be read.");
    expect(await faultOf(world.watch())).toMatchObject({ code: "STORE_UNAVAILABLE" });
  });

  test("if the agent watches 64 decisions already", async () => {
    const world = watchWorld();
    const others = Array.from({ length: 64 }, () => world.watchers.add(AGENT, DECISION));
    expect(await faultOf(world.watch())).toMatchObject({ code: "RATE_LIMITED" });
    for (const other of others) other[Symbol.dispose]();
  });

  test("if the credential was revoked while it waited, and answers nothing more", async () => {
    const world = watchWorld();
    const { next } = await waiting(world);
    world.agents.revoked.add(CREDENTIAL);
    world.review = "REVIEW_APPROVED";
    world.watchers.wake(DECISION);
    await expect(next).rejects.toMatchObject({ code: "CREDENTIAL_UNKNOWN" });
    expect(world.refusals).toMatchObject([{ fault: { code: "CREDENTIAL_UNKNOWN" }, agentId: AGENT }]);
    expect(world.answers).toHaveLength(1);
    expect(world.watchers.size).toBe(0);
  });
});

describe("WatchDecision ends without a resolution", () => {
  test.each<[number, number]>([
    [MINUTE, MINUTE - 250],
    [400, 300],
  ])("of %i ms after %i, so that its end arrives in time", async (milliseconds, ends) => {
    const world = watchWorld();
    const { next } = await waiting(world, { deadlineAt: Date.now() + milliseconds });
    let ended = false;
    void next.then(() => (ended = true));
    await vi.advanceTimersByTimeAsync(ends - 1);
    expect(ended).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await next).toEqual({ done: true, value: undefined });
    expect(world.watchers.size).toBe(0);
  });

  test("when its caller goes away, while it waits or before", async () => {
    const world = watchWorld();
    const { next } = await waiting(world);
    world.abort.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    expect((await all(world.watch())).map(({ reason }) => reason)).toEqual(["REVIEW_PENDING"]);
    expect(world.watchers.size).toBe(0);
  });
});
