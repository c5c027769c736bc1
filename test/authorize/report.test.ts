import { beforeEach, describe, expect, test } from "vitest";
import { Fault } from "../../src/core/fault.ts";
import type { ExecutionEnd } from "../../src/execution/execution.ts";
import { digestRedacted } from "../../src/idempotency/key.ts";
import { AGENT, keys, Outage, redacting, STORE_TIME } from "./fakes.ts";
import { DECISION, execution, executionWorld, OTHER_ID } from "./execution-fakes.ts";

let world: ReturnType<typeof executionWorld>;
beforeEach(() => {
  world = executionWorld();
  world.executions.execution = execution();
});

const kinds = (): string[] => world.executions.events.map(({ kind }) => kind);
const lastDetail = (): Record<string, unknown> => JSON.parse(world.executions.events.at(-1)?.detail ?? "null");
const FULL = { outcome: "failed", errorCode: "HTTP_503", durationMs: 1200n, summary: "It was down." } as const;

test("an outcome is recorded with its facts and an event", async () => {
  expect(await world.report(FULL)).toEqual({
    decisionId: DECISION,
    executionId: execution().executionId,
    outcome: "failed",
    endedAt: STORE_TIME,
    replayed: false,
  });
  const facts = { outcome: "failed", errorCode: "HTTP_503", durationMs: 1200, summary: "It was down." };
  expect(world.executions.execution?.end).toEqual({
    ...facts,
    endedAt: STORE_TIME,
    reportedBy: "key-1",
    resolvedBy: null,
    comment: null,
  });
  expect(world.executions.events).toMatchObject([
    { kind: "execution.ended", actor: `agent:${AGENT}`, subject: AGENT, decisionId: DECISION },
  ]);
  expect(lastDetail()).toEqual({ ...facts, executionId: execution().executionId, credentialId: "key-1" });
});

describe("a second report", () => {
  test("that says the same is harmless", async () => {
    await world.report(FULL);
    expect(await world.report(FULL)).toMatchObject({ outcome: "failed", endedAt: STORE_TIME, replayed: true });
    expect(kinds()).toEqual(["execution.ended"]);
  });

  test.each([
    [{ outcome: "succeeded" }],
    [{ outcome: "unknown" }],
    [{ errorCode: "HTTP_500" }],
    [{ errorCode: "" }],
    [{ durationMs: 1201n }],
    [{ durationMs: null }],
    [{ summary: "It was up." }],
    [{ summary: "" }],
  ] as const)("that differs by %o is refused and recorded, and changes nothing", async (change) => {
    await world.report(FULL);
    const { end } = world.executions.execution as { end: ExecutionEnd };
    await expect(world.report({ ...FULL, ...change })).rejects.toMatchObject({ code: "OUTCOME_CONTRADICTED" });
    expect(kinds()).toEqual(["execution.ended", "execution.report_refused"]);
    expect(lastDetail()).toMatchObject({ refusal: "OUTCOME_CONTRADICTED", recorded: "failed" });
    expect(world.executions.execution?.end).toEqual(end);
  });

  test("of what an operator has resolved may say the same outcome, with any facts, and no other", async () => {
    const resolved = {
      outcome: "failed",
      endedAt: 1,
      reportedBy: null,
      resolvedBy: "ann",
      comment: "I looked.",
    } as const;
    world.executions.execution = execution({ end: { ...resolved, errorCode: null, durationMs: null, summary: null } });
    expect(await world.report(FULL)).toMatchObject({ replayed: true, endedAt: 1 });
    await expect(world.report()).rejects.toMatchObject({ code: "OUTCOME_CONTRADICTED" });
  });

  test("that comes between the read and the write is held against what was recorded", async () => {
    world.executions.afterRead = async () => {
      world.executions.afterRead = null;
      await world.report(FULL);
    };
    expect(await world.report(FULL)).toMatchObject({ replayed: true });
    expect(kinds()).toEqual(["execution.ended"]);
  });
});

