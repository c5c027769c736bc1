import { describe, expect, it } from "vitest";
import type { RuleTest } from "../../../src/policy/rule-test.ts";
import { amount } from "../../support/amount.ts";
import { lint, ruleTest } from "./support.ts";

/** Each condition in a rule of its own, for the tool `t` or the one that it begins with. */
function misses(conditions: readonly string[], tests: readonly RuleTest[] = []): readonly string[] {
  const rules = conditions.map((condition, i) => {
    const [, tool = "t", when] = /^(?:(\S+): )?(.*)$/.exec(condition) ?? [];
    return `  - {id: r${i}, effect: allow, tools: ["${tool}"], when: '${when}'}`;
  });
  return lint(`rules:\n${rules.join("\n")}\n`, tests)
    .filter((finding) => finding.includes("which no other rule or test"))
    .map((finding) =>
      finding.replace(/^warning (\d+):\d+: .* reads (\S+), which .*; (.+?) says? (\S+): .*$/s, "$2 → $4 ($3)"),
    );
}

describe("a field that one rule alone knows", () => {
  it("is taken for another that tests know", () => {
    const tests = [ruleTest("t", { amount: 5 })];
    expect(misses(["has(payload.amuont) && payload.amuont > 1.0"], tests)).toEqual([
      "payload.amuont → payload.amount (tests)",
    ]);
    expect(
      misses(
        ["payload.items.all(i, i.prize > 1.0) && size(payload.items) > 0"],
        [ruleTest("t", { items: [{ price: 1 }] })],
      ),
    ).toEqual(["payload.items.[].prize → payload.items.[].price (tests)"]);
    expect(misses(["payload.card.nunber == 1.0"], [ruleTest("t", { card: { number: 1 } })])).toEqual([
      "payload.card.nunber → payload.card.number (tests)",
    ]);
  });

  it("is taken for another that more rules know, or one before it", () => {
    expect(misses(["payload.amount > 1.0", "payload.amount > 2.0", "payload.amoun > 3.0"])).toEqual([
      "payload.amoun → payload.amount (rule r0)",
    ]);
    expect(misses(["payload.amoun > 3.0", "payload.amount > 1.0", "payload.amount > 2.0"])).toEqual([
      "payload.amoun → payload.amount (rule r1)",
    ]);
    expect(misses(["payload.amount > 1.0", "payload.amuont > 3.0"])).toEqual([
      "payload.amuont → payload.amount (rule r0)",
    ]);
  });

  it("is taken for another of the same rule, which asks has() about the wrong one", () => {
    expect(misses(["has(payload.amuont) && payload.amount > 5.0"])).toEqual([
      "payload.amuont → payload.amount (rule r0)",
    ]);
  });

  it("is taken for one that differs in case or joints alone", () => {
    expect(misses(["payload.userid == 1.0"], [ruleTest("t", { userId: 1 })])).toEqual([
      "payload.userid → payload.userId (tests)",
    ]);
    expect(misses(["payload.user_id == 1.0"], [ruleTest("t", { userId: 1 })])).toEqual([
      "payload.user_id → payload.userId (tests)",
    ]);
  });

  it("is named once for each rule", () => {
    expect(
      misses(["has(payload.amuont) && payload.amuont > 1.0 && payload.amuont < 5.0"], [ruleTest("t", { amount: 5 })]),
    ).toHaveLength(1);
  });

  it.each<[string, readonly string[], readonly RuleTest[]]>([
    ["tests know it, too", ["payload.form == 1.0"], [ruleTest("t", { form: 1, from: 1 })]],
    ["it is short", ["payload.cc == 1.0", "payload.bcc == 1.0"], []],
    ["it differs in a number", ["payload.line1 == 1.0"], [ruleTest("t", { line2: 1 })]],
    ["it is the plural, and only rules know the other", ["payload.items == []", "payload.item == 1.0"], []],
    ["the other is about other tools", ["payload.amuont > 1.0"], [ruleTest("u", { amount: 1 })]],
    ["the other rule is about other tools", ["a.x: payload.amuont > 1.0", "b.*: payload.amount > 1.0"], []],
    ["the other is a member of something else", ["payload.a.amuont > 1.0"], [ruleTest("t", { amount: 1 })]],
    ["they differ by more", ["payload.amnuot > 1.0"], [ruleTest("t", { amount: 1 })]],
  ])("is left alone where %s", (_, conditions, tests) => {
    expect(misses(conditions, tests)).toEqual([]);
  });

  it("is found by patterns of tools", () => {
    expect(misses(["*.refund: payload.amuont > 1.0"], [ruleTest("stripe.refund", { amount: 1 })])).toHaveLength(1);
  });

  it("is found among many fields without comparing all with all", () => {
    const many = Array.from(
      { length: amount(1000, 3000) },
      (_, i) => `payload.f${"x".repeat(i % 7)}_${i.toString(36)} == 1.0`,
    );
    expect(misses([...many, "payload.amuont > 1.0"], [ruleTest("t", { amount: 1 })])).toContain(
      "payload.amuont → payload.amount (tests)",
    );
  });
});
