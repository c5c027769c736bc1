import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ToolIndex } from "../../../src/policy/pattern.ts";
import { coversAgent, mayOverlap } from "../../../src/policy/lint/pattern-cover.ts";
import { lint } from "./support.ts";

interface Sketch {
  readonly effect: string;
  readonly tools?: string;
  readonly agents?: string;
  readonly except?: string;
  readonly when?: string;
  readonly review?: string;
}

function covered(...sketches: Sketch[]): readonly string[] {
  const rules = sketches.map(({ effect, tools = "[shop.buy]", agents = '["*"]', except, when, review }, i) =>
    [
      `  - {id: r${i}, effect: ${effect}, tools: ${tools}, agents: ${agents}`,
      ...(except === undefined ? [] : [`except_agents: ${except}`]),
      ...(when === undefined ? [] : [`when: '${when}'`]),
      ...(review === undefined ? [] : [`review: ${review}`]),
    ]
      .join(", ")
      .concat("}"),
  );
  return lint(`rules:\n${rules.join("\n")}\n`)
    .filter((finding) => !finding.includes("without has()"))
    .map((finding) =>
      finding
        .replace(
          /^warning (\d+):\d+: rule (\w+) .*?(changes nothing|never decides|denies every call)(: rule (\w+))?.*$/s,
          "$2 $3 $5",
        )
        .trim(),
    );
}

const WHEN = { when: "has(payload.a) && payload.a == 1" };

describe("a rule that others cover", () => {
  it("never decides under a stricter one without a condition", () => {
    expect(covered({ effect: "allow", ...WHEN }, { effect: "deny" })).toEqual(["r0 never decides r1"]);
    expect(covered({ effect: "deny", tools: '["shop.*"]' }, { effect: "needs_review" })).toEqual([
      "r1 never decides r0",
    ]);
    expect(covered({ effect: "allow" }, { effect: "needs_review", tools: '["*.buy"]' })).toEqual([
      "r0 never decides r1",
    ]);
    expect(covered({ effect: "allow" }, { effect: "deny", when: "true" })).toEqual(["r0 never decides r1"]);
  });

  it("changes nothing under an allow without a condition, or behind a rule of the same effect and tool", () => {
    expect(covered({ effect: "allow", ...WHEN }, { effect: "allow", tools: '["shop.*"]' })).toEqual([
      "r0 changes nothing r1",
    ]);
    expect(covered({ effect: "allow" }, { effect: "allow", ...WHEN })).toEqual(["r1 changes nothing r0"]);
    expect(covered({ effect: "deny" }, { effect: "deny" })).toEqual(["r1 changes nothing r0"]);
  });

  it("may be covered by several, one for each tool", () => {
    const both = { effect: "allow", tools: "[shop.buy, bank.pay]" };
    expect(covered(both, { effect: "deny" }, { effect: "deny", tools: '["bank.*"]' })).toEqual(["r0 never decides r2"]);
    expect(covered(both, { effect: "deny" })).toEqual([]);
  });

  it.each<[string, Sketch, Sketch]>([
    ["the stricter one has a condition", { effect: "allow" }, { effect: "deny", ...WHEN }],
    ["it is about fewer agents", { effect: "allow" }, { effect: "deny", agents: '["ci-*"]' }],
    ["it leaves agents out", { effect: "allow" }, { effect: "deny", except: "[boss]" }],
    ["it is about fewer tools", { effect: "allow", tools: '["shop.*"]' }, { effect: "deny" }],
    ["it is more lenient", { effect: "deny", ...WHEN }, { effect: "allow" }],
    ["a deny names its tool more closely", { effect: "deny", ...WHEN }, { effect: "deny", tools: '["shop.*"]' }],
    ["a review has terms of its own", { effect: "needs_review" }, { effect: "needs_review", review: "{approvers: 2}" }],
  ])("is left alone where %s", (_, first, second) => {
    expect(covered(first, second)).toEqual([]);
  });

  it("is left alone where the other leaves out the same agents alone", () => {
    const first = { effect: "allow", except: '["ci-*", boss]' };
    expect(covered(first, { effect: "deny", except: "[ci-1]" })).toEqual(["r0 never decides r1"]);
  });

  it("is one warning at a rule that denies every call, so that it can be used in an emergency", () => {
    expect(covered({ effect: "allow" }, { effect: "deny", ...WHEN }, { effect: "deny", tools: '["*"]' })).toEqual([
      "r2 denies every call",
    ]);
  });

  it("is found among many rules without comparing all with all", () => {
    const many = Array.from({ length: 3_000 }, (_, i) => ({ effect: "deny", tools: `[t${i}.x, "t${i}.*"]` }));
    expect(covered(...many, { effect: "allow", tools: "[t2999.x]" })).toEqual(["r3000 never decides r2999"]);
  });
});

const segment = fc.constantFrom("a", "b", "ab");
const tool = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("."));
const pattern = fc.oneof(
  tool,
  tool.map((each) => `${each}.*`),
  tool.map((each) => `*.${each}`),
  fc.tuple(tool, tool).map(([first, last]) => `${first}.*.${last}`),
  fc.constant("*"),
);

function matches(each: string, name: string): boolean {
  const index = new ToolIndex<true>();
  index.at(each, () => true);
  return index.lookup(name).length > 0;
}

describe("patterns", () => {
  it("of tools may overlap wherever one tool matches both", () => {
    fc.assert(
      fc.property(pattern, pattern, tool, (a, b, name) => {
        fc.pre(matches(a, name) && matches(b, name));
        expect([mayOverlap(a, b), mayOverlap(b, a)]).toEqual([true, true]);
      }),
    );
  });

  it.each([
    ["stripe.*", "gmail.*"],
    ["*.read", "*.write"],
    ["stripe.refund", "stripe.charge"],
    ["stripe.*.read", "stripe.refund"],
  ])("of tools do not overlap where they part: %s and %s", (a, b) => {
    expect([mayOverlap(a, b), mayOverlap(b, a)]).toEqual([false, false]);
  });

  it.each([
    ["*", "a-*", true],
    ["a-*", "a-b-*", true],
    ["a-*", "a-1", true],
    ["a-b-*", "a-*", false],
    ["a-1", "a-*", false],
    ["a-1", "a-1", true],
  ])("of agents: %s covers %s: %s", (wide, narrow, covers) => {
    expect(coversAgent(wide, narrow)).toBe(covers);
  });
});
