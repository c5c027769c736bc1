import type { JsonObject, JsonValue } from "../../src/core/json.ts";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Judgement } from "../../src/core/decision.ts";
import { Engine } from "../../src/policy/engine.ts";
import type { Effect, Rule } from "../../src/policy/rule.ts";
import { readRules } from "./support.ts";

function rulesOf(yaml: string): readonly Rule[] {
  const { rules, problems } = readRules("p.yaml", `rules:\n${yaml}`);
  expect(problems).toEqual([]);
  return rules;
}

function judge(yaml: string, payload: JsonObject = {}, agentId = "a"): Judgement {
  return new Engine(rulesOf(yaml)).judge({ agentId, tool: "shop.buy", payload });
}

const WHEN = { true: "true", false: "false", error: "payload.absent" } as const;
type Outcome = keyof typeof WHEN;

function rule(id: string, effect: Effect, outcome: Outcome, tool = "shop.buy", agents = "*"): string {
  return `  - {id: ${id}, tools: ["${tool}"], agents: ["${agents}"], effect: ${effect}, when: "${WHEN[outcome]}"}\n`;
}

/** What the rules' outcomes come to by the words of the documentation, written down a second time. */
function expected(rules: readonly { effect: Effect; outcome: Outcome }[]): string {
  const has = (effect: Effect, outcome: Outcome): boolean => {
    return rules.some((each) => each.effect === effect && each.outcome === outcome);
  };
  if (has("deny", "true")) return "RULE_DENIED";
  if (has("deny", "error") || has("needs_review", "error")) return "RULE_ERROR";
  if (has("needs_review", "true")) return "REVIEW_PENDING";
  return has("allow", "true") ? "RULE_ALLOWED" : "NO_MATCHING_RULE";
}

describe("a judgement", () => {
  it("is NO_MATCHING_RULE where no rule is about the tool", () => {
    expect(judge(rule("x", "allow", "true", "other.tool"))).toEqual({
      decision: "deny",
      reason: "NO_MATCHING_RULE",
      message: "No rule allows this call.",
      ruleId: null,
    });
  });

  it("puts deny before review before allow, and what cannot be decided on the side of deny", () => {
    const effect = fc.constantFrom<Effect>("allow", "deny", "needs_review");
    const outcome = fc.constantFrom<Outcome>("true", "false", "error");
    const tool = fc.constantFrom("shop.buy", "shop.*", "*");
    fc.assert(
      fc.property(fc.array(fc.record({ effect, outcome, tool }), { minLength: 1, maxLength: 6 }), (rules) => {
        const others = rule("other-tool", "deny", "true", "shop") + rule("other-agent", "deny", "true", "*", "b*");
        const yaml = rules.map((each, i) => rule(`r${i}`, each.effect, each.outcome, each.tool)).join("");
        expect(judge(yaml + others).reason).toBe(expected(rules));
      }),
      { numRuns: 500 },
    );
  });

  it("names the rule and its description, and nothing of the payload", () => {
    const yaml = `  - {id: r, tools: [shop.buy], effect: deny, description: Not today., when: payload.secret > 1}\n`;
    expect(judge(yaml, { secret: 2 })).toMatchObject({ message: 'Rule "r" denies this call: Not today.', ruleId: "r" });
    const { reason, message, ruleId } = judge(yaml, { secret: "hunter2" });
    expect([reason, ruleId]).toEqual(["RULE_ERROR", "r"]);
    expect(message).toBe(
      'Rule "r" (Not today.) could not be decided: payload.secret: a string has no order with a double. A deny rule that cannot be decided denies.',
    );
  });

  it("names the rule without its description where the rule hides that", () => {
    const yaml = `  - {id: r, tools: [shop.buy], effect: deny, description: Not today., hide_description: true, when: payload.secret > 1}\n`;
    expect(judge(yaml, { secret: 2 }).message).toBe('Rule "r" denies this call.');
    expect(judge(yaml, {}).message).toMatch(/^Rule "r" could not be decided/);
    expect(judge(yaml.replace("true", "false"), { secret: 2 }).message).toContain("Not today.");
  });

  it("says of an allow rule that could not be decided why it did not allow", () => {
    expect(judge(rule("r", "allow", "error"))).toMatchObject({
      reason: "NO_MATCHING_RULE",
      message: 'No rule allows this call. Rule "r" could not be decided: payload.absent is absent.',
      ruleId: null,
    });
  });

  it("looks at no rule about other tools or other agents", () => {
    const looked: string[] = [];
    const watched = rulesOf(
      [
        ...Array.from({ length: 500 }, (_, i) => rule(`o${i}`, "deny", "true", `other${i}.*`)),
        rule("other-agent", "deny", "true", "shop.buy", "b"),
        rule("mine", "allow", "true"),
      ].join(""),
    ).map((each) => ({
      ...each,
      condition: { ...each.condition, test: () => looked.push(each.id) > 0 },
    }));
    expect(new Engine(watched).judge({ agentId: "a", tool: "shop.buy", payload: {} }).reason).toBe("RULE_ALLOWED");
    expect(looked).toEqual(["mine"]);
  });

  it("is a denial where a condition throws, or comes to something else than true and false", () => {
    const rules = rulesOf(rule("ok", "allow", "true") + rule("no", "deny", "false"));
    const judgeWith = (test: () => unknown): Judgement => {
      // As a mistake in the compiler would make it.
      const broken = rules.map((each) =>
        each.id === "no" ? { ...each, condition: { ...each.condition, test } } : each,
      );
      return Reflect.construct(Engine, [broken]).judge({ agentId: "a", tool: "shop.buy", payload: {} });
    };
    expect(judgeWith(() => false).reason).toBe("RULE_ALLOWED");
    for (const value of ["yes", 1, 0, {}, [], null, undefined, new Error("truthy")]) {
      expect(judgeWith(() => value)).toMatchObject({ reason: "RULE_ERROR", ruleId: "no" });
    }
    const throwing = judgeWith(() => {
      throw new RangeError("too deep");
    });
    expect(throwing).toMatchObject({ reason: "RULE_ERROR", ruleId: "no" });
  });
});

