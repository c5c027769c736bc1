import type { RuleFiles } from "../rule.ts";
import type { Finding } from "./finding.ts";

/** A constant that no rule uses: likely a rule has the value written out, and will keep it when the constant changes. */
export function unusedConstants({ rules, constants }: RuleFiles): Finding[] {
  const used = new Set(rules.flatMap(({ rule }) => rule.condition.constants.map(({ name }) => name)));
  return [...constants.values()].flatMap(({ name, file, line, column }) => {
    if (used.has(name)) return [];
    const message = `constant ${name} is used by no rule; write constants.${name} in a condition, or remove it`;
    return [{ file, line, column, message, severity: "warning" }];
  });
}
