import { parse } from "@bufbuild/cel";
import { compileTruth } from "./cel/call.ts";
import { compileExpression } from "./cel/compile.ts";
import type { Run } from "./cel/evaluation.ts";
import { type Complaint, Scope } from "./cel/scope.ts";

/** A condition is checked when a bundle is loaded, by people who may be waiting for it. */
const MAX_SOURCE_LENGTH = 8_192;

/** A rule's `when`. */
export interface Condition {
  readonly source: string;
  /** True, false, or a failure. */
  readonly test: Run;
  /** Fields of the payload that it reads, such as `payload.to[0]`. */
  readonly reads: readonly string[];
  /** Fields of the payload that it reads without asking `has()` first, each with its place in the source. */
  readonly unguarded: readonly Complaint[];
}

export type CompiledCondition =
  | { readonly kind: "condition"; readonly condition: Condition }
  | { readonly kind: "refused"; readonly complaints: readonly Complaint[] };

/** Compiles `source`, or says everything that is wrong with it. */
export function compileCondition(source: string): CompiledCondition {
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
  const scope = new Scope(parsed.sourceInfo?.positions ?? {}, compileExpression);
  const run = compileTruth(parsed.expr, scope);
  if (scope.complaints.length > 0) return { kind: "refused", complaints: scope.complaints };
  return {
    kind: "condition",
    condition: { source, test: run, reads: readsOf(scope), unguarded: unguarded(scope) },
  };
}

function readsOf(scope: Scope): string[] {
  return [...scope.reads.keys()].filter((path) => /^payload[.[]/.test(path));
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
    if (path.startsWith("payload") && !covered) found.push({ offset, message: path });
  }
  return found;
}
