import type { Expr } from "../cel/scope.ts";
import type { Constants } from "../constants.ts";
import { toolShape } from "../pattern.ts";
import type { Rule, WrittenRule } from "../rule.ts";
import { partsOf, textOf, valueOf } from "./expr.ts";
import type { Fact } from "./facts.ts";
import { type Finding, findingAt } from "./finding.ts";
import { atomsOf, exprOf, type Logic, logicOf } from "./logic.ts";
import { coversAgent } from "./pattern-cover.ts";
import { type Impossible, type Known, Satisfiability, World } from "./satisfiable.ts";

/** A rule for more patterns than this is not held against each of them. */
const MAX_PATTERNS = 64;

/** What can never be true: the whole condition, a part of it that is one of several ways to match, a comparison. */
export function neverMatches(written: WrittenRule, constants: Constants): Finding[] {
  const { rule, syntax } = written;
  const nobody = agentsExcluded(rule);
  if (nobody !== null) return [findingAt(written, null, severityOf(rule, true), nobody)];
  const value = valueOf(syntax.expr, constants);
  if (value === true) return [];
  // Somebody has switched the rule off, and can see that: it is no hole that a service has to refuse.
  if (value === false)
    return [findingAt(written, syntax.expr, "error", "can never match: its condition is false; remove the rule")];
  const logic = logicOf(syntax.expr, true, constants);
  const whole = impossibleFor(rule, logic, constants);
  if (whole !== null) {
    return [
      findingAt(written, whole.expr, severityOf(rule, true), `can never match: ${whole.why}; ${insteadOf(whole)}`),
    ];
  }
  const comparisons = impossibleComparisons(written, logic, constants);
  const branches = impossibleBranches(written, logic, constants);
  const places = new Set(comparisons.map(({ line, column }) => `${line}:${column}`));
  return [...comparisons, ...branches.filter(({ line, column }) => !places.has(`${line}:${column}`))];
}

/** @param restricts whether what is found keeps a deny or review from matching */
function severityOf({ effect }: Rule, restricts: boolean): "hole" | "error" {
  return (effect === "allow") === restricts ? "error" : "hole";
}

function insteadOf({ why, outside, alone }: Impossible): string {
  if (outside) return "correct the condition, or the rule's tools or agents";
  if (alone && why.includes("gives no capitals")) return "write the text in small letters";
  if (alone && why.includes("gives capitals")) return "write the text in capitals";
  return alone ? "correct it" : "write || between them if one is enough, or correct one of them";
}

/** Why not one of the rule's tools and agents can be what the condition asks for, or null. */
function impossibleFor(rule: Rule, logic: Logic, constants: Constants): Impossible | null {
  const names = new Set([...atomsOf(logic)].flatMap(({ expr }) => mentions(expr)));
  const tools = names.has("tool") ? rule.tools.map((pattern) => toolFacts(pattern, rule)) : [[]];
  const agents = names.has("agent.id") ? rule.agents.map((pattern) => agentFacts(pattern, rule)) : [[]];
  if (tools.length > MAX_PATTERNS || agents.length > MAX_PATTERNS) return null;
  let first: Impossible | null = null;
  for (const tool of tools) {
    for (const agent of agents) {
      const found = new Satisfiability(constants, known(tool, agent)).impossible([logic]);
      if (found === null) return null;
      first ??= found;
    }
  }
  return first;
}

function known(tool: readonly Fact[], agent: readonly Fact[]): Known {
  return new Map([
    ["tool", tool],
    ["agent.id", agent],
  ]);
}

function mentions(expr: Expr): string[] {
  return [...partsOf(expr)].map(textOf).filter((text) => text === "tool" || text === "agent.id");
}

function toolFacts(pattern: string, { tools }: Rule): Fact[] {
  const { prefix, suffix } = toolShape(pattern);
  const says = `tools: [${tools.join(", ")}]`;
  if (suffix === null) return [{ predicate: { kind: "among", values: [prefix] }, says, source: "rule" }];
  return [
    { predicate: { kind: "text", method: "startsWith", text: prefix, wanted: true }, says, source: "rule" },
    { predicate: { kind: "text", method: "endsWith", text: suffix, wanted: true }, says, source: "rule" },
  ];
}

function agentFacts(pattern: string, { agents, exceptAgents }: Rule): Fact[] {
  const included = agentFact(pattern, `agents: [${agents.join(", ")}]`, true);
  const excluded = exceptAgents.map((except) =>
    agentFact(except, `except_agents: [${exceptAgents.join(", ")}]`, false),
  );
  return [included, ...excluded];
}

function agentFact(pattern: string, says: string, wanted: boolean): Fact {
  if (pattern.endsWith("*")) {
    const text = pattern.slice(0, -1);
    return { predicate: { kind: "text", method: "startsWith", text, wanted }, says, source: "rule" };
  }
  return { predicate: { kind: wanted ? "among" : "not among", values: [pattern] }, says, source: "rule" };
}

function agentsExcluded({ agents, exceptAgents }: Rule): string | null {
  if (!agents.every((agent) => exceptAgents.some((except) => coversAgent(except, agent)))) return null;
  return `can never match: except_agents leaves none of its agents; write agents that it does not name`;
}

/** Comparisons that nothing satisfies, wherever they stand. */
function impossibleComparisons(written: WrittenRule, logic: Logic, constants: Constants): Finding[] {
  return [...atomsOf(logic)].flatMap(({ expr, wanted }) => {
    const found = new Satisfiability(constants, new Map()).impossible([{ kind: "atom", expr, wanted: true }]);
    if (found === null || !found.alone) return [];
    const effect = wanted ? "is never true" : "is never true, so its negation says nothing";
    return [
      findingAt(
        written,
        expr,
        severityOf(written.rule, wanted),
        `has a comparison that ${effect}: ${found.why}; ${insteadOf(found)}`,
      ),
    ];
  });
}

/** Of several ways to match, those that lead nowhere beside what else has to hold. */
function impossibleBranches(written: WrittenRule, logic: Logic, constants: Constants): Finding[] {
  const { rule } = written;
  const satisfiability = new Satisfiability(constants, new Map());
  const findings: Finding[] = [];
  const visit = (part: Logic, world: World): void => {
    if (part.kind === "all") {
      const inner = satisfiability.worldOf(part.parts, world);
      for (const each of part.parts) if (each.kind !== "atom") visit(each, inner);
    } else if (part.kind === "any") {
      for (const each of part.parts) {
        const found = satisfiability.impossible([each], world);
        if (found === null) visit(each, world);
        else {
          const place = exprOf(each) ?? found.expr;
          findings.push(
            findingAt(
              written,
              place,
              "warning",
              `has a part that can never be true: ${found.why}; ${insteadOf(found)}`,
            ),
          );
        }
      }
    } else if (part.kind === "some") visit(part.body, world);
  };
  visit(logic, new World());
  return rule.effect === "allow" ? [] : findings;
}
