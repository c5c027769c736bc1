import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { judge, type Reason } from "../../src/core/decision.ts";
import { RandomPool } from "../../src/core/ids.ts";
import { Gate, type GateOptions, type GuardVerdict } from "../../src/mcp/gate.ts";

type Asked = Parameters<GateOptions["guard"]["authorize"]>[0];
type Begun = Parameters<GateOptions["guard"]["begin"]>[0];
type GuardStart = Awaited<ReturnType<GateOptions["guard"]["begin"]>>;

function verdict(reason: Reason, decisionId = "d1", source: "service" | "guard" = "service"): GuardVerdict {
  const { decision, message, ruleId } = judge(reason, reason);
  const rest = { policyVersion: "", replayed: false, decidedAt: 0, tool: "", idempotencyKey: "", refusal: null };
  return { decision, reason, message, ruleId, decisionId, source, ...rest };
}

const EXECUTION = { executionId: "e1", startedAt: 0, startedBy: "c", reportDueAt: 0 };

/** A start as the service answers it, or as the guard refuses it when it gets no answer. */
function startOf(decisionId: string, state: "started" | "already_started" | "unanswered"): GuardStart {
  const named = { decisionId, message: "The service is silent.", source: "service" as const };
  if (state === "started") return { ...named, state, ...EXECUTION };
  if (state === "already_started") return { ...named, state, startedAt: 0, startedBy: "c", reportDueAt: 0, end: null };
  return { ...named, source: "guard", state: "refused", reason: "DEADLINE_EXCEEDED", refusal: null };
}

/** A guard that answers with each of `answers` in turn, and a wait with each of `waits`; after its last it does not answer any more. */
function gateWith(
  answers: readonly GuardVerdict[],
  waits: readonly GuardVerdict[] = [],
  options: Partial<GateOptions> = {},
  starts: readonly GuardStart[] = [],
) {
  const asked: Asked[] = [];
  const begun: Begun[] = [];
  const [left, leftWaits, leftStarts] = [[...answers], [...waits], [...starts]];
  const guard: GateOptions["guard"] = {
    authorize: async (request) => {
      asked.push(request);
      return left.shift() ?? new Promise<never>(() => {});
    },
    begin: async (request) => {
      begun.push(request);
      return leftStarts.shift() ?? startOf(request.decisionId, "started");
    },
    waitForReview: async (decisionId, { signal }) => {
      const next = leftWaits.shift();
      if (next !== undefined) return next;
      return await new Promise((resolve) =>
        signal?.addEventListener("abort", () => resolve(verdict("DEADLINE_EXCEEDED", decisionId, "guard"))),
      );
    },
  };
  const runs = { open: () => ({ end: () => {}, isOver: false }) };
  const parts = {
    runs,
    once: true,
    server: "mail",
    timeoutMs: 5000,
    reviewWaitMs: 60_000,
    clock: systemClock,
    random: new RandomPool(),
  };
  return { gate: new Gate({ guard, ...parts, ...options }), asked, begun };
}

const SEND = { tool: "send", payload: { to: "ann" } };
const idle = { signal: new AbortController().signal };

