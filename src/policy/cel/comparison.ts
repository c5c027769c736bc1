import { compareValues, equalValues, isIn } from "./equality.ts";
import type { Evaluation, Run } from "./evaluation.ts";
import { type Compiled, compiled, constant, type Expr, pair, pathOf, type Scope } from "./scope.ts";
import { BOOL, comparable, DOUBLE, Failure, INT, isList, kindOf, type Kinds, LIST } from "./value.ts";
import { MAP, nameKinds, type Outcome, STRING, type Value } from "./value.ts";

/** What `a < b` asks of {@link compareValues}. NaN answers none of them. */
const ORDERINGS: ReadonlyMap<string, (order: number) => boolean> = new Map([
  ["_<_", (order: number) => order < 0],
  ["_<=_", (order: number) => order <= 0],
  ["_>_", (order: number) => order > 0],
  ["_>=_", (order: number) => order >= 0],
]);

/** `==`, `!=`, `<`, `<=`, `>`, `>=` and `in`; null for another name. */
export function compileComparison(expr: Expr, name: string, args: readonly Expr[], scope: Scope): Compiled | null {
  const ordering = ORDERINGS.get(name);
  if (ordering !== undefined) return compileOrdering(expr, args, ordering, scope);
  if (name === "_==_" || name === "_!=_") return compileEquality(expr, args, name === "_==_", scope);
  return name === "@in" ? compileIn(expr, args, scope) : null;
}

/** Runs two operands, then `apply`; the first failure of theirs is the result. */
function strict(left: Run, right: Run, apply: (a: Value, b: Value, evaluation: Evaluation) => Outcome): Run {
  return (evaluation) => {
    const a = left(evaluation);
    if (a instanceof Failure) return a;
    const b = right(evaluation);
    return b instanceof Failure ? b : apply(a, b, evaluation);
  };
}

function compileOrdering(expr: Expr, args: readonly Expr[], holds: (order: number) => boolean, scope: Scope): Compiled {
  const [left, right] = compilePair(args, scope);
  if ((comparable(left.kinds, right.kinds) & (INT | DOUBLE | STRING | BOOL)) === 0) {
    return scope.refuse(expr, `${nameKinds(left.kinds)} has no order with ${nameKinds(right.kinds)}`);
  }
  const fail = failureAt(expr, args, scope);
  return compiled(
    strict(left.run, right.run, (a, b, evaluation) => {
      const order = compareValues(a, b, evaluation, 0);
      return order instanceof Failure ? fail(order) : holds(order);
    }),
    BOOL,
  );
}

function compileEquality(expr: Expr, args: readonly Expr[], wanted: boolean, scope: Scope): Compiled {
  const [left, right] = compilePair(args, scope);
  // An explicit test for null: the one comparison of unlike kinds that an author can mean.
  if (left.constant?.value === null) return compileNullTest(right, wanted);
  if (right.constant?.value === null) return compileNullTest(left, wanted);
  if (comparable(left.kinds, right.kinds) === 0) {
    return scope.refuse(expr, `${nameKinds(left.kinds)} never equals ${nameKinds(right.kinds)}`);
  }
  const fail = failureAt(expr, args, scope);
  return compiled(
    strict(left.run, right.run, (a, b, evaluation) => {
      const equal = equalValues(a, b, evaluation, 0);
      return equal instanceof Failure ? fail(equal) : equal === wanted;
    }),
    BOOL,
  );
}

function compileNullTest(operand: Compiled, wanted: boolean): Compiled {
  return compiled((evaluation) => {
    const value = operand.run(evaluation);
    return value instanceof Failure ? value : (value === null) === wanted;
  }, BOOL);
}

/** Both operands; an int literal beside what is never an int becomes the double that it would be compared as each time. */
function compilePair(args: readonly Expr[], scope: Scope): readonly [Compiled, Compiled] {
  const [leftExpr, rightExpr] = pair(args);
  const left = scope.compile(leftExpr);
  const right = scope.compile(rightExpr);
  return [asDouble(left, right.kinds), asDouble(right, left.kinds)];
}

function asDouble(operand: Compiled, otherKinds: Kinds): Compiled {
  const value = operand.constant?.value;
  if (typeof value !== "bigint" || (otherKinds & INT) !== 0 || (otherKinds & DOUBLE) === 0) return operand;
  return Number.isSafeInteger(Number(value)) ? constant(Number(value), DOUBLE) : operand;
}

function compileIn(expr: Expr, args: readonly Expr[], scope: Scope): Compiled {
  const [leftExpr, rightExpr] = pair(args);
  const left = scope.compile(leftExpr);
  const right = scope.compile(rightExpr);
  if ((right.kinds & LIST) === 0) {
    const instead = right.kinds === MAP ? `; write has(${pathOf(rightExpr) ?? "payload"}["key"])` : "";
    return scope.refuse(expr, `"in" looks in lists, not in ${nameKinds(right.kinds)}${instead}`);
  }
  if (comparable(left.kinds, right.items) === 0 && right.items !== 0) {
    return scope.refuse(expr, `${nameKinds(left.kinds)} is never in a list of ${nameKinds(right.items)}`);
  }
  const fail = failureAt(expr, args, scope);
  return compiled(
    strict(left.run, right.run, (x, list, evaluation) => {
      if (!isList(list)) return fail(new Failure(`"in" looks in lists, not in ${nameKinds(kindOf(list))}`, 0));
      const found = isIn(x, list, evaluation, 0);
      return found instanceof Failure ? fail(found) : found;
    }),
    BOOL,
  );
}

/** Puts the place and the operand's name to a failure that knows neither. */
function failureAt(expr: Expr, args: readonly Expr[], scope: Scope): (failure: Failure) => Failure {
  const offset = scope.offsetOf(expr);
  const paths = args.map(pathOf).filter((path) => path !== null);
  const prefix = paths.length === 0 ? "" : `${paths.join(", ")}: `;
  return (failure) => new Failure(prefix + failure.message, offset);
}
