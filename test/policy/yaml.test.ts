import { describe, expect, it } from "vitest";
import { formatProblem, YamlFile } from "../../src/policy/yaml.ts";

const ADVICE =
  "; write the whole condition in single quotes, with each ' in it doubled, or in the lines below `when: >-`";

function problemsOf(text: string): string[] {
  return new YamlFile("f", text).problems.map(formatProblem);
}

describe("a condition without quotes that YAML reads as something else", () => {
  it.each([
    ["!has(payload.a)", 11, '"!has(payload.a)" is a tag in YAML, for it begins with "!"'],
    ["!has(payload.a) || payload.a > 1", 11, '"!has(payload.a)" is a tag in YAML, for it begins with "!"'],
    ['"a" == payload.b', 15, "Unexpected scalar at node end"],
    ['"payload.a == "x""', 26, "Unexpected scalar at node end"],
    ['["a"].exists(x, x == payload.b)', 16, "Unexpected scalar at node end"],
    ['payload.a == "x: y"', 11, "Nested mappings are not allowed in compact mappings"],
    ["payload.a ? payload.b : false", 11, "Nested mappings are not allowed in compact mappings"],
    ["@a", 11, "Plain value cannot start with reserved character @"],
    ["> 3", 13, "Not a YAML token: 3"],
  ])("is one problem that says to quote it: %s", (condition, column, what) => {
    expect(problemsOf(`rules:\n  - id: a\n    when: ${condition}\n    tools: [t]\n`)).toEqual([
      `f:3:${column}: ${what}${ADVICE}`,
    ]);
    expect(problemsOf(`rules: [{when: ${condition}, id: a}]`)[0]).toContain(ADVICE);
  });

  it("is none when it is written as the problem says", () => {
    expect(problemsOf(`when: '!has(payload.a) || payload.a == ''x: y'' '\n`)).toEqual([]);
    expect(problemsOf("when: >-\n  !has(payload.a) || payload.a == 'x: y'\n")).toEqual([]);
  });
});

describe("what is wrong elsewhere", () => {
  it("is said without advice on conditions", () => {
    expect(problemsOf("tests:\n  - name: !x y\n    when: a\n")).toEqual([
      'f:2:11: "!x" is a tag in YAML, for it begins with "!"; write it in quotes',
    ]);
    expect(problemsOf("{when: a, when: b}")).toEqual(["f:1:11: this key occurs twice in one mapping; keep one"]);
    expect(problemsOf("a: @b\nc: @d\n")).toHaveLength(2);
  });
});
