import type { RuleFinding, RuleText } from "@datacrawl/proto/datacrawl/authz/v1/policies_pb";
import { RuleOutcomeSchema } from "@datacrawl/proto/datacrawl/authz/v1/policies_pb";
import { printable, wordOf } from "../output.ts";

export function ruleJson(rule: RuleText): Omit<RuleText, "$typeName" | "$unknown"> {
  const { ruleId, effect, tools, agents, exceptAgents, when, description, file, line, source } = rule;
  return { ruleId, effect, tools, agents, exceptAgents, when, description, file, line, source };
}

export function findingJson({ rule, outcome, error, values }: RuleFinding) {
  return {
    rule: rule === undefined ? null : ruleJson(rule),
    outcome: wordOf(RuleOutcomeSchema, outcome).toLowerCase(),
    error,
    values: Object.fromEntries(values.map(({ path, value }) => [path, value ?? null])),
  };
}

/** A rule and what it made of a request, for people. */
export function findingText(finding: RuleFinding): string {
  const { rule, outcome, error, values } = findingJson(finding);
  const lines = [
    `${(rule?.effect ?? "").padEnd(12)}  ${rule?.ruleId}  (${rule?.file}:${rule?.line})`,
    ...whenLines(rule?.when ?? ""),
    ...Object.entries(values).map(([path, value]) => `  ${path} = ${value ?? "(absent)"}`),
    `  ${outcome.replaceAll("_", " ")}${error === "" ? "" : `: ${error}`}`,
  ];
  return `${lines.map(printable).join("\n")}\n`;
}

function whenLines(when: string): string[] {
  const [first, ...others] = when.trim().split("\n");
  return [`  when ${first}`, ...others.map((line) => `       ${line}`)];
}
