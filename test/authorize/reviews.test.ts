import { describe, expect, test } from "vitest";
import { hashDecision } from "../../src/audit/row/hash.ts";
import { Reviews } from "../../src/authorize/reviews.ts";
import type { Reason } from "../../src/core/decision.ts";
import { RandomPool } from "../../src/core/ids.ts";
import { judgementOf, type ReadReview, type Review, type ReviewState } from "../../src/review/review.ts";
import { AGENT, claim, KEY, OTHER, Outage, POLICY_VERSION, SAME, STORE_TIME } from "./fakes.ts";

const HOUR = 3600e6;
const FIRST = claim({ reason: "REVIEW_PENDING", policyVersion: POLICY_VERSION });

function review(change: Partial<Review> = {}): Review {
  const { state = "open" } = change;
  return {
    reviewId: "0195e0b2-7a3b-7c1d-8a2b-000000000001",
    decisionId: FIRST.decisionId,
    recordedAt: STORE_TIME,
    agentId: AGENT,
    tool: "stripe.refund",
    idempotencyKey: KEY,
    ruleId: "refund-large",
    policyVersion: POLICY_VERSION,
    requestDigest: SAME,
    payloadDigest: Buffer.alloc(32, 9),
    terms: { approvers: 1, approvalMicros: HOUR, expiryMicros: 24 * HOUR },
    openedAt: STORE_TIME,
    expiresAt: STORE_TIME + 24 * HOUR,
    version: 1,
    answers: [],
    resolvedAt: state === "open" ? null : STORE_TIME + 5,
    resolutionId: state === "open" ? null : "0195e0b2-7a3b-7c1d-8a2b-000000000002",
    approvalExpiresAt: state === "approved" ? STORE_TIME + HOUR : null,
    firstAllowedAt: null,
    withdrawal: null,
    ...change,
    state,
  };
}

type Settlement = Parameters<ConstructorParameters<typeof Reviews>[0]["store"]["settle"]>[0];

/** One review in a store. */
function reviewsWorld(stored: Review | null, now = STORE_TIME + 10) {
  const world = {
    stored,
    now,
    /** Before a settlement is looked at: what others do to the review. */
    rivals: [] as (() => void)[],
    /** What every read rejects with. */
    unreadable: null as Error | null,
    settlements: [] as Settlement[],
    resolved: [] as string[],
    /** The reviews that were noted as answered allow, by their versions. */
    allowed: [] as number[],
  };
  const read = async (): Promise<ReadReview | null> => {
    if (world.unreadable !== null) throw world.unreadable;
    return world.stored && { review: world.stored, now: world.now };
  };
  const reviews = new Reviews({
    store: {
      find: read,
      findByDecision: read,
      listExpired: async () => {
        const one = await read();
        return one === null ? [] : [one];
      },
      settle: async (change) => {
        world.rivals.shift()?.();
        if (change.review.version !== world.stored?.version) return false;
        world.settlements.push(change);
        world.stored = {
          ...change.review,
          state: change.to,
          version: change.review.version + 1,
          resolvedAt: change.resolution.row.decidedAt,
          resolutionId: change.resolution.row.decisionId,
        };
        return true;
      },
      noteAllow: async ({ version }) => {
        world.rivals.shift()?.();
        if (version !== world.stored?.version) return false;
        world.allowed.push(version);
        world.stored = { ...world.stored, version: version + 1, firstAllowedAt: world.now };
        return true;
      },
    },
    resolved: ({ decisionId }) => void world.resolved.push(decisionId),
    now: () => world.now,
    random: new RandomPool(),
  });
  return { world, reviews };
}