describe("a summary", () => {
  const SECRET = "The card 4111 was refused.";
  const digest = digestRedacted(keys, AGENT, JSON.stringify(SECRET));

  test("is a digest where the policy redacts something of the tool's payload, also in a refused report", async () => {
    world.policy.redaction = redacting("payload.card");
    await world.report({ summary: SECRET });
    expect(world.executions.execution?.end?.summary).toBe(digest);
    expect(await world.report({ summary: SECRET })).toMatchObject({ replayed: true });
    await expect(world.report({ summary: SECRET, outcome: "failed" })).rejects.toThrow(Fault);
    expect(JSON.stringify(world.executions.events)).not.toContain("4111");
  });

  test("is known again after the policy has begun, or ceased, to redact", async () => {
    await world.report({ summary: SECRET });
    world.policy.redaction = redacting("payload.card");
    expect(await world.report({ summary: SECRET })).toMatchObject({ replayed: true });
  });
});

describe("a report about an execution that the agent does not have is refused and recorded", () => {
  test.each([
    ["the decision was not started", null, {}],
    ["it is another agent's", execution({ agentId: "another" }), { executionOf: "another" }],
    ["it is another execution of the decision", execution({ executionId: OTHER_ID }), {}],
  ])("%s", async (_, stored, owner) => {
    world.executions.execution = stored;
    await expect(world.report()).rejects.toMatchObject({ code: "EXECUTION_UNKNOWN", status: "not_found" });
    expect(world.refusals[0]?.message).not.toContain("another");
    expect(kinds()).toEqual(["execution.report_refused"]);
    expect(lastDetail()).toEqual({
      refusal: "EXECUTION_UNKNOWN",
      executionId: execution().executionId,
      credentialId: "key-1",
      ...owner,
    });
    expect(world.executions.execution?.end ?? null).toBeNull();
  });
});

describe("who may report", () => {
  test("a frozen agent", async () => {
    world.agents.state = "frozen";
    expect(await world.report()).toMatchObject({ outcome: "succeeded" });
  });

  test("everybody, while the service is in recovery", async () => {
    world.recovery.from = 1;
    expect(await world.report()).toMatchObject({ outcome: "succeeded" });
  });

  test("nobody without a credential", async () => {
    await expect(world.report({}, { authorization: undefined })).rejects.toMatchObject({ code: "CREDENTIAL_MISSING" });
    expect(kinds()).toEqual([]);
  });
});

test("a report that is not recorded is not answered, and one that was is found by the next", async () => {
  world.executions.failure = { error: new Outage("down"), persists: false };
  await expect(world.report()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  world.executions.failure = { error: new Fault("COMMIT_UNKNOWN", "?"), persists: true };
  await expect(world.report()).rejects.toMatchObject({ code: "COMMIT_UNKNOWN" });
  expect(await world.report()).toMatchObject({ replayed: true });
  expect(kinds()).toEqual(["execution.ended"]);
});

test("a report is unavailable where what was recorded before cannot be read", async () => {
  world.executions.ends.record = async () => null;
  await expect(world.report()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
});

test.each([
  [{ decisionId: "x" }, "decision_id"],
  [{ executionId: "" }, "execution_id"],
  [{ outcome: null }, "outcome"],
  [{ errorCode: "x".repeat(129) }, "error_code"],
  [{ errorCode: "é".repeat(65) }, "error_code"],
  [{ errorCode: "a\nb" }, "error_code"],
  [{ errorCode: "\ud800" }, "error_code"],
  [{ summary: "x".repeat(1025) }, "summary"],
  [{ summary: "a\0b" }, "summary"],
  [{ summary: "\udc00" }, "summary"],
  [{ durationMs: -1n }, "duration_ms"],
  [{ durationMs: 2n ** 53n }, "duration_ms"],
])("a report with %o is refused, and nothing is recorded", async (change, field) => {
  await expect(world.report(change)).rejects.toMatchObject({ code: "FIELD_INVALID", field });
  expect(kinds()).toEqual([]);
});

test("the largest report is taken", async () => {
  const largest = { errorCode: "é".repeat(64), summary: `${"é".repeat(511)}\n!`, durationMs: 2n ** 53n - 1n };
  expect(await world.report(largest)).toMatchObject({ replayed: false });
});
