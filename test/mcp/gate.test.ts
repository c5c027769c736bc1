import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { judge, type Reason } from "../../src/core/decision.ts";
import { RandomPool } from "../../src/core/ids.ts";
import { Gate, type GateOptions, type GuardVerdict } from "../../src/mcp/gate.ts";

type Asked = Parameters<GateOptions["guard"]["authorize"]>[0];

function verdict(reason: Reason, decisionId = "d1", source: "service" | "guard" = "service"): GuardVerdict {
  const { decision, message, ruleId } = judge(reason, reason);
  const rest = { policyVersion: "", replayed: false, decidedAt: 0, tool: "", idempotencyKey: "", refusal: null };
  return { decision, reason, message, ruleId, decisionId, source, ...rest };
}

/** A guard that answers with each of `answers` in turn, and a wait with each of `waits`; after its last it does not answer any more. */
function gateWith(
  answers: readonly GuardVerdict[],
  waits: readonly GuardVerdict[] = [],
  options: Partial<GateOptions> = {},
) {
  const asked: Asked[] = [];
  const [left, leftWaits] = [[...answers], [...waits]];
  const guard: GateOptions["guard"] = {
    authorize: async (request) => {
      asked.push(request);
      return left.shift() ?? new Promise<never>(() => {});
    },
    waitForReview: async (decisionId, { signal }) => {
      const next = leftWaits.shift();
      if (next !== undefined) return next;
      return await new Promise((resolve) =>
        signal?.addEventListener("abort", () => resolve(verdict("DEADLINE_EXCEEDED", decisionId, "guard"))),
      );
    },
  };
  const parts = { server: "mail", timeoutMs: 5000, reviewWaitMs: 60_000, clock: systemClock, random: new RandomPool() };
  return { gate: new Gate({ guard, ...parts, ...options }), asked };
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
