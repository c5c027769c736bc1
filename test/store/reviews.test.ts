import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hashDecision } from "../../src/audit/row/hash.ts";
import { FIRST } from "../../src/idempotency/ledger.ts";
import type { Review, ReviewFilter, ReviewState } from "../../src/review/review.ts";
import { SqlDecisionReader } from "../../src/store/decisions.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { SqlReviewStore } from "../../src/store/reviews.ts";
import { entryFor } from "../support/entries.ts";
import { answerOf, changeOf, reviewEntry, withdrawalOf } from "../support/reviews.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { query } from "../support/sql.ts";

const HOUR = 3600 * 1e6;

describe.each(storeKinds())("reviews on $name", ({ name, open }) => {
  let store: TestStore;
  let records: SqlRecordStore;
  let reviews: SqlReviewStore;

  beforeAll(async () => {
    store = await open();
    records = new SqlRecordStore(store.database.kysely);
    reviews = new SqlReviewStore(store.database.kysely);
  });
  afterAll(() => store.close());

  const opened = async (key: string, terms = {}): Promise<Review> => {
    const entry = reviewEntry(key, terms);
    await records.recordBatch([entry]);
    return await found(entry.row.reviewId as string);
  };
  const found = async (reviewId: string): Promise<Review> => {
    const read = await reviews.find(reviewId);
    if (read === null) throw new Error(`there is no review ${reviewId}`);
    return read.review;
  };
  /** Moves the review's times into the past, as waiting would. */
  const age = async ({ reviewId }: Review): Promise<Review> => {
    await query(
      store.database,
      `UPDATE reviews SET expires_at = least(expires_at, now()), approval_expires_at = now() WHERE review_id = $1::text::uuid`,
      [reviewId],
    );
    return await found(reviewId);
  };
  const rowsAbout = async ({ decisionId }: Review): Promise<{ reason: string; review_id: string }[]> =>
    await query(
      store.database,
      "SELECT reason, review_id::text FROM audit_decisions WHERE linked_decision_id = $1::text::uuid",
      [decisionId],
    );
  const events = async ({ reviewId }: Review): Promise<number> =>
    (await query(store.database, "SELECT 1 FROM audit_events WHERE subject = $1", [reviewId])).length;

  test("a batch opens the reviews of those that win their claims, and of no others", async () => {
    const first = reviewEntry("one", { approvers: 2 });
    const [late, plain] = [reviewEntry("one"), entryFor("two")];
    expect((await records.recordBatch([first, plain])).size).toBe(2);
    expect((await records.recordBatch([late])).size).toBe(0);
    expect(await reviews.find(late.row.reviewId as string)).toBeNull();
    const { review, now } = (await reviews.findByDecision(first.row.decisionId)) ?? { review: null, now: 0 };
    expect(review).toMatchObject({
      reviewId: first.row.reviewId,
      decisionId: first.row.decisionId,
      recordedAt: first.row.recordedAt,
      agentId: "demo",
      tool: "stripe.refund",
      idempotencyKey: "one",
      policyVersion: "sha256:test",
      ruleId: "refund-small",
      terms: { approvers: 2, approvalMicros: HOUR, expiryMicros: 24 * HOUR },
      state: "open",
      version: 0,
      answers: [],
      resolvedAt: null,
      resolutionId: null,
      approvalExpiresAt: null,
    });
    expect(Buffer.from(review?.requestDigest ?? [])).toEqual(first.row.requestDigest);
    expect(Buffer.from(review?.payloadDigest ?? [])).toEqual(first.row.payloadDigest);
    expect((review?.expiresAt ?? 0) - (review?.openedAt ?? 0)).toBe(24 * HOUR);
    expect(now).toBeGreaterThanOrEqual(review?.openedAt ?? Number.NaN);
  });

  test("a claim outlives its review and its approval, and is never shorter than a day", async () => {
    const lifetime = async (key: string): Promise<number> => {
      const { openedAt } = (await reviews.list({ ...ALL, limit: 1 }))[0] as Review;
      const claim = await records.findClaim("demo", key, FIRST);
      return ((claim?.expiresAt ?? 0) - openedAt) / HOUR;
    };
    await opened("long", { expiryMicros: 48 * HOUR, approvalMicros: 2 * HOUR });
    expect(await lifetime("long")).toBe(50);
    await opened("short", { expiryMicros: HOUR });
    expect(await lifetime("short")).toBe(24);
    const beside = entryFor("beside");
    await records.recordBatch([beside, reviewEntry("x", { expiryMicros: 90 * HOUR })]);
    expect(await lifetime("beside")).toBe(24);
  });

  test("an answer, its event and the row that resolves are one change", async () => {
    const review = await opened("approve");
    expect(await reviews.answer(answerOf(review, "ann", "approved"))).toBe(true);
    const after = await found(review.reviewId);
    expect(after).toMatchObject({ state: "approved", version: 1, answers: [{ by: "ann", answer: "approved" }] });
    expect((after.approvalExpiresAt ?? 0) - (after.resolvedAt ?? 0)).toBe(HOUR);
    expect(await rowsAbout(review)).toEqual([{ reason: "REVIEW_APPROVED", review_id: review.reviewId }]);
    expect(await events(review)).toBe(1);
    const stored = await new SqlDecisionReader(store.database.kysely).find(after.resolutionId as string);
    expect(stored?.row).toMatchObject({ linkedDecisionId: review.decisionId, idempotencyKey: "approve" });
    expect(hashDecision(stored?.row ?? ({} as never))).toEqual(Buffer.from(stored?.storedHash ?? []));
    // It claims nothing: the key's claim is still the first decision's.
    expect((await records.findClaim("demo", "approve", FIRST))?.decisionId).toBe(review.decisionId);
  });

  test("the first of two approvals leaves the review open, without a row", async () => {
    const review = await opened("two people", { approvers: 2 });
    expect(await reviews.answer(answerOf(review, "ann", "open"))).toBe(true);
    const between = await found(review.reviewId);
    expect(between).toMatchObject({ state: "open", version: 1, resolvedAt: null, resolutionId: null });
    expect(await rowsAbout(review)).toEqual([]);
    expect(await reviews.answer(answerOf(between, "bob", "approved"))).toBe(true);
    expect((await found(review.reviewId)).answers.map(({ by }) => by)).toEqual(["ann", "bob"]);
    expect(await rowsAbout(review)).toHaveLength(1);
    expect(await events(review)).toBe(2);
  });

  test("of all who answer one version at once, one does", async () => {
    const review = await opened("race");
    const states: ReviewState[] = ["approved", "rejected"];
    const racers = Array.from({ length: 12 }, (_, n) => answerOf(review, `p${n}`, states[n % 2] as ReviewState));
    const won = await Promise.all(racers.map((change) => reviews.answer(change)));
    expect(won.filter(Boolean)).toHaveLength(1);
    expect(await rowsAbout(review)).toHaveLength(1);
    expect(await events(review)).toBe(1);
    expect((await found(review.reviewId)).answers).toHaveLength(1);
  });

  test("nobody counts twice, even if who asks has not seen it", async () => {
    const review = await opened("twice", { approvers: 2 });
    await reviews.answer(answerOf(review, "ann", "open"));
    const again = await found(review.reviewId);
    await expect(reviews.answer(answerOf(again, "ann", "approved"))).rejects.toThrow(/review_answers_pkey/);
    expect(await found(review.reviewId)).toMatchObject({ state: "open", version: 1 });
    expect(await rowsAbout(review)).toEqual([]);
  });

  test("answers come before the expiry by the store's clock, and expiry after it, once", async () => {
    const review = await opened("late");
    expect(await reviews.settle(changeOf(review, "expired"))).toBe(false);
    const aged = await age(review);
    expect(await reviews.answer(answerOf(aged, "ann", "approved"))).toBe(false);
    expect(await rowsAbout(review)).toEqual([]);
    expect(await events(review)).toBe(0);
    expect((await reviews.listExpired(1000)).map(({ review: { reviewId } }) => reviewId)).toEqual([review.reviewId]);
    const tries = await Promise.all(Array.from({ length: 8 }, () => reviews.settle(changeOf(aged, "expired"))));
    expect(tries.filter(Boolean)).toHaveLength(1);
    expect(await rowsAbout(review)).toEqual([{ reason: "REVIEW_EXPIRED", review_id: review.reviewId }]);
    expect(await reviews.listExpired(1000)).toEqual([]);
  });

  test("an approval lapses after its time, and is void at any time", async () => {
    for (const [to, needsTime] of [
      ["lapsed", true],
      ["void", false],
    ] as const) {
      const review = await opened(to);
      await reviews.answer(answerOf(review, "ann", "approved"));
      const approved = await found(review.reviewId);
      expect(await reviews.settle(changeOf(approved, to))).toBe(!needsTime);
      if (needsTime) expect(await reviews.settle(changeOf(await age(approved), to))).toBe(true);
      expect((await rowsAbout(review)).map(({ reason }) => reason).toSorted()).toEqual([
        "REVIEW_APPROVED",
        "REVIEW_EXPIRED",
      ]);
      expect((await found(review.reviewId)).state).toBe(to);
    }
  });

  test("a withdrawal, its event and the row that resolves are one change, of an open review and of an approved one", async () => {
    for (const [approvers, to] of [
      [1, "approved"],
      [2, "open"],
    ] as const) {
      const review = await opened(`withdraw ${to}`, { approvers });
      await reviews.answer(answerOf(review, "ann", to));
      const approved = await found(review.reviewId);
      expect(approved).toMatchObject({ state: to, withdrawal: null, firstAllowedAt: null });
      expect(await reviews.withdraw(withdrawalOf(review, "ann"))).toBe(false);
      expect(await reviews.withdraw(withdrawalOf(approved, "ann"))).toBe(true);
      const after = await found(review.reviewId);
      expect(after).toMatchObject({ state: "withdrawn", withdrawal: { by: "ann", comment: "I erred" } });
      expect(after.withdrawal?.at).toBe(after.resolvedAt);
      expect((await rowsAbout(review)).map(({ reason }) => reason).at(-1)).toBe("REVIEW_REJECTED");
      expect(await events(review)).toBe(2);
      expect(
        (await new SqlDecisionReader(store.database.kysely).find(after.resolutionId as string))?.row,
      ).toMatchObject({
        reason: "REVIEW_REJECTED",
        linkedDecisionId: review.decisionId,
      });
      expect(await reviews.withdraw(withdrawalOf(after, "ann"))).toBe(false);
      expect(await reviews.noteAllow(after)).toBe(false);
    }
  });

  test("nobody withdraws what another person has approved, and nothing when its time is over", async () => {
    const review = await opened("not theirs");
    await reviews.answer(answerOf(review, "ann", "approved"));
    const approved = await found(review.reviewId);
    await expect(reviews.withdraw(withdrawalOf(approved, "bob"))).rejects.toThrow(/review_withdrawals/);
    expect(await found(review.reviewId)).toEqual(approved);
    expect(await reviews.withdraw(withdrawalOf(await age(approved), "ann"))).toBe(false);
    expect(await rowsAbout(review)).toHaveLength(1);
  });

  test("the first allow and a withdrawal that were decided at once come one after the other", async () => {
    const review = await opened("first allow");
    expect(await reviews.noteAllow(review)).toBe(false);
    await reviews.answer(answerOf(review, "ann", "approved"));
    const approved = await found(review.reviewId);
    const noted = await Promise.all(Array.from({ length: 8 }, () => reviews.noteAllow(approved)));
    expect(noted.filter(Boolean)).toHaveLength(1);
    expect(await reviews.withdraw(withdrawalOf(approved, "ann"))).toBe(false);
    const used = await found(review.reviewId);
    expect(used).toMatchObject({ state: "approved", firstAllowedAt: expect.any(Number) });
    expect(await reviews.noteAllow(used)).toBe(false);
    expect(await reviews.withdraw(withdrawalOf(used, "ann"))).toBe(true);
    expect(await found(review.reviewId)).toMatchObject({ state: "withdrawn", firstAllowedAt: used.firstAllowedAt });
  });

  test("nothing moves a rejected or expired review", async () => {
    const review = await opened("final");
    await reviews.answer(answerOf(review, "ann", "rejected"));
    const rejected = await age(await found(review.reviewId));
    for (const to of ["expired", "lapsed", "void"] as const)
      expect(await reviews.settle(changeOf(rejected, to))).toBe(false);
    for (const to of ["approved", "rejected"] as const)
      expect(await reviews.answer(answerOf(rejected, "bob", to))).toBe(false);
    expect(await rowsAbout(review)).toHaveLength(1);
  });

  test("lists are filtered and go on where a page ended", async () => {
    const mine: string[] = [];
    for (let n = 0; n < 5; n++) {
      mine.push((await opened(`list ${n}`)).reviewId);
      // Ids of one millisecond have no order.
      await sleep(2);
    }
    await reviews.answer(answerOf(await found(mine[2] ?? ""), "ann", "rejected"));
    const ids = async (filter: Partial<ReviewFilter>): Promise<string[]> =>
      (await reviews.list({ ...ALL, ...filter })).map(({ reviewId }) => reviewId).filter((id) => mine.includes(id));
    expect(await ids({})).toEqual(mine.toReversed());
    expect(await ids({ before: mine[3] ?? "" })).toEqual(mine.slice(0, 3).toReversed());
    expect(await ids({ state: "rejected" })).toEqual([mine[2]]);
    expect(await ids({ agentId: "demo", tool: "stripe.refund" })).toHaveLength(5);
    expect(await ids({ agentId: "other" })).toEqual([]);
    expect(await ids({ tool: "stripe.*" })).toEqual([]);
    expect(await ids({ limit: 2 })).toEqual(mine.slice(3).toReversed());
  });

  test("who is asked for what is resolved names it, and what should be", async () => {
    const [pending, resolved, due] = [await opened("a1"), await opened("a2"), await opened("a3")];
    await reviews.answer(answerOf(resolved, "ann", "approved"));
    await age(due);
    const asked = [pending, resolved, due].map(({ decisionId }) => decisionId);
    expect((await reviews.resolvedAmong(asked)).toSorted()).toEqual([resolved.decisionId, due.decisionId].toSorted());
    await reviews.settle(changeOf(await found(due.reviewId), "expired"));
  });

  test.skipIf(name === "embedded")("the service's login can neither change nor remove an answer", async () => {
    const review = await opened("kept");
    await reviews.answer(answerOf(review, "ann", "approved"));
    for (const text of [
      "UPDATE review_answers SET operator = 'bob'",
      "DELETE FROM review_answers",
      "UPDATE review_withdrawals SET operator = 'bob'",
      "DELETE FROM review_withdrawals",
      "DELETE FROM reviews",
    ])
      await expect(query(store.database, text)).rejects.toThrow(/permission denied/);
  });
});

const ALL: ReviewFilter = { state: null, agentId: null, tool: null, before: null, limit: 1000 };
