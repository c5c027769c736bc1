import { describe, expect, it } from "vitest";
import { lintRules } from "../../src/policy/lint/lint.ts";
import { readRuleFiles } from "../../src/policy/rule.ts";
import { formatProblem } from "../../src/policy/yaml.ts";
import { readRules } from "./support.ts";

function problems(text: string): readonly string[] {
  return readRules("p.yaml", text).problems.map(formatProblem);
}

const RULE = "id: a, tools: [t], effect: allow";

describe("a file of rules", () => {
  it("is read with its defaults", () => {
    const { rules } = readRules(
      "p.yaml",
      `# a comment
rules:
  - id: refund-small
    description: >
      Small refunds
      need no review.
    tools: [stripe.refund, "stripe.fees.*", "*"]
    agents: ["billing-*", demo]
    effect: needs_review
    when: payload.amount <= 100
  - { ${RULE} }
`,
    );
    expect(rules).toMatchObject([
      {
        id: "refund-small",
        description: "Small refunds\nneed no review.".replace("\n", " "),
        tools: ["stripe.refund", "stripe.fees.*", "*"],
        agents: ["billing-*", "demo"],
        effect: "needs_review",
        condition: { source: "payload.amount <= 100" },
        line: 3,
      },
      { id: "a", description: null, agents: ["*"], condition: { source: "true" }, line: 11 },
    ]);
  });

  it.each([
    ["", "p.yaml:1:1: a policy file is empty; write a mapping with rules, constants, redact"],
    ["[]", "p.yaml:1:1: a policy file is an empty list; write a mapping with rules, constants, redact"],
    ["{}", "p.yaml:1:1: the file has no rules; write rules: (or constants: or redact:)"],
    ["rules:", "p.yaml:1:7: rules is empty; write a list with at least one element"],
    ["rules: []", "p.yaml:1:8: rules is an empty list; write a list with at least one element"],
    [
      "rules: [x]",
      'p.yaml:1:9: a rule is "x"; write a mapping with id, tools, agents, except_agents, effect, when, description, review',
    ],
    ["rule: []", 'p.yaml:1:1: unknown key "rule"; a policy file has rules, constants, redact'],
    [
      `rules: [{${RULE}, unless: x}]`,
      'p.yaml:1:44: unknown key "unless"; a rule has id, tools, agents, except_agents, effect, when',
    ],
    ["rules: [{tools: [t], effect: allow}]", "p.yaml:1:9: id is missing; write id: with"],
    ["rules: [{id: a, effect: allow}]", "p.yaml:1:9: tools is missing; write tools: with a list"],
    ["rules: [{id: a, tools: [t]}]", "p.yaml:1:9: effect is missing; write effect: with allow, deny, needs_review"],
    ["rules: [{id: 7, tools: [t], effect: allow}]", "p.yaml:1:14: id is 7; write a text, in quotes"],
    ["rules: [{id: a b, tools: [t], effect: allow}]", 'p.yaml:1:14: id "a b"; write letters, digits'],
    [
      "rules: [{id: a, tools: [t], effect: permit}]",
      'p.yaml:1:37: unknown effect "permit"; write allow, deny, needs_review',
    ],
    ["rules: [{id: a, tools: [t], effect: Allow}]", 'p.yaml:1:37: unknown effect "Allow"'],
    ["rules: [{id: a, tools: t, effect: allow}]", 'p.yaml:1:24: tools is "t"; write a list'],
    ["rules: [{id: a, tools: [], effect: allow}]", "p.yaml:1:24: tools is an empty list"],
    ["rules: [{id: a, tools: ['*get'], effect: allow}]", 'p.yaml:1:25: tool pattern "*get": one "*" stands alone'],
    ["rules: [{id: a, tools: ['gmail*'], effect: allow}]", 'p.yaml:1:25: tool pattern "gmail*"'],
    ["rules: [{id: a, tools: ['a b'], effect: allow}]", 'p.yaml:1:25: tool pattern "a b"; write a name without spaces'],
    [`rules: [{${RULE}, agents: [Billing]}]`, 'p.yaml:1:53: agent pattern "Billing"; write lower-case letters'],
    [`rules: [{${RULE}, agents: ["*-x"]}]`, 'p.yaml:1:53: agent pattern "*-x"'],
    [`rules: [{${RULE}, when: 1}]`, "p.yaml:1:50: when is 1; write a text"],
    [`rules: [{${RULE}, when: }]`, "when is empty; write a text"],
    [`rules: [{${RULE}, hide_description: yes}]`, "hide_description is no bool; write true or false"],
    [`rules: [{${RULE}, hide_description: }]`, "hide_description is no bool; write true or false"],
    ["rules: []\n---\nrules: []", "p.yaml:2:1: a second document begins here; write it into a file of its own"],
    [`rules: ${"[".repeat(50_000)}`, "this is nested too deeply; write it flatter"],
    [`rules: [{${RULE}, id: b}]`, "p.yaml:1:44: this key occurs twice in one mapping; keep one"],
    [`rules: [{${RULE}}, *x]`, "p.yaml:1:45: a rule is the alias *x"],
    [
      `rules: [{id: a, tools: &t [t], effect: allow}, {id: b, tools: *t, effect: allow}]`,
      "anchors and aliases are refused",
    ],
    ["rules: [", "p.yaml:1:9: "],
    ["redact: []", "p.yaml:1:9: redact is an empty list; write a list with at least one element"],
    ["redact: [x]", 'p.yaml:1:10: an element of redact is "x"; write a mapping with tools, paths'],
    ["redact: [{paths: [payload.x]}]", "p.yaml:1:10: tools is missing; write tools: with a list"],
    ["redact: [{tools: [t]}]", "p.yaml:1:10: paths is missing; write paths: with a list"],
    [
      "redact: [{tools: [t], path: [payload.x]}]",
      'p.yaml:1:23: unknown key "path"; an element of redact has tools, paths',
    ],
    ["redact: [{tools: ['*x'], paths: [payload.x]}]", 'p.yaml:1:19: tool pattern "*x"'],
    ["redact: [{tools: [t], paths: payload.x}]", 'p.yaml:1:30: paths is "payload.x"; write a list'],
    ["redact: [{tools: [t], paths: [1]}]", "p.yaml:1:31: an element of paths is 1; write a text"],
    [
      "redact: [{tools: [t], paths: [card.number]}]",
      'p.yaml:1:31: path "card.number"; write one that begins with payload',
    ],
    ["redact: [{tools: [t], paths: [payload.a-b]}]", 'p.yaml:1:40: the path is not understood from "-b" on'],
    ["redact: [{tools: [t], paths: ['payload.a[0].b']}]", 'p.yaml:1:41: "[0].b": elements need no step'],
    [`rules: [{${RULE}}]\n---\nrules: []`, "p.yaml:2:1: "],
  ])("is refused: %j", (text, problem) => {
    expect(problems(text).join("\n")).toContain(problem);
  });

  it("is refused with every problem at once", () => {
    const found = problems(`rules:
  - id: one
    tools: ["*x"]
    effect: maybe
    when: paylod.x == 1 && payload.y * 2 > 1.0
  - tools: [t]
    effekt: allow
`);
    expect(found).toEqual([
      expect.stringMatching(/^p\.yaml:3:13: tool pattern "\*x"/),
      expect.stringMatching(/^p\.yaml:4:13: unknown effect "maybe"/),
      expect.stringMatching(/^p\.yaml:5:11: unknown variable paylod/),
      expect.stringMatching(/^p\.yaml:5:38: \* does not mix/),
      expect.stringMatching(/^p\.yaml:7:5: unknown key "effekt"/),
      expect.stringMatching(/^p\.yaml:6:5: id is missing/),
      expect.stringMatching(/^p\.yaml:6:5: effect is missing/),
    ]);
  });

  it.each([
    ["plain", "    when: tool == tool && nope", 26, 0],
    ["double quotes", '    when: "tool == tool && nope"', 27, 0],
    ["single quotes", "    when: 'tool == tool && nope'", 27, 0],
    ["over lines", "    when: tool == tool\n      && nope", 9, 1],
    ["literal", "    when: |\n      tool == tool\n        && nope", 11, 2],
    ["literal, stripped", "    when: |-\n      tool == tool &&\n\n      nope", 6, 3],
    ["folded", "    when: >\n      tool == tool\n      && nope", 9, 2],
  ])("places an error within a condition written in style %s", (_style, when, column, line) => {
    const [problem, ...others] = readRules(
      "p.yaml",
      `rules:\n  - id: a\n    tools: [t]\n    effect: allow\n${when}\n`,
    ).problems;
    expect(problem).toMatchObject({
      line: 5 + line,
      column: column + 1,
      message: expect.stringContaining("unknown variable nope"),
    });
    expect(others).toEqual([]);
  });
});

