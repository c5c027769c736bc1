import type { JsonValue } from "../../core/json.ts";
import { type Expr, pair, literalOf } from "../cel/scope.ts";
import type { WrittenRule } from "../rule.ts";
import type { RuleTest } from "../rule-test.ts";
import { callOf, macroOf, operandsOf, partsOf } from "./expr.ts";
import { type Finding, findingAt } from "./finding.ts";
import { mayOverlap } from "./pattern-cover.ts";

/** A member of an object, by the path to the object. `[]` is an element of a list. */
interface Member {
  readonly parent: string;
  readonly name: string;
}

interface Use {
  readonly written: WrittenRule;
  readonly expr: Expr;
  readonly position: number;
}

/** Where one name is used as a member of one object. */
interface Name {
  readonly name: string;
  readonly parent: string;
  /** Among all names, by where they are first used. */
  readonly order: number;
  readonly rules: Use[];
  /** The tools of tests whose payloads have it. */
  readonly tests: Set<string>;
}

const MIN_LENGTH = 4;
/** Of the rules that use a name, so many are compared with another's. */
const MAX_USES = 50;

/**
 * Fields of the payload that a rule alone knows, and that look like a field which other rules or tests for the same tools know: a
 * rule that asks for a misspelt field never sees it.
 */
export function nearMisses(rules: readonly WrittenRule[], tests: readonly RuleTest[]): Finding[] {
  const names = new Map<string, Name>();
  rules.forEach((written, position) => {
    for (const { expr, parent, name } of membersOf(written.syntax.expr)) {
      nameAt(names, { parent, name }).rules.push({ written, expr, position });
    }
  });
  for (const test of tests)
    for (const member of membersIn(test.payload, "payload")) nameAt(names, member).tests.add(test.tool);
  const alike = groupAlike([...names.values()]);
  return [...names.values()].flatMap((name) => {
    const reported = new Set<WrittenRule>();
    return name.rules.slice(0, MAX_USES).flatMap((use) => {
      const meant = reported.has(use.written) ? null : meantInstead(name, use, alike);
      if (meant === null) return [];
      reported.add(use.written);
      return [findingAt(use.written, use.expr, "warning", messageOf(name, meant))];
    });
  });
}

function messageOf({ parent, name }: Name, meant: Name): string {
  const [use] = meant.rules;
  const who = meant.tests.size > 0 ? "tests say" : `rule ${use?.written.rule.id} says`;
  return `reads ${parent}.${name}, which no other rule or test of these tools mentions; ${who} ${parent}.${meant.name}: write that, or a test whose payload has ${name}`;
}

function meantInstead(name: Name, use: Use, alike: ReadonlyMap<string, readonly Name[]>): Name | null {
  const { tools } = use.written.rule;
  if (isTested(name, tools)) return null;
  const others = new Set(keysOf(name).flatMap((key) => alike.get(key) ?? []));
  for (const other of others) {
    if (other.name === name.name || !looksLike(name.name, other.name)) continue;
    const tested = isTested(other, tools);
    if (tested) return other;
    const [mine, theirs] = [usesFor(name, tools), usesFor(other, tools)];
    const [first, second] = [mine[0]?.position ?? 0, theirs[0]?.position ?? 0];
    // Of two that one rule alone uses, the first is reported: most often has() asks for it.
    const isMeant = second < first || (second === first && other.order > name.order);
    const isRarer = theirs.length > mine.length || (theirs.length === mine.length && isMeant);
    if (theirs.length > 0 && isRarer && !isPlural(name.name, other.name)) return other;
  }
  return null;
}

function isTested({ tests }: Name, tools: readonly string[]): boolean {
  return [...tests].some((tool) => tools.some((pattern) => mayOverlap(pattern, tool)));
}

/** One use for each rule. */
function usesFor({ rules }: Name, tools: readonly string[]): readonly Use[] {
  const about = rules
    .slice(0, MAX_USES)
    .filter(({ written }) => written.rule.tools.some((tool) => tools.some((other) => mayOverlap(tool, other))));
  return about.filter(({ written }, i) => about.findIndex((use) => use.written === written) === i);
}

