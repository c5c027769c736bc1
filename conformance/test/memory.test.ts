import { systemClock } from "@datacrawl/core/clock";
import { expect, test } from "vitest";
import { memory } from "../src/memory.ts";

const envelope = {
  authorization: undefined,
  method: "BeginExecution",
  codec: "proto",
  accepts: [],
  deadlineMs: null,
} as const;
const start = (nonce: number) => {
  return { tool: "", idempotencyKey: "", agentId: "agent", decisionId: "decision", nonce: Buffer.alloc(16, nonce) };
};

test("an earlier attempt of the same start is not another start", () => {
  const kept = memory(systemClock);
  expect(kept.questionOf(start(1), envelope).earlier).toBeNull();
  expect(kept.questionOf(start(1), envelope).earlier).toBeNull();
  expect(kept.questionOf(start(2), envelope).earlier).toMatchObject({ nonce: Buffer.alloc(16, 1) });
  expect(kept.questionOf(start(2), envelope).earlier).toMatchObject({ nonce: Buffer.alloc(16, 1) });
});
