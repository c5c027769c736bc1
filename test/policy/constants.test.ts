import { describe, expect, it } from "vitest";
import { inspectFiles } from "../../src/policy/bundle.ts";
import { tryPolicy } from "../../src/policy/rule-view.ts";
import { formatProblem } from "../../src/policy/yaml.ts";
import { readRules } from "./support.ts";

const RULES = "rules: [{id: a, tools: [t], effect: allow, when: payload.to in constants.known}]\n";

function bundleOf(...texts: string[]) {
  const { bundle, problems } = inspectFiles(texts.map((text, i) => ({ name: `${i}.yaml`, text })));
  if (bundle === null) throw new Error(problems.map(formatProblem).join("\n"));
  return bundle;
}

function decide(when: string, constants: string, payload: object): string {
  const bundle = bundleOf(`constants: ${constants}\nrules: [{id: a, tools: [t], effect: allow, when: '${when}'}]`);
  return bundle.evaluate({ agentId: "x", tool: "t", payload: JSON.parse(JSON.stringify(payload)) }).decision;
}

describe("constants", () => {
  it("are shared by the rules of all files, before and behind the one that holds them", () => {
    const bundle = bundleOf(RULES, "constants: {known: [ann, bob]}", RULES.replace("id: a", "id: b"));
    expect(bundle.evaluate({ agentId: "x", tool: "t", payload: { to: "bob" } }).ruleId).toBe("a");
    expect(bundle.evaluate({ agentId: "x", tool: "t", payload: { to: "eve" } }).decision).toBe("deny");
  });

  it.each([
    ["payload.n <= constants.limit", "{limit: 100}", { n: 100 }, "allow"],
    ["payload.n * constants.rate <= 10.0", "{rate: 2}", { n: 5 }, "allow"],
    ["size(payload.to) <= constants.most", "{most: 2}", { to: ["a", "b", "c"] }, "deny"],
    ["payload.s.matches(constants.pattern)", '{pattern: "^a+$"}', { s: "aaa" }, "allow"],
    ["payload.on == constants.on", "{on: true}", { on: true }, "allow"],
    ["payload.n in constants.ports", "{ports: [80, 443]}", { n: 443 }, "allow"],
    ["payload.to.all(a, constants.ends.exists(e, a.endsWith(e)))", "{ends: [x, y]}", { to: ["ax", "by"] }, "allow"],
    ["payload.to.all(a, constants.ends.exists(e, a.endsWith(e)))", "{ends: [x, y]}", { to: ["ax", "bz"] }, "deny"],
    ["constants.ends[1] == payload.s", "{ends: [x, y]}", { s: "y" }, "allow"],
  ])("stand for their values: %s with %s", (when, constants, payload, decision) => {
    expect(decide(when, constants, payload)).toBe(decision);
  });

  it("are part of the version, and change no version of a bundle without any", () => {
    const values = ["[ann]", "[bob]", "[ann, bob]"];
    const versions = values.map((value) => bundleOf(RULES, `constants: {known: ${value}}`).version);
    expect(new Set(versions).size).toBe(values.length);
    expect(bundleOf("rules: [{id: ok, tools: [t], effect: allow}]").version).toBe(
      "sha256:7078d4b082ac7989a37ac654f40b0a69f6f36df7addbcbae4f875dda77f3c747",
    );
  });

  it("are shown with what a rule made of a request", () => {
    const bundle = bundleOf(RULES, "constants: {known: [ann, bob], other: 1}");
    const { findings } = tryPolicy(bundle, { agentId: "x", tool: "t", payload: { to: "eve" } });
    expect(findings[0]?.values).toEqual([
      { path: "payload.to", value: '"eve"' },
      { path: "constants.known", value: '["ann","bob"]' },
    ]);
  });

  it("may stand alone in a file, and twice in no bundle", () => {
    const { problems } = inspectFiles([
      { name: "a.yaml", text: "constants: {known: [x]}" },
      { name: "b.yaml", text: `constants:\n  known: [y]\n${RULES}` },
    ]);
    expect(problems.map(formatProblem)).toEqual([
      "b.yaml:2:3: constant known is already used at a.yaml:1; write another name",
    ]);
  });

  it.each([
    ["constants: {}", "1:12: constants is a mapping; write a mapping with at least one entry"],
    ["constants: [x]", "1:12: constants is a list; write a mapping"],
    ["constants: {a-b: 1}", '1:13: constant "a-b"; write a name of letters'],
    ["constants: {1: 1}", "1:13: constant 1; write a name"],
    ["constants: {a: }", "1:16: constant a is empty; write a text"],
    ["constants: {a: []}", "1:16: constant a is a list of 0; write 1 to 10000 elements"],
    ["constants: {a: {b: 1}}", "1:16: constant a is a mapping; write a text"],
    ["constants: {a: [[1]]}", "1:17: an element of constant a is a list"],
    ["constants: {a: .nan}", "1:16: constant a is .nan"],
    ["constants: {a: 9007199254740993}", "1:16: constant a is 9007199254740993; write a text, a number up to 2^53"],
    ["constants: {a: &x 1, b: *x}", "constant b is the alias *x"],
    ["constants: {a: 1, a: 2}", "this key occurs twice"],
  ])("are refused: %s", (text, problem) => {
    expect(readRules("p.yaml", text).problems.map(formatProblem).join("\n")).toContain(problem);
  });

  it.each([
    ["constants.nope == 1", "unknown constant nope; there are known"],
    ["constants == 1", "constants is not a value; write constants.name"],
    ["has(constants.known)", "constants is not a value"],
    ['constants["known"] == 1', "constants is not a value"],
    ["payload.to.all(constants, true)", "constants has a meaning already"],
    ["payload.n > constants.known", "has no order with"],
  ])("are refused in a condition: %s", (when, problem) => {
    const text = `constants: {known: [x]}\nrules: [{id: a, tools: [t], effect: allow, when: '${when}'}]`;
    expect(readRules("p.yaml", text).problems.map(formatProblem).join("\n")).toContain(problem);
  });
});

describe("except_agents", () => {
  const bundle = bundleOf(`rules:
  - {id: a, tools: [t], agents: ["billing-*"], except_agents: [billing-test, "billing-ci-*"], effect: allow}`);
  it.each([
    ["billing-1", "allow"],
    ["billing-test", "deny"],
    ["billing-ci-7", "deny"],
    ["sales-1", "deny"],
  ])("keeps a rule from them: %s", (agentId, decision) => {
    expect(bundle.evaluate({ agentId, tool: "t", payload: {} }).decision).toBe(decision);
  });

  it("is part of the version, and of how a rule is shown", () => {
    const others = bundleOf('rules:\n  - {id: a, tools: [t], agents: ["billing-*"], effect: allow}');
    expect(bundle.version).not.toBe(others.version);
    const { findings } = tryPolicy(bundle, { agentId: "billing-test", tool: "t", payload: {} });
    expect(findings).toMatchObject([
      { outcome: "other_agents", rule: { exceptAgents: ["billing-test", "billing-ci-*"] } },
    ]);
  });
});
