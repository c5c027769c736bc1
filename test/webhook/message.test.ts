import { describe, expect, it } from "vitest";
import { bodyOf, type Source } from "../../src/webhook/message.ts";

const event: Extract<Source, { kind: "event" }> = {
  kind: "event",
  actor: "operator:ann",
  subject: "billing-1",
  decisionId: null,
  recordedAt: 1_700_000_000_123_456,
  detail: '{"expiresAtUs":1700000100000000,"reason":"vendor outage"}',
};
const decision: Extract<Source, { kind: "decision" }> = {
  kind: "decision",
  decisionId: "018f0000-0000-7000-8000-000000000001",
  linkedDecisionId: null,
  reviewId: "018f0000-0000-7000-8000-000000000002",
  agentId: "billing-1",
  tool: "stripe.refund",
  decision: "needs_review",
  reason: "REVIEW_PENDING",
  message: 'Rule "large" asks for a review of this call.',
  ruleId: "large",
  policyVersion: "sha256:1",
  recordedAt: 1_700_000_000_000_000,
  expiresAt: 1_700_000_060_000_000,
  payload: '{"amount":900}',
};

function parsed(type: string, source: Source, publicUrl: string | null = null): { data: Record<string, unknown> } {
  return JSON.parse(bodyOf(type, source, publicUrl)) as { data: Record<string, unknown> };
}

describe("a message's body", () => {
  it("tells of an event", () => {
    expect(parsed("bypass.set", event, "https://dc.example.com/")).toEqual({
      type: "bypass.set",
      timestamp: "2023-11-14T22:13:20.123456Z",
      data: {
        subject: "billing-1",
        actor: "operator:ann",
        decisionId: null,
        expiresAt: "2023-11-14T22:15:00.000000Z",
        detail: { expiresAtUs: 1700000100000000, reason: "vendor outage" },
        link: "https://dc.example.com/bypass",
      },
    });
  });

  it("tells of a decision that needs a review", () => {
    const { kind: _, recordedAt: __, payload: ___, ...ids } = decision;
    expect(parsed("review.opened", decision, "https://dc.example.com")).toEqual({
      type: "review.opened",
      timestamp: "2023-11-14T22:13:20.000000Z",
      data: {
        ...ids,
        expiresAt: "2023-11-14T22:14:20.000000Z",
        payloadExcerpt: '{"amount":900}',
        payloadTruncated: false,
        link: `https://dc.example.com/reviews/${decision.reviewId}`,
      },
    });
  });

  it("says that a payload was erased, and gives no link where nobody said to what", () => {
    const { data } = parsed("review.opened", { ...decision, payload: null });
    expect(data).toMatchObject({ payloadExcerpt: null, payloadTruncated: false });
    expect(data).not.toHaveProperty("link");
  });

  it.each(["x", "ä", "€", "😀", "\u0001"])(
    "cuts texts of %j at whole characters, so that it stays small",
    (character) => {
      const long = character.repeat(40_000);
      const body = bodyOf("review.opened", { ...decision, payload: long, message: long }, null);
      const { payloadExcerpt, payloadTruncated, message } = parsed("review.opened", {
        ...decision,
        payload: long,
        message: long,
      }).data;
      expect(payloadTruncated).toBe(true);
      for (const [text, most] of [
        [payloadExcerpt, 8192],
        [message, 2048],
      ] as const) {
        expect(long.startsWith(text as string)).toBe(true);
        expect(Buffer.byteLength(text as string)).toBeGreaterThan(most - 4);
        expect(Buffer.byteLength(text as string)).toBeLessThanOrEqual(most);
      }
      expect(body).not.toContain("\ufffd");
    },
  );

  it("leaves out a detail that is too long, and what is known of it besides stays", () => {
    const detail = JSON.stringify({ expiresAtUs: 1700000100000000, tools: Array.from({ length: 2000 }, () => "tool") });
    expect(parsed("bypass.set", { ...event, detail }).data).toMatchObject({
      detail: null,
      expiresAt: "2023-11-14T22:15:00.000000Z",
    });
  });
});
