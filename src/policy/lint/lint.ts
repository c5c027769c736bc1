import type { RuleFiles } from "../rule.ts";
import type { Problem } from "../yaml.ts";
import { missingHas } from "./missing-has.ts";

/** What is suspicious about rules that are well-formed. */
export interface LintResult {
  readonly warnings: readonly Problem[];
}

/** Looks into what the rules of a bundle say. */
export function lintRules({ rules }: RuleFiles): LintResult {
  return { warnings: rules.flatMap(missingHas) };
}
