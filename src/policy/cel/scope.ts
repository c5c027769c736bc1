import type { parse } from "@bufbuild/cel";
import { memberStep } from "../payload-path.ts";
import type { Run } from "./evaluation.ts";
import { ANY, Failure, isList, type Kinds, kindOf, type Value } from "./value.ts";

/** CEL's syntax tree, as cel-spec's `cel.expr.Expr` has it. */
export type Expr = ReturnType<typeof parse>["expr"];

/** The one thing of a request besides its payload, tool and agent that a condition sees, as a path. */
export const PRINCIPAL = "request.principal";

/** An expression ready to run, with what is known of its value beforehand. */
export interface Compiled {
  readonly run: Run;
  readonly kinds: Kinds;
  /** The kinds of its elements, where it is a list. */
  readonly items: Kinds;
  /** Its value, where it is a literal. */
  readonly constant: { readonly value: Value } | null;
}

export function compiled(run: Run, kinds: Kinds, items: Kinds = ANY): Compiled {
  return { run, kinds, items, constant: null };
}

export function constant(value: Value, kinds: Kinds, items: Kinds = ANY): Compiled {
  return { run: () => value, kinds, items, constant: { value } };
}

/** A value as a literal of it would be. */
export function constantOf(value: Value): Compiled {
  return constant(
    value,
    kindOf(value),
    isList(value) ? value.reduce<Kinds>((kinds, item) => kinds | kindOf(item), 0) : ANY,
  );
}

/** Something that the rule's author has to change. */
export interface Complaint {
  /** Where in the condition's source. */
  readonly offset: number;
  readonly message: string;
}

/** The macro whose body is being compiled, within that of `outer`. */
export interface Loop {
  readonly outer: Loop | null;
  /** How many macros it stands in; the place of its variables in an evaluation. */
  readonly depth: number;
  readonly variable: string;
  /** The kinds of the elements, and of theirs where they are lists. */
  readonly items: Kinds;
  readonly nested: Kinds;
  /** The grammar's name for what the macro has found so far; no author can write it. */
  readonly resultName: string;
  readonly resultKinds: Kinds;
  /** The kinds of what the body appends to a result that is a list. */
  appended: Kinds;
}

/** What compiling one condition knows and gathers. */
export class Scope {
  readonly complaints: Complaint[] = [];
  /** Paths below `payload`, and {@link PRINCIPAL}, that the condition reads, with the first place of each. */
  readonly reads = new Map<string, number>();
  /** Paths that it asks about with `has()`. */
  readonly guards = new Set<string>();
  /** Names of the constants that it uses. */
  readonly used = new Set<string>();
  /** The innermost macro; non-null inside a macro's body. */
  loop: Loop | null = null;
  /** How many nodes have been compiled: what one turn of a loop costs. */
  nodes = 0;
  readonly compile: (expr: Expr) => Compiled;
  /** What `constants.name` stands for. */
  readonly constants: ReadonlyMap<string, { readonly value: Value }>;
  readonly #positions: Readonly<Record<string, number>>;

  constructor(
    positions: Readonly<Record<string, number>>,
    constants: ReadonlyMap<string, { readonly value: Value }>,
    compile: (expr: Expr, scope: Scope) => Compiled,
  ) {
    this.#positions = positions;
    this.constants = constants;
    this.compile = (expr) => {
      this.nodes++;
      return compile(expr, this);
    };
  }

  offsetOf(expr: Expr): number {
    return this.#positions[String(expr.id)] ?? 0;
  }

  /** Notes a complaint, and stands in for the expression so that the rest is checked too. */
  refuse(expr: Expr, message: string): Compiled {
    const offset = this.offsetOf(expr);
    this.complaints.push({ offset, message });
    return compiled(() => new Failure(message, offset), ANY);
  }
}

/** The operands of a binary operator. */
export function pair(exprs: readonly Expr[]): readonly [Expr, Expr] {
  const [left, right] = exprs;
  if (left === undefined || right === undefined) throw new Error("the grammar gave an operator too few operands");
  return [left, right];
}

/** `expr` as a path such as `payload.to[0]`, if it is one. */
export function pathOf(expr: Expr): string | null {
  const { exprKind } = expr;
  if (exprKind.case === "identExpr") return exprKind.value.name;
  if (exprKind.case === "selectExpr") return stepPath(exprKind.value.operand, `.${exprKind.value.field}`);
  if (exprKind.case !== "callExpr" || exprKind.value.function !== "_[_]") return null;
  const [operand, indexExpr] = pair(exprKind.value.args);
  const index = literalOf(indexExpr);
  if (typeof index === "string") return stepPath(operand, memberStep(index));
  return index === null ? null : stepPath(operand, `[${index}]`);
}

function stepPath(operand: Expr | undefined, step: string): string | null {
  const path = operand === undefined ? null : pathOf(operand);
  return path === null ? null : path + step;
}

/** The string or number that `expr` is written as, else null. */
export function literalOf(expr: Expr | undefined): string | number | bigint | null {
  const literal = expr?.exprKind.case === "constExpr" ? expr.exprKind.value.constantKind : null;
  const isText = literal?.case === "stringValue";
  return isText || literal?.case === "int64Value" || literal?.case === "doubleValue" ? literal.value : null;
}
