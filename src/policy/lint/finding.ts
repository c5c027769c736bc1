import type { WrittenRule } from "../rule.ts";
import type { Problem } from "../yaml.ts";

/** A finding about a rule, at `offset` of its condition, or at the rule itself. */
export function findingAt(written: WrittenRule, offset: number | undefined, message: string): Problem {
  const { rule } = written;
  return { file: rule.file, ...written.placeOf(offset), message: `rule ${rule.id} (${rule.effect}) ${message}` };
}
