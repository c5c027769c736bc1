import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { hashDecision } from "../../src/audit/row/hash.ts";
import type { AgentState } from "../../src/authn/directory.ts";
import { type Judgement, judge, type Reason } from "../../src/core/decision.ts";
import { Fault } from "../../src/core/fault.ts";
import type { Claim } from "../../src/idempotency/ledger.ts";
import {
  AGENT,
  answerOf,
  authorizeWorld,
  claim,
  faultOf,
  KEY,
  NONCE,
  OTHER,
  POLICY_VERSION,
  redacting,
  REVIEW_NEEDED,
  SAME,
} from "./fakes.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const ALLOWED = judge("RULE_ALLOWED", "Allowed.", "refund-small");
const DENIED = judge("RULE_DENIED", "Denied.", "no-refunds");

describe("Authorize answers a key that was never used", () => {
  test.each<[Judgement, boolean]>([
    [ALLOWED, true],
    [DENIED, true],
    [judge("NO_MATCHING_RULE", "No rule."), true],
    [judge("RULE_ERROR", "A rule failed.", "refund-small"), true],
    [REVIEW_NEEDED, false],
  ])("with what the policy says, recorded with its claim: $reason", async (judgement, isRemembered) => {
    const world = authorizeWorld();
    world.policy.judgement = judgement;
    const answer = answerOf(await world.ask());
    const [entry, ...others] = world.store.rows;
    expect(others).toEqual([]);
    expect(answer).toEqual({
      decision: judgement.decision,
      reason: judgement.reason,
      message: judgement.message,
      ruleId: judgement.ruleId,
      decisionId: entry?.row.decisionId,
      policyVersion: POLICY_VERSION,
      replayed: false,
      decidedAt: entry?.row.decidedAt,
      agentId: AGENT,
      tool: "stripe.refund",
      idempotencyKey: KEY,
      nonce: NONCE,
    });
    expect(entry?.claim).toEqual({ variant: new Uint8Array(0) });
    expect(entry?.review).toEqual(judgement.review ?? null);
    expect(world.noted.map(({ decisionId }) => decisionId)).toEqual(isRemembered ? [answer.decisionId] : []);
    expect(world.answers).toEqual([answer]);
    expect(world.steps).toEqual(["authenticate", "parse", "replay", "evaluate", "record", "remember"]);
    expect(world.store.reads).toBe(0);
  });

  test.each<[string | undefined, string | null]>([
    [`00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`, "ab".repeat(16)],
    [`00-${"ab".repeat(15)}-${"cd".repeat(8)}-01`, null],
    ["nonsense", null],
    [undefined, null],
  ])("and records the trace id of its traceparent %s", async (traceparent, traceId) => {
    const world = authorizeWorld();
    await world.ask({ traceparent });
    expect(world.store.rows[0]?.row).toMatchObject({ traceId, credentialId: "key-1", linkedDecisionId: null });
  });

  test.each<AgentState>(["frozen", "revoked"])("with AGENT_FROZEN and no claim if the agent is %s", async (state) => {
    const world = authorizeWorld();
    world.agents.confirmed = state;
    const answer = answerOf(await world.ask());
    expect(answer).toMatchObject({ decision: "deny", reason: "AGENT_FROZEN", replayed: false });
    expect(world.store.rows).toMatchObject([
      { row: { decisionId: answer.decisionId, reason: "AGENT_FROZEN", linkedDecisionId: null }, claim: null },
    ]);
    expect(world.noted).toEqual([]);
    expect(world.policy.evaluations).toBe(0);
    world.agents.confirmed = "active";
    expect(answerOf(await world.ask())).toMatchObject({ reason: "RULE_ALLOWED", replayed: false });
  });

  test("with a fault, and records nothing, if the agent's state cannot be confirmed", async () => {
    const world = authorizeWorld();
    world.agents.confirmed = "unknown";
    expect(faultOf(await world.ask())).toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect([world.store.rows, world.noted, world.answers]).toEqual([[], [], []]);
  });
});

