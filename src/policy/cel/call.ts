import { compileComparison } from "./comparison.ts";
import { EXHAUSTED, type Run } from "./evaluation.ts";
import { FUNCTIONS, OPERATORS } from "./functions.ts";
import type { Overload } from "./overload.ts";
import { INSTEAD, literalProblem } from "./parsers.ts";
import { LinearRegex } from "./regex.ts";
import { type Compiled, compiled, type Expr, literalOf, pair, pathOf, type Scope } from "./scope.ts";
import { ANY, BOOL, DOUBLE, Failure, INT, isList, kindOf, type Kinds, LIST, nameKinds, STRING } from "./value.ts";
import type { Value } from "./value.ts";
import { messageOf } from "../../core/fault.ts";

type Call = Extract<Expr["exprKind"], { case: "callExpr" }>["value"];

const MACROS: readonly string[] = ["all", "exists", "exists_one", "map", "filter"];

/** Operators and functions. Which function a call means is settled here; what it means for the values, when it runs. */
export function compileCall(expr: Expr, call: Call, scope: Scope): Compiled {
  const name = call.function;
  const comparison = compileComparison(expr, name, call.args, scope);
  if (comparison !== null) return comparison;
  switch (name) {
    case "_&&_":
      return compileLogic(call.args, false, scope);
    case "_||_":
      return compileLogic(call.args, true, scope);
    case "_?_:_":
      return compileConditional(call.args, scope);
    case "@not_strictly_false":
      return compileNotStrictlyFalse(call.args, scope);
    case "matches":
      return compileMatches(expr, call, scope);
  }
  if (name === "_+_" && isAppend(call.args, scope)) return compileAppend(call.args, scope);
  const operator = OPERATORS.get(name);
  return operator === undefined
    ? compileFunction(expr, call, scope)
    : applyOverload(expr, name, operator, call.args, scope);
}

/** `&&` (`decisive` false) and `||` (true): a decisive value decides, whatever the other side is; else an error stays one. */
function compileLogic(args: readonly Expr[], decisive: boolean, scope: Scope): Compiled {
  const [leftExpr, rightExpr] = pair(args);
  const left = compileTruth(leftExpr, scope);
  const right = compileTruth(rightExpr, scope);
  return compiled((evaluation) => {
    const first = left(evaluation);
    if (first === decisive) return decisive;
    const second = right(evaluation);
    if (second === decisive) return decisive;
    return first instanceof Failure ? first : second;
  }, BOOL);
}

/** An expression that has to be true or false, and is an error if it is anything else. */
export function compileTruth(expr: Expr, scope: Scope): Run {
  const { run, kinds } = scope.compile(expr);
  if ((kinds & BOOL) === 0) {
    return scope.refuse(expr, `${nameKinds(kinds)} is not true or false; compare it with something`).run;
  }
  if (kinds === BOOL) return run;
  const offset = scope.offsetOf(expr);
  const name = pathOf(expr) ?? "a value";
  return (evaluation) => {
    const value = run(evaluation);
    if (typeof value === "boolean" || value instanceof Failure) return value;
    return new Failure(`${name} is ${nameKinds(kindOf(value))}, not true or false`, offset);
  };
}

function compileConditional(args: readonly Expr[], scope: Scope): Compiled {
  const [conditionExpr, ...branches] = args;
  if (conditionExpr === undefined) throw new Error("the grammar gave a conditional no condition");
  const [thenExpr, elseExpr] = pair(branches);
  const condition = compileTruth(conditionExpr, scope);
  const then = scope.compile(thenExpr);
  const otherwise = scope.compile(elseExpr);
  return compiled(
    (evaluation) => {
      const chosen = condition(evaluation);
      if (chosen instanceof Failure) return chosen;
      return chosen === true ? then.run(evaluation) : otherwise.run(evaluation);
    },
    then.kinds | otherwise.kinds,
    then.items | otherwise.items,
  );
}

/** In the expansion of `all` and `exists` alone: an undecided element does not end the loop. */
function compileNotStrictlyFalse(args: readonly Expr[], scope: Scope): Compiled {
  const runs = args.map((arg) => scope.compile(arg).run);
  return compiled((evaluation) => runs.every((run) => run(evaluation) !== false), BOOL);
}

function compileMatches(expr: Expr, call: Call, scope: Scope): Compiled {
  const [textExpr, patternExpr] = call.target === undefined ? call.args : [call.target, ...call.args];
  if (textExpr === undefined || patternExpr === undefined || call.args.length > 2) {
    return scope.refuse(expr, 'matches takes one pattern; write payload.url.matches("^https://")');
  }
  const text = scope.compile(textExpr);
  const pattern = scope.compile(patternExpr).constant?.value;
  if (typeof pattern !== "string") {
    return scope.refuse(patternExpr, "a pattern that a payload could choose is refused; write it out as a string");
  }
  if ((text.kinds & STRING) === 0) return scope.refuse(expr, `matches takes a string, not ${nameKinds(text.kinds)}`);
  const regex = compileRegex(pattern);
  if (typeof regex === "string") return scope.refuse(patternExpr, regex);
  const offset = scope.offsetOf(expr);
  const name = pathOf(textExpr) ?? "a value";
  return compiled((evaluation) => {
    const value = text.run(evaluation);
    if (value instanceof Failure) return value;
    if (typeof value !== "string") return new Failure(`${name} is ${nameKinds(kindOf(value))}, not a string`, offset);
    return regex.test(value, evaluation) ?? new Failure(EXHAUSTED, offset);
  }, BOOL);
}

