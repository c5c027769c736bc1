import { type Judgement, judge } from "../core/decision.ts";
import { Evaluation, type Subject } from "./cel/evaluation.ts";
import { Failure } from "./cel/value.ts";
import { agentMatcher, ToolIndex } from "./pattern.ts";
import { DEFAULT_TERMS, strictest } from "./review-terms.ts";
import type { Effect, Rule } from "./rule.ts";

/** A rule with its agents' patterns made ready. */
interface ArmedRule {
  readonly rule: Rule;
  readonly appliesTo: (agentId: string) => boolean;
}

/** The rules of one tool pattern, by effect, in the bundle's order. */
type RuleGroup = Readonly<Record<Effect, ArmedRule[]>>;

/** A rule and what its condition came to; `skipped` if the rule is about other agents. */
export interface Finding {
  readonly rule: Rule;
  readonly outcome: boolean | Failure | "skipped";
}

/** What looking for rules of one effect found: the first that matches, all of them if it went on, and the first undecided. */
interface Search {
  readonly matched: Rule | null;
  readonly alsoMatched: readonly Rule[];
  readonly undecided: { readonly rule: Rule; readonly failure: Failure } | null;
}

/** A bundle's rules, ready to judge. */
export class Engine {
  readonly #index = new ToolIndex<RuleGroup>();

  constructor(rules: readonly Rule[]) {
    for (const rule of rules) {
      const armed: ArmedRule = { rule, appliesTo: agentMatcher(rule.agents, rule.exceptAgents) };
      for (const pattern of new Set(rule.tools)) {
        this.#index.at(pattern, () => ({ deny: [], needs_review: [], allow: [] }))[rule.effect].push(armed);
      }
    }
  }

  /**
   * Deny beats needs_review beats allow, and nothing is deny. A deny or review rule that cannot be decided denies: it might have
   * matched. An allow rule that cannot be decided does not allow. Never throws.
   */
  judge(subject: Subject): Judgement {
    const groups = this.#index.lookup(subject.tool);
    const evaluation = new Evaluation(subject);

    const denial = search(groups, "deny", evaluation, "match");
    if (denial.matched !== null) return judge("RULE_DENIED", says(denial.matched, "denies"), denial.matched.id);
    if (denial.undecided !== null) return ruleError(denial.undecided);

    const review = search(groups, "needs_review", evaluation, "undecided");
    if (review.undecided !== null) return ruleError(review.undecided);
    if (review.matched !== null) {
      const judgement = judge("REVIEW_PENDING", says(review.matched, "asks for a review of"), review.matched.id);
      const asking = [review.matched, ...review.alsoMatched];
      return { ...judgement, review: strictest(asking.map((rule) => rule.review ?? DEFAULT_TERMS)) };
    }

    const permission = search(groups, "allow", evaluation, "match");
    if (permission.matched !== null)
      return judge("RULE_ALLOWED", says(permission.matched, "allows"), permission.matched.id);
    return judge("NO_MATCHING_RULE", noRule(permission));
  }

  /**
   * False if {@link judge} denies the agent's calls of the tool whatever the payload and the principal, as far as the rules show it by
   * themselves: no allow or review rule is about both whose condition is not just `false`, or there is a deny rule whose is just `true`.
   */
  isCallable({ agentId, tool }: Pick<Subject, "agentId" | "tool">): boolean {
    const groups = this.#index.lookup(tool);
    const some = (effect: Effect, may: (condition: string) => boolean): boolean =>
      groups.some((group) =>
        group[effect].some(({ rule, appliesTo }) => appliesTo(agentId) && may(rule.condition.source.trim())),
      );
    if (some("deny", (condition) => condition === "true")) return false;
    const mayHold = (condition: string): boolean => condition !== "false";
    return some("allow", mayHold) || some("needs_review", mayHold);
  }

  /** Every rule about the tool with what its condition comes to, in the order of {@link judge}, which may stop earlier. */
  findings(subject: Subject): readonly Finding[] {
    const groups = this.#index.lookup(subject.tool);
    const evaluation = new Evaluation(subject);
    const findings = new Map<string, Finding>();
    for (const effect of ["deny", "needs_review", "allow"] as const) {
      for (const { rule, appliesTo } of groups.flatMap((group) => group[effect])) {
        if (findings.has(rule.id)) continue;
        const outcome = appliesTo(subject.agentId) ? decide(rule, evaluation) : "skipped";
        findings.set(rule.id, { rule, outcome });
      }
    }
    return [...findings.values()];
  }
}

/** Goes through the rules of one effect until the first match, or until the first that is undecided. */
function search(
  groups: readonly RuleGroup[],
  effect: Effect,
  evaluation: Evaluation,
  until: "match" | "undecided",
): Search {
  let matched: Rule | null = null;
  const alsoMatched: Rule[] = [];
  let undecided: Search["undecided"] = null;
  for (const group of groups) {
    for (const { rule, appliesTo } of group[effect]) {
      if (!appliesTo(evaluation.subject.agentId)) continue;
      const outcome = decide(rule, evaluation);
      if (outcome === true && matched === null) matched = rule;
      else if (outcome === true) alsoMatched.push(rule);
      else if (outcome !== false) undecided ??= { rule, failure: outcome };
      if ((until === "match" ? matched : undecided) !== null) return { matched, alsoMatched, undecided };
    }
  }
  return { matched, alsoMatched, undecided };
}

/**
 * INVARIANT: `true` and `false` alone count. Whatever else a condition comes to, be it truthy or thrown (which none should), is a
 * failure.
 */
function decide(rule: Rule, evaluation: Evaluation): boolean | Failure {
  try {
    const outcome = rule.condition.test(evaluation);
    if (outcome === true || outcome === false || outcome instanceof Failure) return outcome;
  } catch {
    return new Failure("its condition could not be evaluated", 0);
  }
  return new Failure("its condition is neither true nor false", 0);
}

function ruleError({ rule, failure }: NonNullable<Search["undecided"]>): Judgement {
  return judge(
    "RULE_ERROR",
    `${undecidedRule(rule, failure)} A ${rule.effect} rule that cannot be decided denies.`,
    rule.id,
  );
}

function noRule({ undecided }: Search): string {
  const message = "No rule allows this call.";
  return undecided === null ? message : `${message} ${undecidedRule(undecided.rule, undecided.failure)}`;
}

function undecidedRule(rule: Rule, failure: Failure): string {
  const description = toldDescription(rule);
  return `Rule "${rule.id}"${description === null ? "" : ` (${description})`} could not be decided: ${failure.message}.`;
}

function says(rule: Rule, verb: string): string {
  const description = toldDescription(rule);
  return `Rule "${rule.id}" ${verb} this call${description === null ? "." : `: ${description}`}`;
}

/** What agents are told of why the rule exists; null for nothing. */
function toldDescription({ description, hidesDescription }: Rule): string | null {
  return hidesDescription ? null : description;
}