describe("Authorize remembers for a start that follows", () => {
  test("what it allows", async () => {
    const world = authorizeWorld();
    const { decisionId } = answerOf(await world.ask());
    expect(world.recent).toEqual([decisionId]);
  });

  test.each<[string, (world: ReturnType<typeof authorizeWorld>) => void]>([
    ["what it denies", (world) => (world.policy.judgement = judge("RULE_DENIED", "Denied."))],
    ["what needs a review", (world) => (world.policy.judgement = judge("REVIEW_PENDING", "Ask."))],
    ["what another request has decided", (world) => (world.store.first = claim({ reason: "RULE_ALLOWED" }))],
    ["what it answers from memory", (world) => (world.remembered = claim({ reason: "RULE_ALLOWED" }))],
  ])("nothing of %s", async (_title, arrange) => {
    const world = authorizeWorld();
    arrange(world);
    answerOf(await world.ask());
    expect(world.recent).toEqual([]);
  });
});

/** What is known of the key beforehand, and where. */
type Where = "cache" | "store";

describe.each<Where>(["cache", "store"])(
  "Authorize answers the same request again, whose claim is in the %s",
  (where) => {
    const worldWith = (first: Claim) => {
      const world = authorizeWorld();
      if (where === "cache") world.remembered = first;
      world.store.first = first;
      return world;
    };

    test.each<[Reason, AgentState, AgentState | "unknown", Reason | "STORE_UNAVAILABLE", Reason | null]>([
      // first, known, confirmed, answered, review
      ["RULE_ALLOWED", "active", "active", "RULE_ALLOWED", null],
      ["RULE_ALLOWED", "active", "frozen", "AGENT_FROZEN", null],
      ["RULE_ALLOWED", "active", "revoked", "AGENT_FROZEN", null],
      ["RULE_ALLOWED", "active", "unknown", "STORE_UNAVAILABLE", null],
      ["RULE_DENIED", "active", "active", "RULE_DENIED", null],
      ["RULE_DENIED", "frozen", "frozen", "AGENT_FROZEN", null],
      ["REVIEW_PENDING", "active", "active", "REVIEW_PENDING", "REVIEW_PENDING"],
      ["REVIEW_PENDING", "active", "active", "REVIEW_APPROVED", "REVIEW_APPROVED"],
      ["REVIEW_PENDING", "active", "active", "REVIEW_REJECTED", "REVIEW_REJECTED"],
      ["REVIEW_PENDING", "active", "active", "REVIEW_EXPIRED", "REVIEW_EXPIRED"],
      ["REVIEW_PENDING", "active", "frozen", "AGENT_FROZEN", "REVIEW_APPROVED"],
      ["REVIEW_PENDING", "active", "unknown", "STORE_UNAVAILABLE", "REVIEW_APPROVED"],
    ])("%s, known as %s, confirmed as %s: %s (review %s)", async (reason, known, confirmed, expected, review) => {
      const first = claim({ reason });
      const world = worldWith(first);
      world.agents.known = known;
      world.agents.confirmed = confirmed;
      world.review = review;
      const outcome = await world.ask();
      if (expected === "STORE_UNAVAILABLE") {
        expect(faultOf(outcome)).toMatchObject({ code: expected });
        expect(world.store.rows).toEqual([]);
        return;
      }
      const answer = answerOf(outcome);
      expect(answer.reason).toBe(expected);
      if (expected === "AGENT_FROZEN") {
        expect(answer.replayed).toBe(false);
        expect(world.store.rows).toMatchObject([
          { row: { decisionId: answer.decisionId, linkedDecisionId: first.decisionId }, claim: null },
        ]);
      } else {
        expect(answer).toMatchObject({ decisionId: first.decisionId, replayed: true, policyVersion: "sha256:earlier" });
        expect(world.store.rows).toEqual([]);
      }
    });

    test("with a fault if the review cannot be read", async () => {
      const world = worldWith(claim({ reason: "REVIEW_PENDING" }));
      world.review = new Fault("STORE_UNAVAILABLE", "The review could not be read.");
      expect(faultOf(await world.ask())).toMatchObject({ code: "STORE_UNAVAILABLE" });
    });

    test.each<Reason>(["RULE_ALLOWED", "RULE_DENIED", "REVIEW_PENDING"])(
      "with another payload by IDEMPOTENCY_KEY_REUSED, once, under the policy of the first decision: %s",
      async (reason) => {
        const first = claim({ reason, requestDigest: OTHER });
        const world = worldWith(first);
        const answer = answerOf(await world.ask());
        expect(answer).toMatchObject({
          decision: "deny",
          reason: "IDEMPOTENCY_KEY_REUSED",
          policyVersion: "sha256:earlier",
          replayed: false,
        });
        expect(world.store.rows).toMatchObject([
          { row: { decisionId: answer.decisionId, linkedDecisionId: first.decisionId }, claim: { variant: SAME } },
        ]);
        expect(answerOf(await world.ask())).toMatchObject({ decisionId: answer.decisionId, replayed: true });
        expect(world.store.rows).toHaveLength(1);
        expect(world.noted.map(({ decisionId }) => decisionId)).not.toContain(answer.decisionId);
      },
    );

    test("a deny of a revoked agent that the process knows as such is repeated", async () => {
      const world = worldWith(claim({ reason: "RULE_DENIED" }));
      world.agents.known = "revoked";
      world.agents.confirmed = where === "cache" ? "revoked" : "active";
      expect(answerOf(await world.ask())).toMatchObject({ reason: "RULE_DENIED", replayed: true });
    });
  },
);

