import type { Constants } from "../constants.ts";
import { ToolIndex, toolShape } from "../pattern.ts";
import type { Effect, Rule, WrittenRule } from "../rule.ts";
import { valueOf } from "./expr.ts";
import { type Finding, findingAt } from "./finding.ts";
import { coversAgent } from "./pattern-cover.ts";

const STRICTNESS: Readonly<Record<Effect, number>> = { allow: 0, needs_review: 1, deny: 2 };
/** Of the rules without a condition for one tool pattern, so many are looked at. */
const MAX_CANDIDATES = 100;
/** Stands for any text where a pattern has its `*`; no tool is called so. */
const ANY_TEXT = "\0";

interface Candidate {
  readonly rule: Rule;
  readonly position: number;
}

/**
 * Rules that decide nothing, since rules without a condition decide first. A warning: the answer is as strict as the strictest
 * rule, so it leaves nothing open that the other rule does not, and a deny for an incident must come into force.
 */
export function coveredRules(rules: readonly WrittenRule[], constants: Constants): Finding[] {
  const index = new ToolIndex<Candidate[]>();
  rules.forEach(({ rule, syntax }, position) => {
    if (valueOf(syntax.expr, constants) !== true) return;
    for (const tool of new Set(rule.tools)) index.at(tool, () => []).push({ rule, position });
  });
  return rules.flatMap((written, position) => {
    if (valueOf(written.syntax.expr, constants) === true && deniesAll(written.rule)) {
      return [
        findingAt(
          written,
          null,
          "warning",
          "denies every call, so no other rule decides anything; remove it when it has served",
        ),
      ];
    }
    const found = coverOf(written.rule, position, index);
    return found === null ? [] : [findingAt(written, null, "warning", messageOf(written.rule, found))];
  });
}

/** Of a rule without a condition. */
function deniesAll({ effect, tools, agents, exceptAgents }: Rule): boolean {
  return effect === "deny" && tools.includes("*") && agents.includes("*") && exceptAgents.length === 0;
}

/** A rule without a condition for each of its tools, of which the last is named; or null. */
function coverOf(rule: Rule, position: number, index: ToolIndex<Candidate[]>): Rule | null {
  let cover: Rule | null = null;
  for (const tool of rule.tools) {
    const candidates = index.lookup(sampleOf(tool)).flatMap((found) => found.slice(0, MAX_CANDIDATES));
    const found = candidates.find((candidate) => decidesBefore(candidate, rule, position, tool));
    if (found === undefined) return null;
    cover = found.rule;
  }
  // One warning stands at a rule that denies everything, instead of one at each other rule.
  return cover !== null && deniesAll(cover) ? null : cover;
}

/** A tool that exactly those patterns match which match all that `pattern` does. */
function sampleOf(pattern: string): string {
  const { prefix, suffix } = toolShape(pattern);
  return suffix === null ? prefix : `${prefix}${ANY_TEXT}${suffix}`;
}

function decidesBefore(candidate: Candidate, rule: Rule, position: number, tool: string): boolean {
  const { rule: other } = candidate;
  if (candidate.position === position || !coversAgents(other, rule)) return false;
  if (STRICTNESS[other.effect] !== STRICTNESS[rule.effect]) return STRICTNESS[other.effect] > STRICTNESS[rule.effect];
  // The terms of all reviews count.
  if (rule.effect === "needs_review" && rule.review !== null) return false;
  if (other.tools.includes(tool)) return candidate.position < position;
  // Of a deny, the rule that names the tool more closely is the one that is named; of an allow, its condition has no effect.
  return rule.effect === "allow";
}

function coversAgents(wide: Rule, narrow: Rule): boolean {
  const included = narrow.agents.every((agent) => wide.agents.some((other) => coversAgent(other, agent)));
  return (
    included && wide.exceptAgents.every((except) => narrow.exceptAgents.some((other) => coversAgent(other, except)))
  );
}

function messageOf(rule: Rule, cover: Rule): string {
  const name = `rule ${cover.id} (${cover.effect}, ${cover.file}:${cover.line})`;
  if (cover.effect === rule.effect) {
    return `changes nothing: ${name} has no condition and applies to all of its tools and agents; remove one of the two, or narrow ${cover.id}`;
  }
  return `never decides: ${name}, which is stricter, has no condition and applies to all of its tools and agents; remove this rule, or narrow ${cover.id}`;
}
