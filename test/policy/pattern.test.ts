import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { agentMatcher, agentPatternProblem, ToolIndex, toolPatternProblem } from "../../src/policy/pattern.ts";

const segment = fc.constantFrom("a", "b", "ab", "A", "__proto__", "constructor");
const toolName = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("."));
const toolPattern = fc.oneof(
  toolName,
  toolName.map((name) => `${name}.*`),
  toolName.map((name) => `*.${name}`),
  fc.tuple(toolName, toolName).map(([first, last]) => `${first}.*.${last}`),
  fc.constant("*"),
);

/** What a pattern matches, said a second time. */
function asRegExp(pattern: string): RegExp {
  return new RegExp(`^${pattern.replaceAll(".", "\\.").replace("*", ".*")}$`);
}

describe("tool patterns", () => {
  it("are found for the tools that they match, and no others", () => {
    fc.assert(
      fc.property(fc.uniqueArray(toolPattern), toolName, (patterns, tool) => {
        const index = new ToolIndex<string>();
        for (const pattern of patterns) index.at(pattern, () => pattern);
        const matches = patterns.filter((pattern) => asRegExp(pattern).test(tool));
        expect(index.lookup(tool).toSorted()).toEqual(matches.toSorted());
      }),
    );
  });

  it("are found from the narrow to the wide: a name, prefixes, suffixes, everything", () => {
    const index = new ToolIndex<string>();
    const ordered = ["a.b.read", "a.*.read", "a.*", "a.b.*", "*.b.read", "*.read", "*"];
    for (const pattern of ordered.toReversed()) index.at(pattern, () => pattern);
    expect(index.lookup("a.b.read")).toEqual(ordered);
  });

  it("let nothing stand for two dots that are one", () => {
    const index = new ToolIndex<string>();
    index.at("stripe.*.read", () => "infix");
    expect(index.lookup("stripe.read")).toEqual([]);
    expect(index.lookup("stripe.a.b.read")).toEqual(["infix"]);
  });

  it.each(["gmail.send_email", "gmail.*", "a.b.*", "*.get", "a.*.b", "*", "läuft", "a/b:c"])("may be %s", (pattern) => {
    expect(toolPatternProblem(pattern)).toBe(null);
  });

  it.each(["gmail*", "*get", "a*.b", "a.*b", "a.*.b.*", "*.a.*", "**", ".*.*", "", "a b", ".*", "*.", "x".repeat(257)])(
    "may not be %j",
    (pattern) => {
      expect(toolPatternProblem(pattern)).not.toBe(null);
    },
  );
});

describe("agent patterns", () => {
  it.each([
    [["*"], "anyone", true],
    [["billing-1"], "billing-1", true],
    [["billing-1"], "billing-10", false],
    [["billing-*"], "billing-10", true],
    [["billing-*"], "billing", false],
    [["x", "bill*"], "billing", true],
    [["a.b"], "aXb", false],
  ])("%j matches %s: %s", (patterns, agent, matches) => {
    expect(agentMatcher(patterns, [])(agent)).toBe(matches);
  });

  it.each([
    [["*"], ["ci-*"], "ci-1", false],
    [["*"], ["ci-*"], "billing-1", true],
    [["billing-*"], ["billing-test", "x"], "billing-test", false],
    [["billing-*"], ["billing-test"], "billing-1", true],
    [["billing-1"], ["*"], "billing-1", false],
  ])("%j but %j match %s: %s", (patterns, except, agent, matches) => {
    expect(agentMatcher(patterns, except)(agent)).toBe(matches);
  });

  it.each(["*", "a", "billing-*", "a.b-c", "a".repeat(63)])("may be %s", (pattern) => {
    expect(agentPatternProblem(pattern)).toBe(null);
  });

  it.each(["", "A", "-a", "*a", "a*b", "a_b", "a".repeat(64), "**"])("may not be %j", (pattern) => {
    expect(agentPatternProblem(pattern)).not.toBe(null);
  });
});