function nameAt(names: Map<string, Name>, { parent, name }: Member): Name {
  const key = JSON.stringify([parent, name]);
  const known = names.get(key);
  if (known !== undefined) return known;
  const made = { name, parent, order: names.size, rules: [], tests: new Set<string>() };
  names.set(key, made);
  return made;
}

/** Names by what they become when any one character is left out: those that are one edit apart share a key. */
function groupAlike(names: readonly Name[]): Map<string, Name[]> {
  const groups = new Map<string, Name[]>();
  for (const name of names) {
    for (const key of keysOf(name)) {
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [name]);
      else group.push(name);
    }
  }
  return groups;
}

function keysOf({ parent, name }: Name): string[] {
  const folded = fold(name);
  const shorter = Array.from(folded, (_, i) => folded.slice(0, i) + folded.slice(i + 1));
  return [...new Set([folded, ...shorter])].map((text) => JSON.stringify([parent, text]));
}

function fold(name: string): string {
  return name.toLowerCase().replaceAll(/[_-]/g, "");
}

/** Whether one is the other with one letter more, less or another, or two exchanged; in the same case. */
function looksLike(a: string, b: string): boolean {
  const [left, right] = [fold(a), fold(b)];
  if (left === right) return true;
  if (Math.min(left.length, right.length) < MIN_LENGTH || left.replaceAll(/\d/g, "") === right.replaceAll(/\d/g, ""))
    return false;
  let start = 0;
  while (left[start] === right[start]) start++;
  let end = 0;
  const most = Math.min(left.length, right.length) - start;
  while (end < most && left.at(-1 - end) === right.at(-1 - end)) end++;
  const [l, r] = [left.slice(start, left.length - end), right.slice(start, right.length - end)];
  return (l.length <= 1 && r.length <= 1) || (l.length === 2 && r.length === 2 && l[0] === r[1] && l[1] === r[0]);
}

function isPlural(a: string, b: string): boolean {
  return `${a}s` === b || `${b}s` === a;
}

/** The members that a condition reads or asks for, also of the elements of lists. */
function membersOf(root: Expr): (Member & { readonly expr: Expr })[] {
  const elements = new Map<string, string>();
  const found: (Member & { readonly expr: Expr })[] = [];
  const pathOf = (expr: Expr | undefined): string | null => {
    if (expr?.exprKind.case === "identExpr") {
      const { name } = expr.exprKind.value;
      return name === "payload" ? name : (elements.get(name) ?? null);
    }
    const member = expr === undefined ? null : memberOf(expr);
    return member === null ? null : join(member);
  };
  const memberOf = (expr: Expr): Member | null => {
    if (expr.exprKind.case === "selectExpr") {
      const parent = pathOf(expr.exprKind.value.operand);
      return parent === null ? null : { parent, name: expr.exprKind.value.field };
    }
    const call = callOf(expr);
    if (call?.function !== "_[_]") return null;
    const [operand, index] = pair(operandsOf(call));
    const parent = pathOf(operand);
    const key = literalOf(index);
    if (parent === null) return null;
    return { parent, name: typeof key === "string" ? key : "[]" };
  };
  for (const expr of partsOf(root)) {
    const macro = macroOf(expr);
    const range = macro === null ? null : pathOf(macro.range);
    if (macro !== null && range !== null) elements.set(macro.variable, `${range}.[]`);
    const member = memberOf(expr);
    if (member !== null && member.name !== "[]") found.push({ ...member, expr });
  }
  return found;
}

function join({ parent, name }: Member): string {
  return `${parent}.${name}`;
}

function membersIn(value: JsonValue, parent: string): Member[] {
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item) => membersIn(item, `${parent}.[]`));
  return Object.entries(value).flatMap(([name, inner]) => [{ parent, name }, ...membersIn(inner, `${parent}.${name}`)]);
}
