import { EXHAUSTED, type Evaluation } from "./evaluation.ts";
import { Cidr, Ip } from "./ip.ts";
import { StrictPath } from "./path.ts";
import { Url } from "./url.ts";
import { BOOL, CIDR, DOUBLE, Failure, INT, IP, isList, isMap, type JsonMap, type Kinds, LIST } from "./value.ts";
import { MAP, type Outcome, PATH, STRING, URL, type Value } from "./value.ts";

/** A kind of value as a type. */
export interface Type<T extends Value> {
  readonly kind: Kinds;
  readonly is: (value: Value) => value is T;
}

export const bool: Type<boolean> = { kind: BOOL, is: (value) => typeof value === "boolean" };
export const int: Type<bigint> = { kind: INT, is: (value) => typeof value === "bigint" };
export const double: Type<number> = { kind: DOUBLE, is: (value) => typeof value === "number" };
export const string: Type<string> = { kind: STRING, is: (value) => typeof value === "string" };
export const list: Type<readonly Value[]> = { kind: LIST, is: isList };
export const map: Type<JsonMap> = { kind: MAP, is: isMap };
export const url: Type<Url> = { kind: URL, is: (value) => value instanceof Url };
export const ip: Type<Ip> = { kind: IP, is: (value) => value instanceof Ip };
export const cidr: Type<Cidr> = { kind: CIDR, is: (value) => value instanceof Cidr };
export const path: Type<StrictPath> = { kind: PATH, is: (value) => value instanceof StrictPath };

/** One way to call a function or operator: the kinds that it takes, and what it gives. */
export interface Overload {
  readonly takes: readonly Kinds[];
  readonly gives: Kinds;
  /** Undefined if `args` are not of the kinds that it takes. Spends what it costs before it works. */
  readonly apply: (args: readonly Value[], evaluation: Evaluation, offset: number) => Outcome | undefined;
}

/** How a function is written: `size(x)`, `x.contains(y)` or either. */
export interface FunctionEntry {
  readonly style: "function" | "method" | "either";
  readonly overloads: readonly Overload[];
}

/** What a call costs, in an evaluation's units. */
export type Cost<Args extends Value[]> = (...args: Args) => number;

export function unary<A extends Value>(
  takes: Type<A>,
  gives: Kinds,
  cost: Cost<[A]>,
  apply: (a: A, offset: number) => Outcome,
): Overload {
  return {
    takes: [takes.kind],
    gives,
    apply: ([a], evaluation, offset) => {
      if (a === undefined || !takes.is(a)) return undefined;
      return evaluation.spend(cost(a)) ? apply(a, offset) : new Failure(EXHAUSTED, offset);
    },
  };
}

export function binary<A extends Value, B extends Value>(
  takes: readonly [Type<A>, Type<B>],
  gives: Kinds,
  cost: Cost<[A, B]>,
  apply: (a: A, b: B, offset: number) => Outcome,
): Overload {
  const [first, second] = takes;
  return {
    takes: [first.kind, second.kind],
    gives,
    apply: ([a, b], evaluation, offset) => {
      if (a === undefined || b === undefined || !first.is(a) || !second.is(b)) return undefined;
      return evaluation.spend(cost(a, b)) ? apply(a, b, offset) : new Failure(EXHAUSTED, offset);
    },
  };
}

export const free = (): number => 0;