describe("Authorize answers a remembered deny", () => {
  test("without asking the store for the agent's state", async () => {
    const world = authorizeWorld();
    world.remembered = claim({ reason: "RULE_DENIED" });
    world.agents.confirmed = "unknown";
    expect(answerOf(await world.ask())).toMatchObject({ reason: "RULE_DENIED", replayed: true });
    expect(world.agents.confirmations).toBe(0);
  });
});

describe("Authorize loses the race for a claim", () => {
  test.each<[Reason, Buffer, Reason]>([
    ["RULE_ALLOWED", SAME, "RULE_ALLOWED"],
    ["RULE_DENIED", SAME, "RULE_DENIED"],
    ["REVIEW_PENDING", SAME, "REVIEW_PENDING"],
    ["RULE_ALLOWED", OTHER, "IDEMPOTENCY_KEY_REUSED"],
  ])("to %s", async (reason, requestDigest, expected) => {
    const world = authorizeWorld();
    const rival = claim({ reason, requestDigest });
    world.store.attempts.push(() => {
      world.store.first = rival;
    });
    const answer = answerOf(await world.ask());
    expect(answer.reason).toBe(expected);
    if (expected === "IDEMPOTENCY_KEY_REUSED") {
      expect(world.store.rows).toMatchObject([{ row: { linkedDecisionId: rival.decisionId } }]);
    } else {
      expect(answer).toMatchObject({ decisionId: rival.decisionId, replayed: true });
      expect(world.store.rows).toEqual([]);
    }
    // The winner's claim is what later requests need, whatever this one is answered.
    expect(world.noted).toEqual(reason === "REVIEW_PENDING" ? [] : [rival]);
  });

  test("and the agent is frozen meanwhile: denied, linked to the winner", async () => {
    const world = authorizeWorld();
    const rival = claim();
    world.store.attempts.push(() => {
      world.store.first = rival;
      world.agents.state = "frozen";
    });
    expect(answerOf(await world.ask())).toMatchObject({ reason: "AGENT_FROZEN" });
    expect(world.store.rows).toMatchObject([{ row: { linkedDecisionId: rival.decisionId }, claim: null }]);
  });

  test.each([1, 2])("to a claim that is gone when it is looked for, %i times: it tries again", async (times) => {
    const world = authorizeWorld();
    world.store.attempts.push(...Array.from({ length: times }, () => "lost" as const));
    const answer = answerOf(await world.ask());
    expect(answer).toMatchObject({ reason: "RULE_ALLOWED", replayed: false });
    expect(world.store.rows.map(({ row }) => row.decisionId)).toEqual([answer.decisionId]);
  });

  test("to claims that are gone three times: a fault that says when to retry", async () => {
    const world = authorizeWorld();
    world.store.attempts.push("lost", "lost", "lost");
    expect(faultOf(await world.ask())).toMatchObject({ code: "STORE_UNAVAILABLE", retryAfterMs: 100 });
    expect([world.store.rows, world.noted]).toEqual([[], []]);
  });

  test("and remembers no decision whose claim's end the store could not say", async () => {
    const world = authorizeWorld();
    world.store.forgetful = true;
    expect(answerOf(await world.ask())).toMatchObject({ reason: "RULE_ALLOWED", replayed: false });
    expect(world.noted).toEqual([]);
  });

  test("and a deny of a frozen agent, which claims nothing, cannot lose one", async () => {
    const world = authorizeWorld();
    world.agents.state = "frozen";
    world.store.attempts.push("lost");
    const fault = faultOf(await world.ask());
    expect([fault.code, fault.cause]).toEqual(["INTERNAL", undefined]);
  });
});

