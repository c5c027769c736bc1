import { EXHAUSTED } from "./evaluation.ts";
import { type Compiled, compiled, type Expr, type Loop, pathOf, type Scope } from "./scope.ts";
import { ANY, Failure, isList, JSON_KINDS, kindOf, LIST, nameKinds } from "./value.ts";

type Comprehension = Extract<Expr["exprKind"], { case: "comprehensionExpr" }>["value"];

const TAKEN: readonly string[] = ["payload", "agent", "tool", "constants"];

/**
 * `all`, `exists`, `exists_one`, `map` and `filter`, which the grammar expands to CEL's one kind of loop.
 *
 * Narrower than CEL in two ways. Within a loop another one runs over a written list or a constant alone, since work over two
 * lists of a payload would multiply. They run over lists alone: CEL would go
 * over a map's keys, and `payload.to.all(r, r.endsWith("@example.com"))` must not hold for `{"x@example.com": "…"}`.
 */
export function compileMacro(expr: Expr, comprehension: Comprehension, scope: Scope): Compiled {
  const { iterVar, iterRange, accuVar, accuInit, loopCondition, loopStep, result } = comprehension;
  if (!iterRange || !accuInit || !loopCondition || !loopStep || !result)
    return scope.refuse(expr, "a macro lacks a part");
  if (TAKEN.includes(iterVar)) return scope.refuse(expr, `${iterVar} has a meaning already; choose another name`);
  const range = scope.compile(iterRange);
  const outer = scope.loop;
  if (outer !== null && range.constant === null) {
    return scope.refuse(
      expr,
      'within a macro, another one runs over a written list or a constant alone, as in ["a", "b"].exists(x, …); flatten the list in the payload, or write a rule for each part',
    );
  }
  for (let loop = outer; loop !== null; loop = loop.outer) {
    if (loop.variable === iterVar)
      return scope.refuse(expr, `${iterVar} is the name in the macro outside; choose another name`);
  }
  if ((range.kinds & LIST) === 0) return scope.refuse(expr, `a macro runs over lists, not ${nameKinds(range.kinds)}`);

  const before = scope.nodes;
  const init = scope.compile(accuInit);
  const loop: Loop = {
    outer,
    depth: outer === null ? 0 : outer.depth + 1,
    variable: iterVar,
    // Of an empty list nothing is known, and nothing is run.
    items: range.items === 0 ? ANY : range.items,
    nested: pathOf(iterRange) === null ? ANY : JSON_KINDS,
    resultName: accuVar,
    resultKinds: init.kinds,
    appended: 0,
  };
  scope.loop = loop;
  const goesOn = scope.compile(loopCondition);
  const step = scope.compile(loopStep);
  const answer = scope.compile(result);
  scope.loop = outer;

  const turn = scope.nodes - before;
  const growsList = accuInit.exprKind.case === "listExpr";
  const offset = scope.offsetOf(expr);
  const name = pathOf(iterRange) ?? "a value";
  const { depth } = loop;
  return compiled(
    (evaluation) => {
      const list = range.run(evaluation);
      if (list instanceof Failure) return list;
      if (!isList(list)) return new Failure(`${name} is ${nameKinds(kindOf(list))}, not a list`, offset);
      // A new list each time: the loop appends to it in place.
      const frame = evaluation.frame(depth);
      frame.grown = [];
      frame.result = growsList ? frame.grown : init.run(evaluation);
      for (const item of list) {
        if (!evaluation.spend(turn)) return new Failure(EXHAUSTED, offset);
        frame.item = item;
        if (goesOn.run(evaluation) !== true) break;
        frame.result = step.run(evaluation);
      }
      return answer.run(evaluation);
    },
    answer.kinds,
    growsList ? loop.appended : ANY,
  );
}