describe("A claim under review is answered", () => {
  test.each<[ReviewState, Reason]>([
    ["open", "REVIEW_PENDING"],
    ["approved", "REVIEW_APPROVED"],
    ["rejected", "REVIEW_REJECTED"],
    ["expired", "REVIEW_EXPIRED"],
    ["lapsed", "REVIEW_EXPIRED"],
    ["void", "REVIEW_EXPIRED"],
    ["withdrawn", "REVIEW_REJECTED"],
  ])("by what its review has come to, under its own id: %s", async (state, reason) => {
    const { world, reviews } = reviewsWorld(review({ state }));
    const current = await reviews.current(FIRST, POLICY_VERSION);
    expect(current).toMatchObject({ reason, decisionId: FIRST.decisionId });
    if (state === "open") expect(current).toBe(FIRST);
    else expect(current).toMatchObject({ decidedAt: STORE_TIME + 5, message: judgementOf(state, review()).message });
    expect([world.settlements, world.resolved]).toEqual([[], []]);
  });

  test("allow only after that is noted, once", async () => {
    const { world, reviews } = reviewsWorld(review({ state: "approved" }));
    for (let time = 1; time <= 3; time++)
      expect(await reviews.current(FIRST, POLICY_VERSION)).toMatchObject({ reason: "REVIEW_APPROVED" });
    expect(world.allowed).toEqual([1]);
    for (const state of ["open", "rejected", "withdrawn"] as const) {
      const other = reviewsWorld(review({ state }));
      await other.reviews.current(FIRST, POLICY_VERSION);
      expect(other.world.allowed).toEqual([]);
    }
  });

  test("deny where the approval is withdrawn before its first allow is noted", async () => {
    const { world, reviews } = reviewsWorld(review({ state: "approved" }));
    world.rivals.push(() => void (world.stored = review({ state: "withdrawn", version: 2 })));
    expect(await reviews.current(FIRST, POLICY_VERSION)).toMatchObject({ reason: "REVIEW_REJECTED" });
    expect(world.allowed).toEqual([]);
  });

  test("allow where another replica notes the first allow at that moment", async () => {
    const { world, reviews } = reviewsWorld(review({ state: "approved" }));
    world.rivals.push(
      () => void (world.stored = review({ state: "approved", version: 2, firstAllowedAt: STORE_TIME })),
    );
    expect(await reviews.current(FIRST, POLICY_VERSION)).toMatchObject({ reason: "REVIEW_APPROVED" });
    expect(world.allowed).toEqual([]);
  });

  test("with a fault if the allow cannot be noted", async () => {
    const { world, reviews } = reviewsWorld(review({ state: "approved" }));
    world.rivals.push(() => {
      throw new Outage("down");
    });
    await expect(reviews.current(FIRST, POLICY_VERSION)).rejects.toThrow("down");
    const change = (): void =>
      void (world.stored = review({ state: "approved", version: (world.stored?.version ?? 0) + 1 }));
    world.rivals.push(...Array.from({ length: 5 }, () => change));
    await expect(reviews.current(FIRST, POLICY_VERSION)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  });

  test("as it was recorded if it has no review", async () => {
    const { reviews } = reviewsWorld(null);
    expect(await reviews.current(FIRST, POLICY_VERSION)).toBe(FIRST);
  });

  test.each<[string, ReviewState, number, string, ReviewState, Reason]>([
    ["nobody answered in time", "open", 24 * HOUR, POLICY_VERSION, "expired", "REVIEW_EXPIRED"],
    ["an instant before that", "open", 24 * HOUR - 1, POLICY_VERSION, "open", "REVIEW_PENDING"],
    ["the approval's time is over", "approved", HOUR, POLICY_VERSION, "lapsed", "REVIEW_EXPIRED"],
    ["an instant before that", "approved", HOUR - 1, POLICY_VERSION, "approved", "REVIEW_APPROVED"],
    ["another policy is in force since", "approved", 10, "sha256:newer", "void", "REVIEW_EXPIRED"],
    ["another policy is in force, and it is open", "open", 10, "sha256:newer", "open", "REVIEW_PENDING"],
    ["it was rejected long ago", "rejected", 99 * HOUR, "sha256:newer", "rejected", "REVIEW_REJECTED"],
  ])("by what has become due, recorded once: %s", async (_, state, since, policyVersion, becomes, reason) => {
    const { world, reviews } = reviewsWorld(review({ state }), STORE_TIME + since);
    for (let time = 1; time <= 2; time++) {
      expect(await reviews.current(FIRST, policyVersion)).toMatchObject({ reason, decisionId: FIRST.decisionId });
    }
    expect(world.stored?.state).toBe(becomes);
    if (state === becomes) return expect(world.settlements).toEqual([]);
    expect(world.resolved).toEqual([FIRST.decisionId]);
    const [{ resolution } = {}, ...others] = world.settlements;
    expect(others).toEqual([]);
    expect(resolution?.row).toMatchObject({
      reason,
      linkedDecisionId: FIRST.decisionId,
      reviewId: review().reviewId,
      policyVersion: POLICY_VERSION,
      agentId: AGENT,
      tool: "stripe.refund",
      idempotencyKey: KEY,
      requestDigest: SAME,
      payloadDigest: review().payloadDigest,
      detail: JSON.stringify({ review: becomes }),
      credentialId: null,
    });
    expect(resolution?.hash).toEqual(resolution && hashDecision(resolution.row));
  });

  test("by what another process made of the review first", async () => {
    const { world, reviews } = reviewsWorld(review(), STORE_TIME + 24 * HOUR);
    world.rivals.push(() => {
      world.stored = review({ state: "rejected", version: 2 });
    });
    expect(await reviews.current(FIRST, POLICY_VERSION)).toMatchObject({ reason: "REVIEW_REJECTED" });
    expect([world.settlements, world.resolved]).toEqual([[], []]);
  });

  test.each<[string, Partial<Review>, string]>([
    ["an approval of another request", { state: "approved", requestDigest: OTHER }, "INTERNAL"],
    ["a rejection of another request", { state: "rejected", requestDigest: OTHER }, "INTERNAL"],
  ])("with a fault, not by %s", async (_, change, code) => {
    const { reviews } = reviewsWorld(review(change));
    await expect(reviews.current(FIRST, POLICY_VERSION)).rejects.toMatchObject({ code });
  });

  test("with a fault if the review changes each time it is read", async () => {
    const { world, reviews } = reviewsWorld(review(), STORE_TIME + 24 * HOUR);
    const change = (): void => void (world.stored = review({ version: (world.stored?.version ?? 0) + 1 }));
    world.rivals.push(...Array.from({ length: 5 }, () => change));
    await expect(reviews.current(FIRST, POLICY_VERSION)).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      retryAfterMs: 100,
    });
    expect(world.rivals).toEqual([]);
    expect(world.settlements).toEqual([]);
  });

  test("with a fault if the review is gone when it is read again", async () => {
    const { world, reviews } = reviewsWorld(review(), STORE_TIME + 24 * HOUR);
    world.rivals.push(() => void (world.stored = null));
    await expect(reviews.current(FIRST, POLICY_VERSION)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  });

  test("with the store's own error", async () => {
    const { world, reviews } = reviewsWorld(review());
    world.unreadable = new Outage("down");
    await expect(reviews.current(FIRST, POLICY_VERSION)).rejects.toBe(world.unreadable);
  });
});

describe("Reviews that nobody answered", () => {
  test("are denied, and who watches them is notified", async () => {
    const { world, reviews } = reviewsWorld(review(), STORE_TIME + 24 * HOUR);
    await reviews.expireDue();
    expect([world.stored?.state, world.resolved]).toEqual(["expired", [FIRST.decisionId]]);
  });

  test("are left alone before their time, and approvals whatever the policy", async () => {
    for (const one of [review(), review({ state: "approved", policyVersion: "sha256:older" })]) {
      const { world, reviews } = reviewsWorld(one);
      await reviews.expireDue();
      expect(world.stored).toBe(one);
    }
  });
});