describe("Authorize fails, and answers nothing,", () => {
  test.each(["QUEUE_FULL", "STORE_UNAVAILABLE", "COMMIT_UNKNOWN"] as const)(
    "if the row is not known to be committed: %s",
    async (code) => {
      const world = authorizeWorld();
      world.store.attempts.push(new Fault(code, "Not recorded."));
      const fault = faultOf(await world.ask());
      expect(fault.code).toBe(code);
      expect([world.noted, world.answers]).toEqual([[], []]);
      expect(world.refusals).toMatchObject([{ fault, agentId: AGENT, method: "Authorize" }]);
    },
  );

  test("if a bug is met: as INTERNAL, with the bug as its cause", async () => {
    const world = authorizeWorld();
    const bug = new TypeError("undefined is not a function");
    world.policy.bug = bug;
    const fault = faultOf(await world.ask());
    expect(fault).toMatchObject({ code: "INTERNAL", cause: bug });
    expect(fault.message).not.toContain("function");
    expect(world.store.rows).toEqual([]);
  });

  test.each<[string, string | undefined]>([
    ["CREDENTIAL_MISSING", undefined],
    ["CREDENTIAL_UNKNOWN", "Bearer dc_agent_other"],
  ])("before it reads the body if the credential is refused: %s", async (code, authorization) => {
    const world = authorizeWorld();
    const fault = faultOf(await world.ask({ authorization }));
    expect(fault.code).toBe(code);
    expect(world.bodiesRead).toBe(0);
    expect(world.refusals).toMatchObject([{ fault, agentId: null, method: "Authorize" }]);
  });

  test.each(["RATE_LIMITED", "SHUTTING_DOWN"] as const)("before it reads the body if %s", async (code) => {
    const world = authorizeWorld();
    world.turnedAway = new Fault(code, "Not now.");
    expect(faultOf(await world.ask()).code).toBe(code);
    expect(world.bodiesRead).toBe(0);
    expect(world.refusals).toMatchObject([{ agentId: AGENT }]);
  });

  test("before it reads the body if the service is in recovery, and instead of an answer if that begins meanwhile", async () => {
    const world = authorizeWorld();
    world.recovery.from = 1;
    expect(faultOf(await world.ask()).code).toBe("IN_RECOVERY");
    expect([world.bodiesRead, world.store.rows]).toEqual([0, []]);
    expect(world.refusals).toMatchObject([{ agentId: AGENT }]);
    world.recovery.from = 3;
    expect(faultOf(await world.ask()).code).toBe("IN_RECOVERY");
    expect([world.bodiesRead, world.store.rows.length]).toEqual([1, 1]);
    world.recovery.from = Number.POSITIVE_INFINITY;
    expect(await world.ask()).not.toBeInstanceOf(Fault);
  });

  test("before it reads the body if the deadline has passed", async () => {
    const world = authorizeWorld();
    expect(faultOf(await world.ask({ deadlineAt: Date.now() })).code).toBe("DEADLINE_EXCEEDED");
    expect(world.bodiesRead).toBe(0);
  });

  test.each<[string, object, string]>([
    ["another agent", { agentId: "other" }, "AGENT_MISMATCH"],
    ["no tool", { tool: "" }, "FIELD_INVALID"],
    ["a nonce of 15 bytes", { nonce: Buffer.alloc(15) }, "FIELD_INVALID"],
  ])("and records nothing if the request has %s", async (_, request, code) => {
    const world = authorizeWorld();
    expect(faultOf(await world.ask({}, request)).code).toBe(code);
    expect([world.store.rows, world.policy.evaluations]).toEqual([[], 0]);
  });

  test("without naming members within a redacted value", async () => {
    const world = authorizeWorld();
    world.policy.redaction = redacting("payload.card");
    const fault = faultOf(await world.ask({}, { payload: { card: { hunter2: "\0" } } }));
    expect(fault).toMatchObject({ code: "FIELD_INVALID", field: "payload.card" });
    expect(fault.message).not.toContain("hunter2");
    expect(world.refusals).toMatchObject([{ fault, agentId: AGENT, method: "Authorize" }]);
  });
});

