import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DECISION_OF } from "../../src/core/decision.ts";
import {
  afterAnswer,
  judgementOf,
  overdue,
  type Review,
  REVIEW_STATES,
  withdrawalProblem,
} from "../../src/review/review.ts";

const OPENED = 1_000_000;
const [EXPIRY, APPROVAL] = [1000, 100];
const POLICY = "sha256:a";

function open(approvers: number): Review {
  return {
    reviewId: "r",
    decisionId: "d",
    recordedAt: OPENED,
    agentId: "billing-1",
    tool: "wire",
    idempotencyKey: "k",
    ruleId: "rule",
    policyVersion: POLICY,
    requestDigest: Buffer.alloc(32),
    payloadDigest: Buffer.alloc(32),
    terms: { approvers, approvalMicros: APPROVAL, expiryMicros: EXPIRY },
    openedAt: OPENED,
    expiresAt: OPENED + EXPIRY,
    state: "open",
    version: 0,
    answers: [],
    resolvedAt: null,
    resolutionId: null,
    approvalExpiresAt: null,
    firstAllowedAt: null,
    withdrawal: null,
  };
}

type Step =
  | { readonly kind: "answer"; readonly by: string; readonly answer: "approved" | "rejected" }
  | { readonly kind: "withdraw"; readonly by: string }
  | { readonly kind: "look"; readonly policy: string | null };

/** What the store does with a step: nothing, or one change. */
function take(review: Review, step: Step, now: number, policy: string): Review {
  if (step.kind === "look") {
    const to = overdue(review, now, step.policy);
    return to === null ? review : { ...review, state: to, version: review.version + 1, resolvedAt: now };
  }
  if (step.kind === "withdraw") {
    if (withdrawalProblem(review, step.by, now) !== null) return review;
    return { ...review, state: "withdrawn", version: review.version + 1, resolvedAt: now };
  }
  const after = afterAnswer(review, step, now, policy);
  if ("problem" in after) return review;
  const said = { by: step.by, answer: step.answer, comment: "c", at: now };
  return {
    ...review,
    state: after.state,
    version: review.version + 1,
    answers: [...review.answers, said],
    resolvedAt: after.state === "open" ? null : now,
    approvalExpiresAt: after.state === "approved" ? now + APPROVAL : null,
  };
}

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant("answer" as const),
    by: fc.constantFrom("ann", "bob", "cid", "billing-1", "Billing-1", "billing-1.", "oidc:billing-1", "Ann", "ann-"),
    answer: fc.constantFrom("approved" as const, "approved" as const, "rejected" as const),
  }),
  fc.record({ kind: fc.constant("withdraw" as const), by: fc.constantFrom("ann", "bob", "cid", "dee") }),
  fc.record({ kind: fc.constant("look" as const), policy: fc.constantFrom(POLICY, "sha256:b", null) }),
);
const history = fc.array(
  fc.record({ step, after: fc.integer({ min: 0, max: 300 }), policy: fc.constantFrom(POLICY, POLICY, "sha256:b") }),
  {
    maxLength: 20,
  },
);

