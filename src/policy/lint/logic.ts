import type { Expr } from "../cel/scope.ts";
import { pair } from "../cel/scope.ts";
import type { Constants } from "../constants.ts";
import { callOf, hasPathOf, macroOf, valueOf } from "./expr.ts";

/** What has to hold for a condition to be true, with negations down at what cannot be taken apart. */
export type Logic =
  | { readonly kind: "all"; readonly parts: readonly Logic[] }
  | { readonly kind: "any"; readonly parts: readonly Logic[] }
  /** Holds for at least one element of a list. */
  | { readonly kind: "some"; readonly expr: Expr; readonly range: Expr; readonly body: Logic }
  /** Holds for every element of a list, also of an empty one. */
  | { readonly kind: "every"; readonly expr: Expr; readonly range: Expr; readonly body: Logic }
  /** An expression that has to be true, or false; an error is neither. */
  | { readonly kind: "atom"; readonly expr: Expr; readonly wanted: boolean };

const COMPARISONS: ReadonlySet<string> = new Set(["_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in"]);

/** What makes `expr` come to `wanted`. */
export function logicOf(expr: Expr, wanted: boolean, constants: Constants): Logic {
  const call = callOf(expr);
  switch (call?.function) {
    case "_&&_":
    case "_||_": {
      const parts = pair(call.args).map((part) => logicOf(part, wanted, constants));
      const kind = (call.function === "_&&_") === wanted ? "all" : "any";
      return { kind, parts: parts.flatMap((part) => (part.kind === kind ? part.parts : [part])) };
    }
    case "!_": {
      const [inner] = call.args;
      if (inner !== undefined) return logicOf(inner, !wanted, constants);
      break;
    }
    case "_?_:_": {
      const [condition, ...branches] = call.args;
      const [then, otherwise] = pair(branches);
      if (condition === undefined) break;
      return {
        kind: "any",
        parts: [
          { kind: "all", parts: [logicOf(condition, true, constants), logicOf(then, wanted, constants)] },
          { kind: "all", parts: [logicOf(condition, false, constants), logicOf(otherwise, wanted, constants)] },
        ],
      };
    }
    case "_==_":
    case "_!=_": {
      const [left, right] = pair(call.args);
      const value = valueOf(right, constants);
      if (typeof value === "boolean" && isTruth(left)) {
        return logicOf(left, (value === (call.function === "_==_")) === wanted, constants);
      }
      break;
    }
    case undefined:
    default:
      break;
  }
  const macro = macroOf(expr);
  if (macro === null) return { kind: "atom", expr, wanted };
  // That exactly one element is not there says nothing about any.
  if (macro.name === "exists_one" && !wanted) return { kind: "atom", expr, wanted };
  const body = logicOf(macro.body, wanted, constants);
  return { kind: (macro.name === "all") === wanted ? "every" : "some", expr, range: macro.range, body };
}

/** Whether `expr` comes to true or false whatever the payload is, or to an error. */
function isTruth(expr: Expr): boolean {
  const name = callOf(expr)?.function;
  const isLogic = name !== undefined && (COMPARISONS.has(name) || ["_&&_", "_||_", "!_"].includes(name));
  return isLogic || hasPathOf(expr) !== null || macroOf(expr) !== null;
}

/** Every expression that `logic` consists of, with what it has to come to. */
export function* atomsOf(logic: Logic): Generator<Extract<Logic, { kind: "atom" }>> {
  if (logic.kind === "atom") yield logic;
  else if (logic.kind === "all" || logic.kind === "any") for (const part of logic.parts) yield* atomsOf(part);
  else yield* atomsOf(logic.body);
}

/** Where `logic` begins, to point at it. */
export function exprOf(logic: Logic): Expr | null {
  if (logic.kind === "atom" || logic.kind === "some" || logic.kind === "every") return logic.expr;
  const [first] = logic.parts;
  return first === undefined ? null : exprOf(first);
}