describe("Authorize records", () => {
  test("no redacted value, and a hash that is the row's", async () => {
    const world = authorizeWorld();
    world.policy.redaction = redacting("payload.card");
    await world.ask({}, { payload: { card: "hunter2", amount: 5 } });
    const [entry] = world.store.rows;
    expect(entry?.payload?.canonical).toMatch(
      /^\{"amount":5,"card":\{"\$redacted":"hmac-sha256-128:[0-9a-f]{32}"\}\}$/,
    );
    expect(entry?.hash).toEqual(entry && hashDecision(entry.row));
  });
});

describe("Authorize and the deadline:", () => {
  test("the answer is given up shortly before it, and what is recorded later is what a retry gets", async () => {
    const world = authorizeWorld();
    const committing = Promise.withResolvers<void>();
    world.store.attempts.push(() => committing.promise);
    const asking = world.ask({ deadlineAt: Date.now() + 1000 });
    await vi.advanceTimersByTimeAsync(949);
    expect(world.refusals).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(faultOf(await asking)).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(world.answers).toEqual([]);
    committing.resolve();
    await vi.advanceTimersByTimeAsync(0);
    const [entry] = world.store.rows;
    expect(answerOf(await world.ask())).toMatchObject({ decisionId: entry?.row.decisionId, replayed: true });
  });

  test("a caller without much time gets nine tenths of it", async () => {
    const world = authorizeWorld();
    world.store.attempts.push(() => new Promise<void>(() => {}));
    const asking = world.ask({ deadlineAt: Date.now() + 100 });
    await vi.advanceTimersByTimeAsync(89);
    expect(world.refusals).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(faultOf(await asking).code).toBe("DEADLINE_EXCEEDED");
  });

  test("two who ask the same at once get one decision, each with its own nonce, until the later deadline", async () => {
    const world = authorizeWorld();
    const deadlines: { readonly at: number }[] = [];
    const record = world.store.record.bind(world.store);
    world.store.record = (entry, deadline) => {
      deadlines.push(deadline);
      return record(entry, deadline);
    };
    const committing = Promise.withResolvers<void>();
    world.store.attempts.push(() => committing.promise);
    const start = Date.now();
    const nonces = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)] as const;
    const first = world.ask({ deadlineAt: start + 1000 }, { nonce: nonces[0] });
    // The first one is being recorded when the second one joins it.
    await vi.advanceTimersByTimeAsync(10);
    expect(deadlines).toEqual([{ at: start + 1000 }]);
    const second = world.ask({ deadlineAt: start + 3000 }, { nonce: nonces[1] });
    await vi.advanceTimersByTimeAsync(990);
    expect(faultOf(await first).code).toBe("DEADLINE_EXCEEDED");
    committing.resolve();
    expect(answerOf(await second)).toMatchObject({ reason: "RULE_ALLOWED", replayed: true, nonce: nonces[1] });
    expect(world.store.rows).toHaveLength(1);
    expect(deadlines).toEqual([{ at: start + 3000 }]);
  });

  test("payloads count against their agent until the work ends, not until the caller is answered", async () => {
    const world = authorizeWorld();
    const committing = Promise.withResolvers<void>();
    const payload = { note: "x".repeat(250 * 1024) };
    const asks = Array.from({ length: 17 }, (_, index) => {
      world.store.attempts.push(() => committing.promise);
      return world.ask({ deadlineAt: Date.now() + 100 }, { payload, idempotencyKey: `key-${index}` });
    });
    expect(faultOf(await (asks[16] as (typeof asks)[0]))).toMatchObject({ code: "QUEUE_FULL" });
    await vi.advanceTimersByTimeAsync(100);
    await Promise.all(asks);
    expect(faultOf(await world.ask({}, { payload }))).toMatchObject({ code: "QUEUE_FULL" });
    world.store.attempts.length = 0;
    committing.resolve();
    await vi.advanceTimersByTimeAsync(0);
    expect(answerOf(await world.ask({}, { payload })).reason).toBe("RULE_ALLOWED");
  });
});