describe("a review", () => {
  test("whatever happens in whatever order: people approve in time, each once, or it is not approved", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), history, (approvers, steps) => {
        let now = OPENED;
        let review = open(approvers);
        for (const { step: taken, after, policy } of steps) {
          now += after;
          const before = review;
          review = take(review, taken, now, policy);
          if (review === before) continue;
          // Only these ways lead on, and none leads back.
          expect([
            "open→open",
            "open→approved",
            "open→rejected",
            "open→expired",
            "approved→lapsed",
            "approved→void",
            "open→withdrawn",
            "approved→withdrawn",
          ]).toContain(`${before.state}→${review.state}`);
          if (review.state === "withdrawn") {
            const { by } = taken as { by: string };
            expect(before.answers).toContainEqual(expect.objectContaining({ by, answer: "approved" }));
            expect(now).toBeLessThan(before.approvalExpiresAt ?? before.expiresAt);
          }
          if (review.state === "approved") {
            const people = new Set(review.answers.map(({ by }) => by.toLowerCase().replace(/[-.]$/, "")));
            expect(people.size).toBe(approvers);
            expect(people.has("billing-1") || people.has("oidc:billing-1")).toBe(false);
            expect(review.answers.every(({ answer }) => answer === "approved")).toBe(true);
            expect(review.answers.every(({ at }) => at < review.expiresAt)).toBe(true);
            expect(policy).toBe(POLICY);
          }
          if (review.state === "expired") expect(now).toBeGreaterThanOrEqual(review.expiresAt);
          if (review.state === "lapsed") expect(now).toBeGreaterThanOrEqual(review.approvalExpiresAt ?? Number.NaN);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("allows in one state alone, and there only until its time is over and under its own policy", () => {
    for (const state of REVIEW_STATES) {
      const { decision, reason } = judgementOf(state, open(1));
      expect(decision).toBe(DECISION_OF[reason]);
      expect(decision === "allow").toBe(state === "approved");
      expect(decision === "needs_review").toBe(state === "open");
    }
    const approved: Review = { ...open(1), state: "approved", approvalExpiresAt: OPENED + APPROVAL };
    expect(overdue(approved, OPENED + APPROVAL - 1, POLICY)).toBeNull();
    expect(overdue(approved, OPENED + APPROVAL, POLICY)).toBe("lapsed");
    expect(overdue(approved, OPENED, "sha256:b")).toBe("void");
    expect(overdue(approved, OPENED, null)).toBeNull();
    expect(overdue({ ...approved, approvalExpiresAt: null }, OPENED, POLICY)).toBe("lapsed");
  });

  test("says why an answer is not taken", () => {
    const problemOf = (review: Review, by: string, now = OPENED, policy = POLICY): unknown => {
      const after = afterAnswer(review, { by, answer: "approved" }, now, policy);
      return "problem" in after ? after.problem : after.state;
    };
    const once: Review = { ...open(2), answers: [{ by: "ann", answer: "approved", comment: "", at: OPENED }] };
    for (const name of ["billing-1", "BILLING-1", "oidc:billing-1", "billing-1.", "billing_1", "oidc:bi11ing-l "])
      expect(problemOf(open(1), name), name).toBe("own");
    expect(problemOf(open(1), "oidc:billing-10")).toBe("approved");
    for (const name of ["ann", "Ann", "oidc:ann", "ann."]) expect(problemOf(once, name), name).toBe("answered");
    expect(problemOf(once, "bob")).toBe("approved");
    expect(problemOf(once, "bob", OPENED + EXPIRY)).toBe("expired");
    expect(problemOf({ ...once, state: "rejected" }, "bob")).toBe("resolved");
    expect(problemOf({ ...once, state: "expired" }, "bob")).toBe("expired");
    expect(problemOf(once, "bob", OPENED, "sha256:b")).toBe("other_policy");
    // A rejection is not about a policy.
    expect(afterAnswer(once, { by: "bob", answer: "rejected" }, OPENED, "sha256:b")).toEqual({ state: "rejected" });
  });

  test("says why an approval is not withdrawn", () => {
    const said = { by: "ann", answer: "approved" as const, comment: "", at: OPENED };
    const once: Review = { ...open(2), answers: [said] };
    const approved: Review = { ...open(1), state: "approved", answers: [said], approvalExpiresAt: OPENED + APPROVAL };
    expect(withdrawalProblem(once, "ann", OPENED)).toBeNull();
    expect(withdrawalProblem(approved, "ann", OPENED)).toBeNull();
    for (const review of [open(1), once, approved])
      expect(withdrawalProblem(review, "bob", OPENED)).toBe("not_approved");
    const rejected: Review = { ...open(1), state: "rejected", answers: [{ ...said, answer: "rejected" }] };
    expect(withdrawalProblem(rejected, "ann", OPENED)).toBe("not_approved");
    expect(withdrawalProblem({ ...once, state: "rejected" }, "ann", OPENED)).toBe("resolved");
    expect(withdrawalProblem({ ...approved, state: "withdrawn" }, "ann", OPENED)).toBe("resolved");
    expect(withdrawalProblem(approved, "ann", OPENED + APPROVAL)).toBe("resolved");
    expect(withdrawalProblem(once, "ann", OPENED + EXPIRY)).toBe("expired");
    expect(withdrawalProblem({ ...once, state: "expired" }, "ann", OPENED)).toBe("expired");
  });
});