function warnings(effect: string, when: string): readonly string[] {
  const text = `rules:\n  - {id: a, tools: [t], effect: ${effect}, when: '${when}'}\n`;
  const read = readRuleFiles([{ path: "p.yaml", text }]);
  expect(read.problems).toEqual([]);
  return lintRules(read, []).map(({ column, message }) => `${column}: ${/reads (\S+)/.exec(message)?.[1] ?? message}`);
}

describe("the warning about has()", () => {
  it.each(["deny", "needs_review"])("stands at each unguarded field of a rule that is to %s", (effect) => {
    const start = `  - {id: a, tools: [t], effect: ${effect}, when: '`.length;
    expect(warnings(effect, 'payload.a == 1 || payload.b.c == "x" || payload["d"] == 1')).toEqual([
      `${start + 8}: payload.a`,
      `${start + 26}: payload.b`,
      expect.stringContaining("payload.d"),
    ]);
  });

  it.each([
    ["allow", "payload.a == 1"],
    ["deny", "has(payload.a) && payload.a == 1"],
    ["deny", "!has(payload.a) || payload.a > 1"],
    ["deny", "has(payload.a) && has(payload.a.b) && payload.a.b == 1"],
    ["deny", 'tool == "t"'],
  ])("is silent: %s %s", (effect, when) => {
    expect(warnings(effect, when)).toEqual([]);
  });

  it("names the part of a path that is unguarded", () => {
    expect(warnings("deny", "has(payload.a.b) && payload.a.b == 1")).toEqual([expect.stringContaining("payload.a")]);
  });
});

