import { describe, expect, test } from "vitest";
import { digestPayload, hashDecision } from "../../src/audit/row/hash.ts";
import { decisionOf, makeEntry } from "../../src/authorize/entry.ts";
import { parseRequest } from "../../src/core/request.ts";
import { type Judgement, judge } from "../../src/core/decision.ts";
import { FIRST, type Variant } from "../../src/idempotency/ledger.ts";
import { MAX_REDACTED, Redaction } from "../../src/policy/redaction.ts";
import {
  AGENT,
  KEY,
  keys,
  OTHER,
  POLICY_VERSION,
  random,
  redacting,
  REQUEST,
  REVIEW_NEEDED,
  SAME,
  STORE_TIME,
} from "./fakes.ts";

const ALLOWED = judge("RULE_ALLOWED", "Allowed.", "refund-small");
const ports = { now: () => STORE_TIME, random, keys };

function entryOf(
  judgement: Judgement = ALLOWED,
  {
    redaction = new Redaction([]),
    variant = FIRST,
    linkedTo = null,
    payload = REQUEST.payload,
  }: {
    redaction?: Redaction;
    variant?: Variant | null;
    linkedTo?: string | null;
    payload?: typeof REQUEST.payload;
  } = {},
) {
  const request = {
    ...parseRequest({ ...REQUEST, payload }, AGENT),
    nonce: REQUEST.nonce,
    credentialId: "key-1",
    requestDigest: SAME,
    traceId: "ab".repeat(16),
  };
  const policy = { version: POLICY_VERSION, redaction };
  return makeEntry(request, judgement, { policy, variant, linkedTo }, ports);
}

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe("The entry of a decision", () => {
  test("names what was asked, what was judged and under which policy, in every column", () => {
    const { row, hash, claim } = entryOf(ALLOWED, { linkedTo: "0195e0b2-7a3b-7c1d-8a2b-000000000001" });
    expect(row).toEqual({
      decisionId: expect.stringMatching(UUID_V7),
      recordedAt: STORE_TIME,
      source: "service",
      agentId: AGENT,
      credentialId: "key-1",
      tool: "stripe.refund",
      idempotencyKey: KEY,
      decision: "allow",
      reason: "RULE_ALLOWED",
      message: "Allowed.",
      ruleId: "refund-small",
      policyVersion: POLICY_VERSION,
      requestDigest: SAME,
      payloadDigest: expect.any(Buffer),
      decidedAt: STORE_TIME,
      linkedDecisionId: "0195e0b2-7a3b-7c1d-8a2b-000000000001",
      reviewId: null,
      grantId: null,
      guardJournalId: null,
      guardSequence: null,
      guardRecordHash: null,
      traceId: "ab".repeat(16),
      detail: null,
      principal: null,
      sessionId: null,
    });
    expect(hash).toEqual(hashDecision(row));
    expect(claim).toEqual({ variant: FIRST });
  });

  test("digests the payload as it is stored, under a salt of its own", () => {
    const [one, two] = [entryOf(), entryOf()];
    expect(one.payload?.canonical).toBe('{"amount":50}');
    expect(one.row.payloadDigest).toEqual(digestPayload(one.payload?.salt as Uint8Array, '{"amount":50}'));
    expect(two.row.payloadDigest).not.toEqual(one.row.payloadDigest);
    expect(two.row.decisionId).not.toBe(one.row.decisionId);
  });

  test("holds no redacted value, and the same mark for the same value of one agent", () => {
    const terms = { redaction: redacting("payload.card"), payload: { card: "hunter2", amount: 5 } };
    const [one, two] = [entryOf(ALLOWED, terms), entryOf(ALLOWED, terms)];
    expect(JSON.stringify(one)).not.toContain("hunter2");
    expect(one.payload?.canonical).toContain('"amount":5');
    expect(two.payload?.canonical).toBe(one.payload?.canonical);
    expect(one.row.payloadDigest).toEqual(
      digestPayload(one.payload?.salt as Uint8Array, one.payload?.canonical as string),
    );
  });

  test("is refused if more of the payload is redacted than may be", () => {
    const payload = { cards: Array.from({ length: MAX_REDACTED + 1 }, (_, index) => index) };
    expect(() => entryOf(ALLOWED, { redaction: redacting("payload.cards.*"), payload })).toThrow(/at most 1024/);
  });

  test("opens a review under an id of its own if, and only if, one is needed", () => {
    const reviewed = entryOf(REVIEW_NEEDED);
    expect(reviewed.review).toEqual(REVIEW_NEEDED.review);
    expect(reviewed.row.reviewId).toMatch(UUID_V7);
    expect(reviewed.row.reviewId).not.toBe(reviewed.row.decisionId);
    const plain = entryOf();
    expect([plain.review, plain.row.reviewId]).toEqual([null, null]);
  });

  test.each<[string, Variant | null]>([
    ["the key's first use", FIRST],
    ["another request's use of the key", OTHER],
    ["nothing", null],
  ])("claims %s", (_, variant) => {
    expect(entryOf(ALLOWED, { variant }).claim).toEqual(variant === null ? null : { variant });
  });
});

test.each([STORE_TIME + 5, null])(
  "A written entry is the decision that its replay answers, claimed until %s",
  (until) => {
    const entry = entryOf();
    const { row } = entry;
    expect(decisionOf(entry, SAME, until)).toEqual({
      decisionId: row.decisionId,
      reason: "RULE_ALLOWED",
      message: "Allowed.",
      ruleId: "refund-small",
      policyVersion: POLICY_VERSION,
      decidedAt: STORE_TIME,
      requestDigest: SAME,
      expiresAt: until,
    });
  },
);
