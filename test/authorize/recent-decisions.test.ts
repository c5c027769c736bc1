import { expect, test } from "vitest";
import { RecentDecisions } from "../../src/authorize/recent-decisions.ts";
import { entryFor } from "../support/entries.ts";

const EXPIRES_AT = 1_770_000_000_000_000;

test("a recent decision is found as the store has it", () => {
  const recent = new RecentDecisions();
  const { row } = entryFor("a");
  recent.note(row, EXPIRES_AT);
  const { decisionId, recordedAt, agentId, tool, idempotencyKey, reason, requestDigest } = row;
  const known = { decisionId, recordedAt, agentId, tool, idempotencyKey, reason, requestDigest };
  const found = recent.find(decisionId);
  expect(found).toMatchObject(known);
  expect(found).toMatchObject({ expiresAt: EXPIRES_AT, bypassedDecisionId: null });
});

test("only the newest decisions are remembered", () => {
  const recent = new RecentDecisions(4);
  const ids = ["a", "b", "c", "d", "e"].map((key) => {
    const { row } = entryFor(key);
    recent.note(row, EXPIRES_AT);
    return row.decisionId;
  });
  expect(ids.map((id) => recent.find(id) !== null)).toEqual([false, false, true, true, true]);
});