describe("the terms of a review", () => {
  const REVIEW = "id: a, tools: [t], effect: needs_review";
  const terms = (review: string): unknown =>
    readRules("p.yaml", `rules: [{${REVIEW}, review: ${review}}]`).rules[0]?.review;
  const SECOND = 1_000_000;

  it("are read, and what they leave out is the default", () => {
    expect(terms("{approvers: 2, approval_for: 30m, expires_after: 7d}")).toEqual({
      approvers: 2,
      approvalMicros: 1800 * SECOND,
      expiryMicros: 7 * 86_400 * SECOND,
    });
    expect(terms("{approvers: 3}")).toEqual({
      approvers: 3,
      approvalMicros: 3600 * SECOND,
      expiryMicros: 86_400 * SECOND,
    });
    expect(readRules("p.yaml", `rules: [{${REVIEW}}]`).rules[0]?.review).toBeNull();
  });

  it.each([
    ["{}", null],
    ["[]", "p.yaml:1:59: review is an empty list; write a mapping with approvers, approval_for, expires_after"],
    ["2", "p.yaml:1:59: review is 2; write a mapping"],
    ["{approver: 2}", 'p.yaml:1:60: unknown key "approver"; review has approvers, approval_for, expires_after'],
    ["{approvers: 0}", "p.yaml:1:71: approvers is 0; write a whole number from 1 to 10"],
    ["{approvers: 11}", "p.yaml:1:71: approvers is 11;"],
    ["{approvers: 1.5}", "p.yaml:1:71: approvers is 1.5;"],
    ['{approvers: "2"}', 'p.yaml:1:71: approvers is "2";'],
    ["{approvers: }", "p.yaml:1:71: approvers is empty;"],
    ["{approval_for: 3600}", "p.yaml:1:74: approval_for is 3600; write a time such as 90s, 30m, 4h or 1d, at most 7d"],
    ["{approval_for: 8d}", 'p.yaml:1:74: approval_for is "8d";'],
    ["{approval_for: 0s}", 'p.yaml:1:74: approval_for is "0s";'],
    ["{expires_after: 1w}", 'p.yaml:1:75: expires_after is "1w"; write a time such as 90s, 30m, 4h or 1d, at most 30d'],
    ["{expires_after: 31d}", 'p.yaml:1:75: expires_after is "31d";'],
    ["{expires_after: -1h}", 'p.yaml:1:75: expires_after is "-1h";'],
  ])("%s", (review, problem) => {
    const found = problems(`rules: [{${REVIEW}, review: ${review}}]`);
    if (problem === null) expect(found).toEqual([]);
    else expect(found[0]).toContain(problem);
  });

  it("stand in rules that need a review alone", () => {
    expect(problems(`rules: [{${RULE}, review: {approvers: 2}}]`)).toEqual([
      "p.yaml:1:44: review is set in a rule with effect allow; write it only in needs_review rules",
    ]);
  });
});

describe("the time to report an execution", () => {
  const SECOND = 1_000_000;
  const ofRule = (line: string) => readRules("p.yaml", `rules: [{${line}}]`).rules[0]?.executionMicros;

  it("is the rule's, also where people decide, and the service's where the rule says none", () => {
    expect(ofRule(`${RULE}, execution_timeout: 1s`)).toBe(SECOND);
    expect(ofRule(`${RULE}, execution_timeout: 30d`)).toBe(30 * 86_400 * SECOND);
    expect(ofRule("id: a, tools: [t], effect: needs_review, execution_timeout: 4h")).toBe(4 * 3600 * SECOND);
    expect(ofRule(RULE)).toBeNull();
  });

  it.each([
    ["0", "execution_timeout is 0; write a time such as 90s, 30m, 4h or 1d, at most 30d"],
    ["0s", 'execution_timeout is "0s"; write a time'],
    ["-1h", 'execution_timeout is "-1h"; write a time'],
    ["31d", 'execution_timeout is "31d"; write a time'],
    ["9999999d", 'execution_timeout is "9999999d"; write a time'],
    ["99999999s", 'execution_timeout is "99999999s"; write a time'],
    ["900", "execution_timeout is 900; write a time"],
    ["1.5h", 'execution_timeout is "1.5h"; write a time'],
    ["", "execution_timeout is empty; write a time"],
    ["[4h]", "execution_timeout is a list; write a time"],
  ])("is refused as %s", (text, problem) => {
    expect(problems(`rules: [{${RULE}, execution_timeout: ${text}}]`)).toEqual([expect.stringContaining(problem)]);
  });

  it("stands in no rule that denies", () => {
    expect(problems("rules: [{id: a, tools: [t], effect: deny, execution_timeout: 4h}]")).toEqual([
      "p.yaml:1:43: execution_timeout stands in a rule with effect deny, which lets nothing run; leave it out",
    ]);
  });
});
