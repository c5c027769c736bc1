import { expect, test } from "vitest";
import { inspectFiles } from "../../src/policy/bundle.ts";
import { tryPolicy } from "../../src/policy/rule-view.ts";

test("a trial judges the real values and shows none that is redacted", () => {
  const text = `
redact: [{ tools: [pay], paths: [payload.card, payload.pin] }]
rules:
  - { id: a, tools: [pay], effect: allow, when: payload.pin == "hunter2" && payload.card.number == "hunter3" && payload.amount > 1 }`;
  const { bundle } = inspectFiles([{ name: "pay.yaml", text }]);
  if (bundle === null) throw new Error("the rules are refused");
  const payload = { pin: "hunter2", card: { number: "hunter3" }, amount: 2 };
  const trial = tryPolicy(bundle, { agentId: "a", tool: "pay", payload });
  expect(trial.judgement.decision).toBe("allow");
  expect(trial.findings[0]?.values).toEqual([
    { path: "payload.pin", value: '{"$redacted":"not shown"}' },
    { path: "payload.card", value: '{"$redacted":"not shown"}' },
    { path: "payload.card.number", value: '{"$redacted":"not shown"}' },
    { path: "payload.amount", value: "2" },
  ]);
});
