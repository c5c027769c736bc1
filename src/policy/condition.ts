import { parse } from "@bufbuild/cel";
import { compileTruth } from "./cel/call.ts";
import { compileExpression } from "./cel/compile.ts";
import type { Run } from "./cel/evaluation.ts";
import { type Complaint, type Expr, PRINCIPAL, Scope } from "./cel/scope.ts";
import { type Constants, type ConstantValue, NO_CONSTANTS } from "./constants.ts";

/** A condition is checked when a bundle is loaded, by people who may be waiting for it. */
const MAX_SOURCE_LENGTH = 8_192;

/** A rule's `when`. */
export interface Condition {
  readonly source: string;
  /** True, false, or a failure. */
  readonly test: Run;
  /** What it reads of the request, such as `payload.to[0]` or `request.principal`. */
  readonly reads: readonly string[];
  /** Constants that it uses, by name. */
  readonly constants: readonly { readonly name: string; readonly value: ConstantValue }[];
  /** Those of them that it reads without asking `has()` first, each with its place in the source. */
  readonly unguarded: readonly Complaint[];
}

/** A condition as it was parsed, for those who look into it before it is used. */
export interface Syntax {
  readonly expr: Expr;
  /** Where in the condition's source `expr` begins. */
  startOf(expr: Expr): number;
}

export type CompiledCondition =
  | { readonly kind: "condition"; readonly condition: Condition; readonly syntax: Syntax }
  | { readonly kind: "refused"; readonly complaints: readonly Complaint[] };

/** Compiles `source`, or says everything that is wrong with it. */
export function compileCondition(source: string, constants: Constants = NO_CONSTANTS): CompiledCondition {
  if (source.length > MAX_SOURCE_LENGTH) {
    return refuse(
      0,
      `a condition of ${source.length} characters; write at most ${MAX_SOURCE_LENGTH}, in several rules`,
    );
  }
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(source);
  } catch (error) {
    return refuseSyntax(source, error);
  }
  const scope = new Scope(parsed.sourceInfo?.positions ?? {}, constants, compileExpression);
  const run = compileTruth(parsed.expr, scope);
  if (scope.complaints.length > 0) return { kind: "refused", complaints: scope.complaints };
  return {
    kind: "condition",
    condition: {
      source,
      test: run,
      reads: readsOf(scope),
      constants: constantsOf(scope, constants),
      unguarded: unguarded(scope),
    },
    syntax: { expr: parsed.expr, startOf: (expr) => startOf(expr, scope) },
  };
}

function readsOf(scope: Scope): string[] {
  return [...scope.reads.keys()].filter((path) => path === PRINCIPAL || /^payload[.[]/.test(path));
}

function constantsOf(scope: Scope, constants: Constants): Condition["constants"] {
  return [...scope.used].flatMap((name) => constants.get(name) ?? []).map(({ name, value }) => ({ name, value }));
}

/** The grammar places an operator or call at itself; it begins with its first operand. */
function startOf(expr: Expr, scope: Scope): number {
  const offset = scope.offsetOf(expr);
  const { exprKind } = expr;
  if (exprKind.case === "callExpr") {
    const first = exprKind.value.target ?? exprKind.value.args[0];
    return first === undefined ? offset : Math.min(offset, startOf(first, scope));
  }
  const operand =
    exprKind.case === "selectExpr"
      ? exprKind.value.operand
      : exprKind.case === "comprehensionExpr"
        ? exprKind.value.iterRange
        : null;
  return operand === undefined || operand === null ? offset : Math.min(offset, startOf(operand, scope));
}

function refuse(offset: number, message: string): CompiledCondition {
  return { kind: "refused", complaints: [{ offset, message }] };
}

/** The grammar reports `<input>:line:column: found x but expecting y`, with the place as an offset beside it. */
function refuseSyntax(source: string, error: unknown): CompiledCondition {
  if (error instanceof RangeError) return refuse(0, "the condition is nested too deeply; write it flatter");
  const offset = offsetOfSyntaxError(error);
  const rest = source.slice(offset, offset + 20).split("\n")[0] ?? "";
  const found =
    rest === "" ? "the condition ends too early" : `the condition is not understood from ${JSON.stringify(rest)} on`;
  return refuse(offset, `${found}; write CEL such as payload.amount <= 100 && tool != "x"`);
}

function offsetOfSyntaxError(error: unknown): number {
  const place = property(property(property(error, "location"), "start"), "offset");
  return typeof place === "number" ? place : 0;
}

function property(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

/** For each path, the shortest part of it that no `has()` asks about: `has(payload.a.b)` alone still reads `payload.a`. */
function unguarded(scope: Scope): Complaint[] {
  const found: Complaint[] = [];
  for (const [path, offset] of scope.reads) {
    if (scope.guards.has(path)) continue;
    const covered = found.some(({ message }) => path.startsWith(`${message}.`) || path.startsWith(`${message}[`));
    if ((path === PRINCIPAL || path.startsWith("payload")) && !covered) found.push({ offset, message: path });
  }
  return found;
}
