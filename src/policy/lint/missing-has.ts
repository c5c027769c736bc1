import type { WrittenRule } from "../rule.ts";
import { type Finding, findingAt } from "./finding.ts";

/** An allow rule that reads an absent field does not allow, as it should; the others deny what they cannot judge. */
export function missingHas(written: WrittenRule): Finding[] {
  const { effect, condition } = written.rule;
  if (effect === "allow") return [];
  return condition.unguarded.map(({ offset, message: path }) =>
    findingAt(
      written,
      offset,
      "warning",
      `reads ${path} without has(): a call that lacks it is denied with RULE_ERROR; write !has(${path}) || … if it should match then, has(${path}) && … if not`,
    ),
  );
}
