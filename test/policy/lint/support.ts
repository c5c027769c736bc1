import { lintRules } from "../../../src/policy/lint/lint.ts";
import { readRuleFiles } from "../../../src/policy/rule.ts";
import type { RuleTest } from "../../../src/policy/rule-test.ts";
import { formatProblem } from "../../../src/policy/yaml.ts";

/** What the lint finds in a file of rules, as `severity line:column: message`. */
export function lint(text: string, tests: readonly RuleTest[] = []): readonly string[] {
  const read = readRuleFiles([{ path: "p.yaml", text }]);
  if (read.problems.length > 0) throw new Error(read.problems.map(formatProblem).join("\n"));
  return lintRules(read, tests).map(
    ({ severity, line, column, message }) => `${severity} ${line}:${column}: ${message}`,
  );
}

/** A file with one rule, `r`, whose condition stands in line 5 from column 11 on. */
export function ruleWith(when: string, effect = "deny", more = "tools: [t]"): string {
  return `rules:\n  - id: r\n    ${more}\n    effect: ${effect}\n    when: |\n      ${when}\n`;
}

/** What is found in one rule's condition; that it lacks has() is left out. */
export function lintCondition(when: string, effect = "deny", more = "tools: [t]"): readonly string[] {
  return lint(ruleWith(when, effect, more)).filter((finding) => !finding.includes("without has()"));
}

export function ruleTest(tool: string, payload: RuleTest["payload"]): RuleTest {
  return {
    name: "n",
    agent: "a",
    principal: null,
    tool,
    payload,
    expect: "deny",
    rule: null,
    reason: null,
    file: "p_test.yaml",
    line: 1,
  };
}
