import type { RuleFiles } from "../rule.ts";
import type { RuleTest } from "../rule-test.ts";
import { coveredRules } from "./covered.ts";
import type { Finding } from "./finding.ts";
import { missingHas } from "./missing-has.ts";
import { nearMisses } from "./near-miss.ts";
import { neverMatches } from "./never-matches.ts";
import { openDoors } from "./open-doors.ts";
import { unusedConstants } from "./unused-constants.ts";

/** What is wrong or suspicious about rules that are well-formed, in their order. */
export function lintRules(read: RuleFiles, tests: readonly RuleTest[]): readonly Finding[] {
  const { rules, constants, problems } = read;
  const ofEach = rules.flatMap((rule) => [
    ...neverMatches(rule, constants),
    ...openDoors(rule, constants),
    ...missingHas(rule),
  ]);
  // While some rules could not be read, nobody knows what the others lack.
  const ofAll =
    problems.length > 0
      ? []
      : [...coveredRules(rules, constants), ...nearMisses(rules, tests), ...unusedConstants(read)];
  const findings = [...ofEach, ...ofAll];
  const files = new Map(rules.map(({ rule }, i) => [rule.file, i]));
  return findings.toSorted(
    (a, b) => (files.get(a.file) ?? 0) - (files.get(b.file) ?? 0) || a.line - b.line || a.column - b.column,
  );
}