function compileRegex(pattern: string): LinearRegex | string {
  try {
    return new LinearRegex(pattern);
  } catch (error) {
    const why = messageOf(error);
    return `the pattern ${JSON.stringify(pattern)} is not used: ${why}; write it in RE2's syntax`;
  }
}

/** The expansion of `map` and `filter` grows its result by `result + [x]`. */
function isAppend(args: readonly Expr[], scope: Scope): boolean {
  const [result, addition] = args;
  return (
    scope.loop !== null &&
    result?.exprKind.case === "identExpr" &&
    result.exprKind.value.name === scope.loop.resultName &&
    addition?.exprKind.case === "listExpr"
  );
}

/** Appends in place: a copy for each element would cost the square of the list. The macro owns its result. */
function compileAppend(args: readonly Expr[], scope: Scope): Compiled {
  const [, addition] = pair(args);
  const element = scope.compile(addition);
  if (scope.loop !== null) scope.loop.appended |= element.items;
  const depth = scope.loop?.depth ?? 0;
  return compiled((evaluation) => {
    const added = element.run(evaluation);
    const frame = evaluation.frame(depth);
    if (added instanceof Failure) frame.result = added;
    else if (isList(added) && frame.result === frame.grown) frame.grown.push(...added);
    return frame.result;
  }, LIST);
}

function compileFunction(expr: Expr, call: Call, scope: Scope): Compiled {
  const name = call.function;
  const entry = FUNCTIONS.get(name);
  if (entry === undefined) return scope.refuse(expr, unknownFunction(name, call.target));
  if (entry.style === "method" && call.target === undefined) {
    return scope.refuse(expr, `${name} is written behind its text; write x.${name}(…)`);
  }
  if (entry.style === "function" && call.target !== undefined) {
    return scope.refuse(expr, `${name} is written before its value; write ${name}(x)`);
  }
  const args = call.target === undefined ? call.args : [call.target, ...call.args];
  return applyOverload(expr, name, entry.overloads, args, scope);
}

function unknownFunction(name: string, target: Expr | undefined): string {
  if (MACROS.includes(name)) return `${name} takes a name and an expression; write payload.to.${name}(x, …)`;
  const instead = INSTEAD.get(name);
  if (instead !== undefined) return `there is no function ${name}: ${instead}`;
  const called = target?.exprKind.case === "identExpr" ? `${target.exprKind.value.name}.${name}` : name;
  return `unknown function ${called}; there are ${[...FUNCTIONS.keys(), "matches", "has", ...MACROS].join(", ")}`;
}

function applyOverload(
  expr: Expr,
  name: string,
  overloads: readonly Overload[],
  argExprs: readonly Expr[],
  scope: Scope,
): Compiled {
  const args = argExprs.map((arg) => scope.compile(arg));
  const known = args.map((arg) => arg.kinds);
  const possible = overloads.filter((overload) => accepts(overload, known));
  if (possible.length === 0) return scope.refuse(expr, mismatch(name, overloads, argExprs, args));
  const literal = args.at(-1)?.constant?.value;
  const problem = typeof literal === "string" ? literalProblem(name, literal) : null;
  if (problem !== null) return scope.refuse(expr, problem);
  const offset = scope.offsetOf(expr);
  const names = argExprs.map((arg) => pathOf(arg) ?? "a value");
  return compiled(
    (evaluation) => {
      const values: Value[] = [];
      for (const arg of args) {
        const value = arg.run(evaluation);
        if (value instanceof Failure) return value;
        values.push(value);
      }
      for (const overload of possible) {
        const outcome = overload.apply(values, evaluation, offset);
        if (outcome !== undefined) return outcome;
      }
      const given = values.map((value, i) => `${names[i]}, ${nameKinds(kindOf(value))}`).join(" and ");
      return new Failure(`${symbol(name)} does not take ${given}`, offset);
    },
    possible.reduce((kinds, overload) => kinds | overload.gives, 0),
    name === "_+_" ? args.reduce((items, arg) => items | arg.items, 0) : ANY,
  );
}

/** Whether values of such kinds could be taken. */
function accepts({ takes }: Overload, kinds: readonly Kinds[]): boolean {
  return takes.length === kinds.length && kinds.every((kind, i) => (kind & (takes[i] ?? 0)) !== 0);
}

/** Why no overload fits, and where ints and a payload's doubles have met, what to write. */
function mismatch(
  name: string,
  overloads: readonly Overload[],
  argExprs: readonly Expr[],
  args: readonly Compiled[],
): string {
  const kinds = args.map((arg) => arg.kinds);
  const message = `${symbol(name)} does not take ${args.length === 0 ? "nothing" : kinds.map(nameKinds).join(" and ")}`;
  const allDoubles = kinds.map((kind) => (kind === INT ? DOUBLE : kind));
  const meetsPayload = kinds.includes(INT) && overloads.some((overload) => accepts(overload, allDoubles));
  if (!meetsPayload)
    return `${message}; it takes ${overloads.map(({ takes }) => takes.map(nameKinds).join(" and ")).join(", or ")}`;
  const literal = argExprs.map(literalOf).find((value) => typeof value === "bigint");
  const instead = literal === undefined ? "double(…) around the int" : `${literal}.0`;
  return `${symbol(name)} does not mix ints and doubles, and a payload's numbers are doubles; write ${instead}`;
}

/** `_*_` as people write it. */
function symbol(name: string): string {
  return name.startsWith("_") || name.endsWith("_") ? name.replaceAll("_", "") : name;
}