describe("a call", () => {
  test("is asked about by the server's name and its own, with its arguments, its principal and its session", async () => {
    const about = { principal: "ann", sessionId: "run-1" };
    const { gate, asked } = gateWith([verdict("RULE_ALLOWED")], [], about);
    expect(await gate.decide(SEND, idle)).toMatchObject({ decision: "allow" });
    expect(asked).toMatchObject([{ tool: "mail.send", payload: { to: "ann" }, ...about }]);
  });

  test("is an action of its own each time, also with the same arguments", async () => {
    const { gate, asked } = gateWith([verdict("RULE_ALLOWED"), verdict("RULE_DENIED"), verdict("RULE_ALLOWED")]);
    for (let count = 0; count < 3; count++) await gate.decide(SEND, idle);
    expect(new Set(asked.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(3);
  });
});

describe("a call that people have to decide", () => {
  test("waits, and says so at once", async () => {
    const { gate } = gateWith([verdict("REVIEW_PENDING")], [verdict("REVIEW_APPROVED")]);
    const said: unknown[] = [];
    const onWaiting = (count: number, { decisionId }: GuardVerdict): unknown => said.push([count, decisionId]);
    expect(await gate.decide(SEND, { ...idle, onWaiting })).toMatchObject({ decision: "allow" });
    expect(said).toEqual([[1, "d1"]]);
  });

  test("is denied when they deny it", async () => {
    const { gate } = gateWith([verdict("REVIEW_PENDING")], [verdict("REVIEW_REJECTED")]);
    expect(await gate.decide(SEND, idle)).toMatchObject({ reason: "REVIEW_REJECTED" });
  });

  test("does not wait if the proxy was started so", async () => {
    const { gate } = gateWith([verdict("REVIEW_PENDING")], [verdict("REVIEW_APPROVED")], { reviewWaitMs: 0 });
    expect(await gate.decide(SEND, idle)).toMatchObject({ decision: "needs_review" });
  });

  test.each(["signal", "hurry"] as const)("ends its wait when it is cancelled (%s)", async (which) => {
    const { gate } = gateWith([verdict("REVIEW_PENDING")]);
    const ending = new AbortController();
    const deciding = gate.decide(SEND, { ...idle, [which]: ending.signal });
    ending.abort();
    expect(await deciding).toMatchObject({ reason: "REVIEW_PENDING", decisionId: "d1" });
  });

  test("lends its key to the next equal call if nobody has decided, so that an approval is found", async () => {
    const { gate, asked } = gateWith(
      [verdict("REVIEW_PENDING"), verdict("REVIEW_APPROVED")],
      [verdict("REVIEW_PENDING")],
    );
    expect(await gate.decide(SEND, idle)).toMatchObject({ decision: "needs_review" });
    expect(await gate.decide(SEND, idle)).toMatchObject({ decision: "allow" });
    expect(asked[1]?.idempotencyKey).toBe(asked[0]?.idempotencyKey);
  });

  test("lends it to no other call", async () => {
    const { gate, asked } = gateWith(
      [verdict("REVIEW_PENDING"), verdict("RULE_ALLOWED"), verdict("RULE_ALLOWED")],
      [verdict("REVIEW_PENDING")],
    );
    await gate.decide(SEND, idle);
    await gate.decide({ ...SEND, payload: { to: "bob" } }, idle);
    await gate.decide({ ...SEND, tool: "forward" }, idle);
    expect(new Set(asked.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(3);
  });

  test("lends it once: one approval is one call", async () => {
    const answers = [verdict("REVIEW_PENDING"), verdict("REVIEW_APPROVED"), verdict("REVIEW_PENDING")];
    const { gate, asked } = gateWith(answers, [verdict("REVIEW_PENDING"), verdict("REVIEW_PENDING")]);
    for (let count = 0; count < 3; count++) await gate.decide(SEND, idle);
    expect(asked[2]?.idempotencyKey).not.toBe(asked[0]?.idempotencyKey);
  });

  test("lends it to one of two calls that come at once, and to none while it waits itself", async () => {
    const { gate, asked } = gateWith([verdict("REVIEW_PENDING"), verdict("REVIEW_PENDING", "d2")]);
    const ending = new AbortController();
    const both = [gate.decide(SEND, { signal: ending.signal }), gate.decide(SEND, { signal: ending.signal })];
    ending.abort();
    await Promise.all(both);
    expect(asked[1]?.idempotencyKey).not.toBe(asked[0]?.idempotencyKey);
  });

  test("keeps its key while the service cannot be asked", async () => {
    const answers = [
      verdict("REVIEW_PENDING"),
      verdict("SERVICE_UNAVAILABLE", "g", "guard"),
      verdict("REVIEW_APPROVED"),
    ];
    const { gate, asked } = gateWith(answers, [verdict("SERVICE_UNAVAILABLE", "d1", "guard")]);
    for (let count = 0; count < 3; count++) await gate.decide(SEND, idle);
    expect(new Set(asked.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);
  });

  test("forgets the oldest key when there are too many", async () => {
    const many = Array.from({ length: 1002 }, () => verdict("REVIEW_PENDING"));
    const { gate, asked } = gateWith(many, [], { reviewWaitMs: 0 });
    for (let count = 0; count < 1001; count++) await gate.decide({ ...SEND, payload: { count } }, idle);
    await gate.decide({ ...SEND, payload: { count: 0 } }, idle);
    expect(asked.at(-1)?.idempotencyKey).not.toBe(asked[0]?.idempotencyKey);
  });
});

describe("an allowed call", () => {
  const allow = verdict("RULE_ALLOWED");

  test("is started under its decision's id, with a nonce of its own", async () => {
    const { gate, begun } = gateWith([]);
    expect(await gate.start(SEND, allow)).toMatchObject({ state: "started" });
    await gate.start(SEND, allow);
    expect(begun).toMatchObject([{ decisionId: "d1" }, { decisionId: "d1" }]);
    expect(begun.map(({ nonce }) => nonce?.length)).toEqual([16, 16]);
    expect(begun[0]?.nonce).not.toEqual(begun[1]?.nonce);
  });

  test.each(["already_started", "unanswered"] as const)(
    "is not started if the answer is no start (%s)",
    async (state) => {
      const { gate } = gateWith([], [], {}, [startOf("d1", state)]);
      expect((await gate.start(SEND, allow)).state).not.toBe("started");
    },
  );

  test("is not begun at all if the proxy was started so", async () => {
    const opened: unknown[] = [];
    const runs: GateOptions["runs"] = {
      open: (execution) => {
        opened.push(execution);
        return { end: () => {}, isOver: false };
      },
    };
    const { gate, begun } = gateWith([], [], { once: false, runs });
    expect(await gate.start(SEND, allow)).toMatchObject({ state: "started" });
    expect([begun, opened]).toEqual([[], [null]]);
  });

  test("whose start was not answered leaves nothing to the next equal one, which is another action", async () => {
    const { gate, asked } = gateWith([allow, allow], [], {}, [startOf("d1", "unanswered")]);
    await gate.start(SEND, await gate.decide(SEND, idle));
    await gate.decide(SEND, idle);
    expect(asked[1]?.idempotencyKey).not.toBe(asked[0]?.idempotencyKey);
  });
});

describe("an approved call whose start was not answered", () => {
  const pending = verdict("REVIEW_PENDING");
  const approved = (): GuardVerdict => verdict("REVIEW_APPROVED");

  test("lends its key and its nonce to the next equal one: one approval, one start", async () => {
    const { gate, asked, begun } = gateWith([pending, approved()], [approved()], {}, [startOf("d1", "unanswered")]);
    await gate.start(SEND, await gate.decide(SEND, idle));
    expect(await gate.start(SEND, await gate.decide(SEND, idle))).toMatchObject({ state: "started" });
    expect(asked[1]?.idempotencyKey).toBe(asked[0]?.idempotencyKey);
    expect(begun[1]?.nonce).toEqual(begun[0]?.nonce);
  });

  test("lends nothing once it was answered", async () => {
    const { gate, asked, begun } = gateWith([approved(), approved()], [], {}, [startOf("d1", "already_started")]);
    for (let count = 0; count < 2; count++) await gate.start(SEND, await gate.decide(SEND, idle));
    expect(asked[1]?.idempotencyKey).not.toBe(asked[0]?.idempotencyKey);
    expect(begun[1]?.nonce).not.toEqual(begun[0]?.nonce);
  });
});
