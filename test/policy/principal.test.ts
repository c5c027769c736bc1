import { describe, expect, test } from "vitest";
import type { Bundle } from "../../src/policy/bundle.ts";
import { inspectFiles } from "../../src/policy/bundle.ts";
import { compileCondition } from "../../src/policy/condition.ts";
import { readRuleTests, runRuleTest } from "../../src/policy/rule-test.ts";
import { tryPolicy } from "../../src/policy/rule-view.ts";

function bundleOf(text: string): Bundle {
  const { bundle, problems } = inspectFiles([{ name: "p.yaml", text }]);
  if (bundle === null) throw new Error(JSON.stringify(problems));
  return bundle;
}

const rules = (...lines: string[]): string =>
  `rules:\n${lines.map((line, n) => `  - { id: r${n}, tools: [t], ${line} }\n`).join("")}`;
const judge = (bundle: Bundle, principal: string | null): string =>
  bundle.evaluate({ agentId: "a", tool: "t", payload: {}, principal }).reason;
const complaintsOf = (source: string): readonly string[] => {
  const compiled = compileCondition(source);
  return compiled.kind === "refused" ? compiled.complaints.map(({ message }) => message) : [];
};

describe("request.principal in a condition", () => {
  test("is on whose behalf the agent acts", () => {
    const bundle = bundleOf(rules(`effect: allow, when: 'request.principal.endsWith("@example.com")'`));
    expect(judge(bundle, "ann@example.com")).toBe("RULE_ALLOWED");
    expect(judge(bundle, "ann@evil.test")).toBe("NO_MATCHING_RULE");
  });

  test("is absent where the agent does not say: nothing is allowed by it, and what cannot judge it denies", () => {
    expect(judge(bundleOf(rules("effect: allow, when: 'request.principal != \"eve\"'")), null)).toBe(
      "NO_MATCHING_RULE",
    );
    const denying = bundleOf(rules("effect: allow", "effect: deny, when: 'request.principal == \"eve\"'"));
    expect(judge(denying, null)).toBe("RULE_ERROR");
    expect(judge(denying, "ann")).toBe("RULE_ALLOWED");
    expect(judge(denying, "eve")).toBe("RULE_DENIED");
  });

  test("can be asked for with has()", () => {
    const bundle = bundleOf(rules("effect: allow", "effect: deny, when: '!has(request.principal)'"));
    expect(judge(bundle, null)).toBe("RULE_DENIED");
    expect(judge(bundle, "ann")).toBe("RULE_ALLOWED");
  });

  test("is the only thing of a request", () => {
    expect(complaintsOf('request.session == "x"')[0]).toContain("unknown variable request.session");
    expect(complaintsOf('request == "x"')[0]).toContain("write request.principal");
    expect(complaintsOf('principal == "x"')[0]).toContain("a condition sees agent.id, request.principal, tool");
    expect(complaintsOf("request.principal > 5")).not.toEqual([]);
  });

  test("does not stand before a macro's variable of the same name", () => {
    const bundle = bundleOf(rules("effect: allow, when: 'payload.requests.all(request, request.amount < 5)'"));
    const ask = (amount: number): string =>
      bundle.evaluate({ agentId: "a", tool: "t", payload: { requests: [{ amount }] }, principal: "ann" }).reason;
    expect([ask(4), ask(6)]).toEqual(["RULE_ALLOWED", "NO_MATCHING_RULE"]);
  });

  test("is warned of where it is read without has() in a rule that then denies", () => {
    const { warnings } = inspectFiles([
      { name: "p.yaml", text: rules("effect: allow", "effect: deny, when: 'request.principal == \"eve\"'") },
    ]);
    expect(warnings.map(({ message }) => message).join()).toContain("reads request.principal without has()");
  });

  test("is known to contradict itself", () => {
    const { problems } = inspectFiles([
      {
        name: "p.yaml",
        text: rules('effect: deny, when: \'request.principal == "a" && request.principal == "b"\'', "effect: allow"),
      },
    ]);
    expect(problems).toHaveLength(1);
  });

  test("is shown where a decision is explained", () => {
    const bundle = bundleOf(rules("effect: allow, when: 'request.principal == \"ann\"'"));
    const valuesFor = (principal: string | null) =>
      tryPolicy(bundle, { agentId: "a", tool: "t", payload: {}, principal }).findings[0]?.values;
    expect(valuesFor("ann")).toEqual([{ path: "request.principal", value: '"ann"' }]);
    expect(valuesFor(null)).toEqual([{ path: "request.principal", value: null }]);
  });
});

describe("a test of rules", () => {
  const testsOf = (principal: string) =>
    readRuleTests({
      rules: [],
      tests: [
        { path: "p_test.yaml", text: `tests:\n  - { name: n, tool: t, expect: allow, principal: ${principal} }\n` },
      ],
      problems: [],
      testProblems: [],
      warnings: [],
    } as never);

  test("may say on whose behalf the agent acts", () => {
    const bundle = bundleOf(rules("effect: allow, when: 'request.principal == \"ann\"'"));
    const outcome = (principal: string): number => {
      const [first] = testsOf(principal).tests;
      if (first === undefined) throw new Error("no test");
      return runRuleTest(bundle, first).failures.length;
    };
    expect(outcome("ann")).toBe(0);
    expect(outcome("bob")).toBeGreaterThan(0);
  });

  test("is refused with a principal that no request can have", () => {
    expect(testsOf('""').problems).not.toEqual([]);
    expect(testsOf('"a\\nb"').problems).not.toEqual([]);
  });
});