describe("a deny rule", () => {
  const wrong: readonly JsonValue[] = [
    "yes",
    "",
    "true",
    1,
    0,
    1.5,
    null,
    [],
    ["x"],
    [true],
    {},
    { a: 1 },
    true,
    false,
  ];
  const conditions: readonly (readonly [string, readonly JsonValue[]])[] = [
    ["payload.v", [false]],
    ["!payload.v", [true]],
    ["payload.v == true", [false]],
    ["payload.v != false", [false]],
    ["payload.v > 100", [1, 0, 1.5]],
    ["payload.v >= 100.0 || payload.v < -1.0", [1, 0, 1.5]],
    ['payload.v == "blocked"', ["yes", "", "true"]],
    ['payload.v in ["blocked", "banned"]', ["yes", "", "true"]],
    ['"blocked" in payload.v', [[], ["x"]]],
    ['payload.v.exists(x, x == "blocked")', [[], ["x"]]],
    ['!payload.v.all(x, x == "x")', [[], ["x"]]],
    ['payload.v.startsWith("block")', ["yes", "", "true"]],
    ['payload.v.matches("^block")', ["yes", "", "true"]],
    ["payload.v.a == 2", [{ a: 1 }]],
    ["payload.v[0] == 2", []],
    ["payload.v * 2.0 > 100", [1, 0, 1.5]],
    ["payload.v == 100", [1, 0, 1.5]],
    ["payload.v ? true : false", [false]],
    ["payload.v && true", [false]],
    ["payload.v || false", [false]],
  ];

  it.each(conditions)("does not lapse for a value of another kind: %s", (when, lapses) => {
    const engine = new Engine(
      rulesOf(`  - {id: no, tools: [t], effect: deny, when: '${when}'}\n${rule("ok", "allow", "true", "t")}`),
    );
    for (const v of wrong) {
      const { decision } = engine.judge({ agentId: "a", tool: "t", payload: { v } });
      const clear = lapses.some((value) => JSON.stringify(value) === JSON.stringify(v));
      expect([when, v, decision]).toEqual([when, v, clear ? "allow" : "deny"]);
    }
    expect(engine.judge({ agentId: "a", tool: "t", payload: {} }).decision).toBe("deny");
  });

  it("turns what any payload makes of any condition into a judgement, and never throws", () => {
    const engine = new Engine(
      rulesOf(
        conditions.map(([when], i) => `  - {id: r${i}, tools: [t${i}], effect: deny, when: '${when}'}\n`).join(""),
      ),
    );
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(conditions.length - 1), (json, i) => {
        const payload: JsonObject = JSON.parse(JSON.stringify({ v: json }));
        expect(engine.judge({ agentId: "a", tool: `t${i}`, payload }).decision).toBe("deny");
      }),
    );
  });
});

describe("the terms of a review", () => {
  it("satisfy every rule that asks for one; the answer names the first", async () => {
    const review = (id: string, terms: string, when = "true"): string =>
      `  - {id: ${id}, tools: [shop.buy], effect: needs_review, when: "${when}"${terms === "" ? "" : `, review: ${terms}`}}\n`;
    const rules = [
      review("first", "{approval_for: 2h, expires_after: 7d}"),
      review("strict", "{approvers: 2, approval_for: 30m}"),
      review("not-asked", "{approvers: 9}", "false"),
    ];
    const { ruleId, review: terms } = judge(rules.join(""));
    expect(ruleId).toBe("first");
    const HOUR = 3_600_000_000;
    expect(terms).toEqual({ approvers: 2, approvalMicros: HOUR / 2, expiryMicros: 24 * HOUR });
    expect(judge(review("plain", "")).review).toEqual({ approvers: 1, approvalMicros: HOUR, expiryMicros: 24 * HOUR });
    expect(judge(rule("x", "allow", "true")).review).toBeUndefined();
  });
});