describe("Authorize, over every combination of cache, store, agent, policy, review and race,", () => {
  const keysKnown = ["none", "same", "other"] as const;
  const firsts = ["RULE_ALLOWED", "RULE_DENIED", "REVIEW_PENDING"] as const;
  const states = ["active", "frozen", "revoked"] as const;
  const confirmations = [...states, "unknown"] as const;
  const judgements = [ALLOWED, DENIED, REVIEW_NEEDED];
  const reviews = ["REVIEW_PENDING", "REVIEW_APPROVED", "REVIEW_REJECTED"] as const;
  const races = ["none", "lost", "full"] as const;

  function* cases() {
    for (const cached of keysKnown)
      for (const stored of cached === "none" ? keysKnown : [cached])
        for (const reason of firsts)
          for (const known of states)
            for (const confirmed of confirmations)
              for (const judgement of judgements)
                for (const review of reviews)
                  for (const race of races) yield { cached, stored, reason, known, confirmed, judgement, review, race };
  }

  function worldOf({ cached, stored, reason, known, confirmed, judgement, review, race }: Case) {
    const world = authorizeWorld();
    const first = claim({ reason, requestDigest: stored === "other" ? OTHER : SAME });
    if (stored !== "none") world.store.first = first;
    if (cached !== "none") world.remembered = first;
    world.agents.known = known;
    world.agents.confirmed = confirmed;
    world.policy.judgement = judgement;
    world.review = review;
    if (race === "lost") world.store.attempts.push("lost");
    if (race === "full") world.store.attempts.push(new Fault("QUEUE_FULL", "Full."));
    return { world, first: stored === "none" ? null : first };
  }
  type Case = ReturnType<typeof cases> extends Generator<infer One> ? One : never;

  test("allows only an active agent's own request that a rule or reviewers allowed", async () => {
    let allowed = 0;
    for (const one of cases()) {
      const { world } = worldOf(one);
      const outcome = await world.ask();
      if ("fault" in outcome || outcome.answer.decision !== "allow") continue;
      allowed++;
      expect(one.confirmed).toBe("active");
      expect(one.stored).not.toBe("other");
      const source = one.stored === "none" ? one.judgement.reason : one.reason;
      const isApproved = source === "REVIEW_PENDING" && one.review === "REVIEW_APPROVED";
      expect([source, outcome.answer.reason]).toEqual(
        isApproved ? ["REVIEW_PENDING", "REVIEW_APPROVED"] : ["RULE_ALLOWED", "RULE_ALLOWED"],
      );
    }
    expect(allowed).toBeGreaterThan(0);
  });

  test("answers only with the id of a committed row, at most one of them new, and remembers no review or freeze", async () => {
    for (const one of cases()) {
      const { world, first } = worldOf(one);
      const outcome = await world.ask();
      const written = world.store.rows.map(({ row }) => row.decisionId);
      expect(written.length).toBeLessThanOrEqual(1);
      if ("answer" in outcome) expect([first?.decisionId, ...written]).toContain(outcome.answer.decisionId);
      expect(world.answers.length).toBe("answer" in outcome ? 1 : 0);
      const noted = world.noted.map(({ reason }) => reason);
      expect(noted.filter((reason) => reason !== "RULE_ALLOWED" && reason !== "RULE_DENIED")).toEqual([]);
    }
  });

  test("repeats a decision for a retry under the same id, unless a freeze is what it says", async () => {
    for (const one of cases()) {
      const { world } = worldOf(one);
      const outcome = await world.ask();
      if ("fault" in outcome || outcome.answer.reason === "AGENT_FROZEN") continue;
      const rows = world.store.rows.length;
      const again = answerOf(await world.ask());
      expect(again).toMatchObject({ decisionId: outcome.answer.decisionId, replayed: true });
      expect(world.store.rows.length).toBe(rows);
    }
  });
});
