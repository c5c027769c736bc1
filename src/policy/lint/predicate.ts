import { Evaluation } from "../cel/evaluation.ts";
import { compareCodePoints } from "../cel/equality.ts";
import { LinearRegex } from "../cel/regex.ts";
import { type Expr, pair } from "../cel/scope.ts";
import type { Constants, ConstantValue } from "../constants.ts";
import { type Call, callOf, hasPathOf, textOf, valueOf } from "./expr.ts";

type Scalar = string | number | boolean;

/** What an atom says about the value of one expression, so far as it is said with literals. */
export type Predicate =
  /** It is one of `values`. */
  | { readonly kind: "among"; readonly values: readonly Scalar[] }
  /** It differs from all `values` and has their kind, if they have one kind: other kinds are an error. */
  | { readonly kind: "not among"; readonly values: readonly Scalar[] }
  | { readonly kind: "order"; readonly bound: string | number; readonly above: boolean; readonly open: boolean }
  /** Whether it begins with, ends with or contains `text`. */
  | { readonly kind: "text"; readonly method: TextMethod; readonly text: string; readonly wanted: boolean }
  | { readonly kind: "pattern"; readonly pattern: string; readonly wanted: boolean }
  | { readonly kind: "null"; readonly wanted: boolean }
  /** It has no letters of the other case, as what `lowerAscii()` or `upperAscii()` made. */
  | { readonly kind: "case"; readonly lower: boolean };

export type TextMethod = "startsWith" | "endsWith" | "contains";

/** What an atom says, about what. */
export interface Statement {
  readonly about: Expr;
  readonly predicate: Predicate;
}

const TEXT_METHODS: ReadonlySet<string> = new Set<TextMethod>(["startsWith", "endsWith", "contains"]);
/** Whether the value is above the bound, and not the bound itself; as `value < bound` has it. */
const ORDERS: Readonly<Record<string, { readonly above: boolean; readonly open: boolean }>> = {
  "_<_": { above: false, open: true },
  "_<=_": { above: false, open: false },
  "_>_": { above: true, open: true },
  "_>=_": { above: true, open: false },
};

/** What `expr` says that has to come to `wanted`: if nothing better, that it does. */
export function statementOf(expr: Expr, wanted: boolean, constants: Constants): Statement {
  const call = callOf(expr);
  const found = call === null ? null : (comparison(call, wanted, constants) ?? textTest(call, wanted, constants));
  return found ?? { about: expr, predicate: { kind: "among", values: [wanted] } };
}

function comparison(call: Call, wanted: boolean, constants: Constants): Statement | null {
  const { function: name, args } = call;
  const order = ORDERS[name];
  if (order === undefined && name !== "_==_" && name !== "_!=_" && name !== "@in") return null;
  const [left, right] = pair(args);
  const [leftValue, rightValue] = [valueOf(left, constants), valueOf(right, constants)];
  if (name === "@in") {
    if (!isList(rightValue)) return null;
    return { about: left, predicate: { kind: wanted ? "among" : "not among", values: rightValue } };
  }
  const mirrored = rightValue === undefined;
  const value = mirrored ? leftValue : rightValue;
  const about = mirrored ? right : left;
  if (value === undefined || isList(value)) return null;
  if (order === undefined) {
    const equal = (name === "_==_") === wanted;
    if (value === null) return { about, predicate: { kind: "null", wanted: equal } };
    return { about, predicate: { kind: equal ? "among" : "not among", values: [value] } };
  }
  if (value === null || typeof value === "boolean") return null;
  const above = order.above !== mirrored;
  if (wanted) return { about, predicate: { kind: "order", bound: value, above, open: order.open } };
  // NaN is not below, at or above anything.
  if (!isNeverNaN(about)) return null;
  return { about, predicate: { kind: "order", bound: value, above: !above, open: !order.open } };
}

function isList(value: ConstantValue | null | undefined): value is readonly Scalar[] {
  return Array.isArray(value);
}

/** JSON has no NaN: only reckoning makes one. */
function isNeverNaN(expr: Expr): boolean {
  return /^(payload|agent|request|tool|size\(|int\()/.test(textOf(expr)) && !/^payload.*[ (]/.test(textOf(expr));
}

function textTest({ function: name, target, args }: Call, wanted: boolean, constants: Constants): Statement | null {
  const [arg] = args;
  const text = valueOf(arg, constants);
  if (target === undefined || args.length !== 1 || typeof text !== "string") return null;
  const about = target;
  if (name === "matches") return { about, predicate: { kind: "pattern", pattern: text, wanted } };
  if (!isTextMethod(name)) return null;
  return { about, predicate: { kind: "text", method: name, text, wanted } };
}

function isTextMethod(name: string): name is TextMethod {
  return TEXT_METHODS.has(name);
}

/** Whether `value` may be what `predicate` says of it; values that cannot be compared may not. */
export function satisfies(value: Scalar, predicate: Predicate): boolean {
  switch (predicate.kind) {
    case "among":
      return predicate.values.includes(value);
    case "not among":
      return !predicate.values.includes(value) && predicate.values.every((other) => typeof other === typeof value);
    case "order":
      return typeof value === typeof predicate.bound && isInOrder(value as string | number, predicate);
    case "text":
      return typeof value === "string" && testText(value, predicate.method, predicate.text) === predicate.wanted;
    case "pattern":
      return typeof value === "string" && matches(value, predicate.pattern) === predicate.wanted;
    case "null":
      return !predicate.wanted;
    case "case":
      return typeof value === "string" && isInCase(value, predicate.lower);
  }
}

function isInOrder(value: string | number, { bound, above, open }: Extract<Predicate, { kind: "order" }>): boolean {
  const order = compare(value, bound);
  return order === 0 ? !open : order > 0 === above;
}

/** As conditions compare: texts by code point. */
export function compare(a: string | number, b: string | number): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return compareCodePoints(String(a), String(b));
}

export function isInCase(text: string, lower: boolean): boolean {
  return lower ? !/[A-Z]/.test(text) : !/[a-z]/.test(text);
}

export function testText(value: string, method: TextMethod, text: string): boolean {
  if (method === "startsWith") return value.startsWith(text);
  return method === "endsWith" ? value.endsWith(text) : value.includes(text);
}

function matches(value: string, pattern: string): boolean | null {
  return new LinearRegex(pattern).test(value, new Evaluation({ agentId: "", tool: "", payload: {} }));
}

/** Fields of the payload that `expr` reads on its way to any value: if one is absent, it is an error. */
export function readsOf(expr: Expr): readonly string[] {
  const asked = hasPathOf(expr);
  if (asked !== null) return [asked.replace(/(\.[^.[]*|\[[^[]*\])$/, "")];
  const { exprKind } = expr;
  if (exprKind.case === "selectExpr") return [textOf(expr)];
  const call = callOf(expr);
  if (call === null || ["_&&_", "_||_", "_?_:_"].includes(call.function)) return [];
  if (call.function === "_[_]") return [textOf(expr)];
  return [...(call.target === undefined ? [] : [call.target]), ...call.args].flatMap(readsOf);
}
