import type { Constants } from "../constants.ts";
import type { WrittenRule } from "../rule.ts";
import { hasPathOf, macroOf, textOf } from "./expr.ts";
import { type Finding, findingAt } from "./finding.ts";
import { atomsOf, type Logic, logicOf } from "./logic.ts";
import { type Predicate, satisfies, statementOf } from "./predicate.ts";
import { patternProbesFor, probesFor } from "./probes.ts";

/**
 * Tests that let more through than they look like: of texts that only begin like a URL, and lists with nothing in them. Asked of what
 * opens alone: what makes an allow rule match, or a deny or review rule not match.
 */
export function openDoors(written: WrittenRule, constants: Constants): Finding[] {
  const { rule, syntax } = written;
  const opens = logicOf(syntax.expr, rule.effect === "allow", constants);
  const known: Walk = { written, constants, whole: opens, predicates: new Map(), optional: new Set() };
  return visit(opens, known);
}

interface Walk {
  readonly written: WrittenRule;
  readonly constants: Constants;
  readonly whole: Logic;
  /** What has to hold beside, by what it is about. */
  readonly predicates: ReadonlyMap<string, readonly Predicate[]>;
  /** Fields without which the call would pass as well. */
  readonly optional: ReadonlySet<string>;
}

function visit(part: Logic, walk: Walk): Finding[] {
  switch (part.kind) {
    case "all": {
      const predicates = new Map(walk.predicates);
      for (const each of part.parts) if (each.kind === "atom") addPredicate(predicates, each, walk.constants);
      return part.parts.flatMap((each) => visit(each, { ...walk, predicates }));
    }
    case "any": {
      const absent = part.parts.flatMap((each) =>
        each.kind === "atom" && !each.wanted ? (hasPathOf(each.expr) ?? []) : [],
      );
      return part.parts.flatMap((each) => visit(each, { ...walk, optional: new Set([...walk.optional, ...absent]) }));
    }
    case "every":
      return [...emptyList(part, walk), ...visit(part.body, walk)];
    case "some":
      return visit(part.body, walk);
    case "atom":
      return looseText(part, walk);
  }
}

type Atom = Extract<Logic, { kind: "atom" }>;

function addPredicate(
  predicates: Map<string, readonly Predicate[]>,
  { expr, wanted }: Atom,
  constants: Constants,
): void {
  const { about, predicate } = statementOf(expr, wanted, constants);
  const key = textOf(about);
  predicates.set(key, [...(predicates.get(key) ?? []), predicate]);
}

function looseText({ expr, wanted }: Atom, walk: Walk): Finding[] {
  const { about, predicate } = statementOf(expr, wanted, walk.constants);
  if (!wanted || (predicate.kind !== "text" && predicate.kind !== "pattern")) return [];
  const subject = textOf(about);
  // Who asks for the host as well does not rely on the text.
  if ([...atomsOf(walk.whole)].some((atom) => textOf(atom.expr).includes(`url(${subject}).getHostname()`))) return [];
  const probes =
    predicate.kind === "text" ? probesFor(predicate.text, subject) : patternProbesFor(predicate.pattern, subject);
  const beside = [predicate, ...(walk.predicates.get(subject) ?? [])];
  const passes = (value: string): boolean => beside.every((each) => satisfies(value, each));
  for (const { meant, forged, instead } of probes) {
    if (!passes(meant) || !passes(forged)) continue;
    const message = `takes ${JSON.stringify(forged)} for ${JSON.stringify(meant)}: ${textOf(expr)} holds for both; write ${instead(subject)}`;
    return [findingAt(walk.written, expr, "warning", message)];
  }
  return [];
}

/** `all()` holds for an empty list, in which nothing was checked. */
function emptyList({ expr, range }: Extract<Logic, { kind: "every" }>, walk: Walk): Finding[] {
  const list = textOf(range);
  if (macroOf(expr)?.name !== "all" || !/^payload[.[]/.test(list)) return [];
  if (walk.optional.has(list) || asksForElements(walk.whole, list)) return [];
  const instead =
    walk.written.rule.effect === "allow"
      ? `size(${list}) > 0 && ${list}.all(…)`
      : `size(${list}) == 0 || !${list}.all(…)`;
  return [
    findingAt(
      walk.written,
      expr,
      "warning",
      `holds for an empty list: ${list}.all(…) checks nothing then; write ${instead}`,
    ),
  ];
}

function asksForElements(logic: Logic, list: string): boolean {
  if (logic.kind === "all" || logic.kind === "any") return logic.parts.some((part) => asksForElements(part, list));
  if (logic.kind === "some" && textOf(logic.range) === list) return true;
  if (logic.kind !== "atom") return false;
  const text = textOf(logic.expr);
  return (
    text.includes(`size(${list})`) || text.includes(`${list}[`) || text === `${list} != []` || text === `${list} == []`
  );
}
