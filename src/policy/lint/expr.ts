import { type Expr, literalOf, pair, pathOf } from "../cel/scope.ts";
import type { Constants, ConstantValue } from "../constants.ts";

export type Call = Extract<Expr["exprKind"], { case: "callExpr" }>["value"];

/** A macro, as its author wrote it. */
export interface Macro {
  readonly name: "all" | "exists" | "exists_one";
  readonly range: Expr;
  readonly variable: string;
  readonly body: Expr;
}

export function callOf(expr: Expr | undefined): Call | null {
  return expr?.exprKind.case === "callExpr" ? expr.exprKind.value : null;
}

/** What a function is called with: the value that it is written behind, then its arguments. */
export function operandsOf({ target, args }: Call): readonly Expr[] {
  return target === undefined ? args : [target, ...args];
}

/** The macro that the grammar made `expr` of; null for `map`, `filter` and what is no macro. */
export function macroOf(expr: Expr): Macro | null {
  if (expr.exprKind.case !== "comprehensionExpr") return null;
  const { iterVar: variable, iterRange: range, loopStep, accuInit } = expr.exprKind.value;
  const step = callOf(loopStep);
  if (range === undefined || step === null || accuInit?.exprKind.case !== "constExpr") return null;
  if (step.function === "_?_:_") {
    const [body] = step.args;
    return body === undefined ? null : { name: "exists_one", range, variable, body };
  }
  const [, body] = pair(step.args);
  return { name: step.function === "_&&_" ? "all" : "exists", range, variable, body };
}

/** The field that `has()` asks for, as a path, or null if `expr` is no such question. */
export function hasPathOf(expr: Expr): string | null {
  if (expr.exprKind.case === "selectExpr" && expr.exprKind.value.testOnly) return pathOf(expr);
  const call = callOf(expr);
  const [arg] = call?.args ?? [];
  return call?.function === "has" && arg !== undefined ? pathOf(arg) : null;
}

/** All that `expr` consists of, itself first. Of a macro its list and its body. */
export function* partsOf(expr: Expr): Generator<Expr> {
  yield expr;
  for (const child of childrenOf(expr)) yield* partsOf(child);
}

function childrenOf({ exprKind }: Expr): readonly Expr[] {
  if (exprKind.case === "callExpr") return operandsOf(exprKind.value);
  if (exprKind.case === "listExpr") return exprKind.value.elements;
  const children =
    exprKind.case === "selectExpr"
      ? [exprKind.value.operand]
      : exprKind.case === "comprehensionExpr"
        ? [exprKind.value.iterRange, exprKind.value.loopStep]
        : [];
  return children.filter((child) => child !== undefined);
}

/** What `expr` is written as or a constant stands for; undefined if it is neither a literal nor a list of them. */
export function valueOf(expr: Expr | undefined, constants: Constants): ConstantValue | null | undefined {
  const exprKind = expr?.exprKind;
  if (exprKind?.case === "constExpr") {
    const { constantKind } = exprKind.value;
    if (constantKind.case === "boolValue") return constantKind.value;
    if (constantKind.case === "nullValue") return null;
    const literal = literalOf(expr);
    return typeof literal === "bigint" ? safeNumber(literal) : (literal ?? undefined);
  }
  if (exprKind?.case === "selectExpr") {
    const { testOnly, operand, field } = exprKind.value;
    const isConstant = !testOnly && operand !== undefined && pathOf(operand) === "constants";
    return isConstant ? constants.get(field)?.value : undefined;
  }
  if (exprKind?.case !== "listExpr") return undefined;
  const values = exprKind.value.elements.map((element) => valueOf(element, constants));
  const scalars = values.filter((value) => value !== null && ["string", "number", "boolean"].includes(typeof value));
  return scalars.length === values.length ? (scalars as Extract<ConstantValue, readonly unknown[]>) : undefined;
}

function safeNumber(value: bigint): number | undefined {
  return Number.isSafeInteger(Number(value)) ? Number(value) : undefined;
}

const SYMBOL = /^_([^_]+)_$/;

/** `expr` as its author may have written it. Equal texts within one macro mean equal values. */
export function textOf(expr: Expr): string {
  const path = pathOf(expr);
  if (path !== null && !isTest(expr)) return path;
  const { exprKind } = expr;
  if (exprKind.case === "constExpr") return literalText(expr);
  if (exprKind.case === "callExpr") return callText(exprKind.value);
  if (exprKind.case === "listExpr") return `[${exprKind.value.elements.map(textOf).join(", ")}]`;
  if (exprKind.case !== "selectExpr") return macroText(expr);
  const { operand, field, testOnly } = exprKind.value;
  const text = `${operand === undefined ? "" : textOf(operand)}.${field}`;
  return testOnly ? `has(${text})` : text;
}

function isTest(expr: Expr): boolean {
  return expr.exprKind.case === "selectExpr" && expr.exprKind.value.testOnly;
}

function literalText(expr: Expr): string {
  const literal = literalOf(expr);
  if (typeof literal === "string") return JSON.stringify(literal);
  if (literal !== null) return String(literal);
  const constant = expr.exprKind.case === "constExpr" ? expr.exprKind.value.constantKind : null;
  return constant?.case === "boolValue" ? String(constant.value) : "null";
}

function callText(call: Call): string {
  const { function: name, target, args } = call;
  const texts = args.map(textOf);
  if (name === "!_" || name === "-_") return `${name.slice(0, 1)}${texts[0]}`;
  if (name === "_[_]") return `${texts[0]}[${texts[1]}]`;
  if (name === "_?_:_") return `(${texts[0]} ? ${texts[1]} : ${texts[2]})`;
  if (name === "@in") return `${texts[0]} in ${texts[1]}`;
  const symbol = SYMBOL.exec(name)?.[1];
  if (symbol !== undefined) {
    const text = texts.join(` ${symbol} `);
    return symbol === "&&" || symbol === "||" ? `(${text})` : text;
  }
  if (target !== undefined && name === "size") return `size(${textOf(target)})`;
  return target === undefined ? `${name}(${texts.join(", ")})` : `${textOf(target)}.${name}(${texts.join(", ")})`;
}

/** `map` and `filter` are not taken apart: each is equal to itself alone. */
function macroText(expr: Expr): string {
  const macro = macroOf(expr);
  return macro === null
    ? `(macro ${expr.id})`
    : `${textOf(macro.range)}.${macro.name}(${macro.variable}, ${textOf(macro.body)})`;
}
