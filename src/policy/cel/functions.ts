import { EXHAUSTED, type Evaluation } from "./evaluation.ts";
import {
  BOOL,
  DOUBLE,
  Failure,
  INT,
  type JsonMap,
  type Kinds,
  LIST,
  MAP,
  type Outcome,
  STRING,
  type Value,
} from "./value.ts";

/** One way to call a function or operator: the kinds that it takes, and what it gives. */
export interface Overload {
  readonly takes: readonly Kinds[];
  readonly gives: Kinds;
  /**
   * Called with values of the kinds that it takes. Spends what it costs before it works.
   *
   * @returns a value, or the words of a failure as a {@link Failure} at `offset`.
   */
  readonly apply: (args: readonly Value[], evaluation: Evaluation, offset: number) => Outcome;
}

/** How a function is written: `size(x)`, `x.contains(y)` or either. */
export interface FunctionEntry {
  readonly style: "function" | "method" | "either";
  readonly overloads: readonly Overload[];
}

const MIN_INT = -(2n ** 63n);
const MAX_INT = 2n ** 63n - 1n;
/** No text longer than this is a number. */
const MAX_NUMERAL = 64;

function overload<A extends Value, B extends Value = Value>(
  takes: readonly Kinds[],
  gives: Kinds,
  cost: (a: A, b: B) => number,
  apply: (a: A, b: B, offset: number) => Outcome,
): Overload {
  return {
    takes,
    gives,
    apply: (args, evaluation, offset) => {
      // The kinds have been matched with `takes`.
      const [a, b] = args as [A, B];
      return evaluation.spend(cost(a, b)) ? apply(a, b, offset) : new Failure(EXHAUSTED, offset);
    },
  };
}

const free = (): number => 0;

/** An int operation, with the bounds of 64 bits. */
function ints(operate: (a: bigint, b: bigint) => bigint): Overload {
  return overload<bigint, bigint>([INT, INT], INT, free, (a, b, offset) => inRange(operate(a, b), offset));
}

function dividing(operate: (a: bigint, b: bigint) => bigint): Overload {
  return overload<bigint, bigint>([INT, INT], INT, free, (a, b, offset) =>
    b === 0n ? new Failure("division by zero", offset) : inRange(operate(a, b), offset),
  );
}

function doubles(operate: (a: number, b: number) => number): Overload {
  return overload<number, number>([DOUBLE, DOUBLE], DOUBLE, free, operate);
}

function inRange(value: bigint, offset: number): Outcome {
  return value < MIN_INT || value > MAX_INT ? new Failure("an int is out of range", offset) : value;
}

/** Operators, by the names that CEL's grammar gives them. `==`, `<`, `in`, `&&` and their like are compiled apart. */
export const OPERATORS: ReadonlyMap<string, readonly Overload[]> = new Map<string, readonly Overload[]>([
  [
    "_+_",
    [
      ints((a, b) => a + b),
      doubles((a, b) => a + b),
      overload<string, string>(
        [STRING, STRING],
        STRING,
        (a, b) => 1 + (a.length + b.length) / 16,
        (a, b) => a + b,
      ),
      overload<Value[], Value[]>(
        [LIST, LIST],
        LIST,
        (a, b) => 1 + a.length + b.length,
        (a, b) => [...a, ...b],
      ),
    ],
  ],
  ["_-_", [ints((a, b) => a - b), doubles((a, b) => a - b)]],
  ["_*_", [ints((a, b) => a * b), doubles((a, b) => a * b)]],
  ["_/_", [dividing((a, b) => a / b), doubles((a, b) => a / b)]],
  ["_%_", [dividing((a, b) => a % b)]],
  [
    "-_",
    [
      overload<bigint>([INT], INT, free, (a, _, offset) => inRange(-a, offset)),
      overload<number>([DOUBLE], DOUBLE, free, (a) => -a),
    ],
  ],
  ["!_", [overload<boolean>([BOOL], BOOL, free, (a) => !a)]],
]);

/** Every function of the rule language. `has`, `matches` and the macros are compiled apart. */
export const FUNCTIONS: ReadonlyMap<string, FunctionEntry> = new Map<string, FunctionEntry>([
  [
    "size",
    {
      style: "either",
      overloads: [
        overload<string>(
          [STRING],
          INT,
          (a) => 1 + a.length / 4,
          (a) => BigInt(codePoints(a)),
        ),
        overload<Value[]>([LIST], INT, free, (a) => BigInt(a.length)),
        overload<JsonMap>(
          [MAP],
          INT,
          (a) => Object.keys(a).length,
          (a) => BigInt(Object.keys(a).length),
        ),
      ],
    },
  ],
  // V8's search is quadratic at worst: the needle may be the payload's too.
  [
    "contains",
    text(
      (a, b) => 1 + (a.length * b.length) / 64,
      (a, b) => a.includes(b),
    ),
  ],
  [
    "startsWith",
    text(
      (_, b) => 1 + b.length / 32,
      (a, b) => a.startsWith(b),
    ),
  ],
  [
    "endsWith",
    text(
      (_, b) => 1 + b.length / 32,
      (a, b) => a.endsWith(b),
    ),
  ],
  [
    "lowerAscii",
    { style: "method", overloads: [overload<string>([STRING], STRING, (a) => 1 + a.length / 4, lowerAscii)] },
  ],
  [
    "int",
    {
      style: "function",
      overloads: [
        overload<bigint>([INT], INT, free, (a) => a),
        overload<number>([DOUBLE], INT, free, intOfDouble),
        overload<string>([STRING], INT, free, intOfString),
      ],
    },
  ],
  [
    "double",
    {
      style: "function",
      overloads: [
        overload<bigint>([INT], DOUBLE, free, (a) => Number(a)),
        overload<number>([DOUBLE], DOUBLE, free, (a) => a),
        overload<string>([STRING], DOUBLE, free, doubleOfString),
      ],
    },
  ],
]);

function text(cost: (a: string, b: string) => number, apply: (a: string, b: string) => boolean): FunctionEntry {
  return { style: "method", overloads: [overload<string, string>([STRING, STRING], BOOL, cost, apply)] };
}

/** CEL counts code points, and JavaScript counts surrogates one by one. */
function codePoints(value: string): number {
  let count = value.length;
  for (let i = 0; i < value.length; i++) {
    if ((value.codePointAt(i) as number) > 0xffff) {
      count--;
      i++;
    }
  }
  return count;
}

/** ASCII alone: `toLowerCase` would also turn the Kelvin sign into a k, and so one host name into another. */
function lowerAscii(value: string): string {
  return value.replace(/[A-Z]+/g, (capitals) => capitals.toLowerCase());
}

function intOfDouble(value: number, _: Value, offset: number): Outcome {
  // The bounds themselves are excluded, as in cel-go: 2⁶³ as a double is what 2⁶³-1 rounds to.
  const inside = value > -(2 ** 63) && value < 2 ** 63;
  return inside ? BigInt(Math.trunc(value)) : new Failure("a double is out of an int's range", offset);
}

function intOfString(value: string, _: Value, offset: number): Outcome {
  if (value.length > MAX_NUMERAL || !/^[+-]?[0-9]+$/.test(value)) return new Failure("a string is no int", offset);
  return inRange(BigInt(value.startsWith("+") ? value.slice(1) : value), offset);
}

function doubleOfString(value: string, _: Value, offset: number): Outcome {
  const numeral = value.length <= MAX_NUMERAL && /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$/.test(value);
  return numeral ? Number(value) : new Failure("a string is no double", offset);
}
