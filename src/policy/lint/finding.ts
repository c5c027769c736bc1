import type { Expr } from "../cel/scope.ts";
import type { WrittenRule } from "../rule.ts";
import type { Problem } from "../yaml.ts";

/** Something about a well-formed rule that its author has to look at. */
export interface Finding extends Problem {
  /**
   * `hole`: a deny or review that cannot take effect, or a guard of an allow that always holds; no bundle with one comes into
   * force. `error`: certainly not what was meant, and it leaves nothing open. `warning`: probably not what was meant.
   */
  readonly severity: "hole" | "error" | "warning";
}

/** A finding about a rule, at a part of its condition, or at the rule itself. */
export function findingAt(
  written: WrittenRule,
  at: Expr | number | null,
  severity: Finding["severity"],
  message: string,
): Finding {
  const { rule, syntax } = written;
  const offset = at === null || typeof at === "number" ? at : syntax.startOf(at);
  const place = written.placeOf(offset ?? undefined);
  return { file: rule.file, ...place, message: `rule ${rule.id} (${rule.effect}) ${message}`, severity };
}
