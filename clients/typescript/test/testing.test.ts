import { describe, expect, test } from "vitest";
import { DeniedError } from "../src/denied-error.ts";
import { FakeDataCrawl } from "../src/testing.ts";

describe("FakeDataCrawl", () => {
  test("FakeDataCrawl denies every tool that it was not told to allow, also one named like an object's members", async () => {
    const dc = new FakeDataCrawl({ "mail.send": "allow" });
    for (const tool of ["mail.read", "toString", "__proto__", ""])
      expect(await dc.authorize({ tool })).toMatchObject({ allowed: false, decision: "deny" });
    expect(await dc.authorize({ tool: "mail.send" })).toMatchObject({ allowed: true, reason: "RULE_ALLOWED" });
  });

  test("FakeDataCrawl records copies of what was asked, and refuses what is not JSON", async () => {
    const dc = new FakeDataCrawl({ t: "allow" });
    const payload = { to: "a" };
    await dc.authorize({ tool: "t", payload });
    payload.to = "b";
    expect(dc.requests).toEqual([{ tool: "t", payload: { to: "a" } }]);
    const verdict = await dc.authorize({ tool: "t", payload: { when: new Date(0) } as never });
    expect(verdict).toMatchObject({ allowed: false, code: "BAD_REQUEST" });
  });

  test("FakeDataCrawl answers by payload where it was given a function", async () => {
    const dc = new FakeDataCrawl({ refund: ({ amount }) => (Number(amount) <= 100 ? "allow" : "deny") });
    expect(await dc.authorize({ tool: "refund", payload: { amount: 100 } })).toMatchObject({ allowed: true });
    expect(await dc.authorize({ tool: "refund", payload: { amount: 101 } })).toMatchObject({ allowed: false });
  });
});

describe("protect", () => {
  test("protect rejects at once where a review is needed, unless it is to wait", async () => {
    const dc = new FakeDataCrawl({ refund: "needs_review" });
    let runs = 0;
    const refund = dc.protect("refund", () => ++runs);
    await expect(refund({})).rejects.toThrow(DeniedError);
    expect(runs).toBe(0);
  });

  test.each([
    ["allow", 1],
    ["deny", 0],
  ] as const)("protect that waits for a review runs the action after %s %i times", async (decision, expected) => {
    const dc = new FakeDataCrawl({ refund: "needs_review" });
    const wait = dc.waitForReview.bind(dc);
    dc.waitForReview = async (decisionId) => {
      dc.resolveReview(decisionId, decision);
      return await wait(decisionId);
    };
    let runs = 0;
    const refund = dc.protect("refund", () => ++runs, { onReview: "wait" });
    await refund({}).catch((error: unknown) => expect(error).toBeInstanceOf(DeniedError));
    expect(runs).toBe(expected);
  });

  test("protect that waits rejects if nobody has decided in time", async () => {
    const dc = new FakeDataCrawl({ refund: "needs_review" });
    const refund = dc.protect("refund", () => "refunded", { onReview: "wait" });
    await expect(refund({})).rejects.toMatchObject({ verdict: { decision: "needs_review", allowed: false } });
  });

  test("protect refuses an onReview that it does not know, when it is made", () => {
    const dc = new FakeDataCrawl();
    expect(() => dc.protect("t", () => 1, { onReview: "allow" as never })).toThrow('onReview must be "deny" or "wait"');
  });
});
