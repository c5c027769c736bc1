import {
  binary,
  bool,
  type Cost,
  double,
  free,
  type FunctionEntry,
  int,
  list,
  map,
  type Overload,
  string,
  unary,
} from "./overload.ts";
import { PARSERS } from "./parsers.ts";
import { BOOL, DOUBLE, Failure, INT, type JsonMap, LIST, type Outcome, STRING } from "./value.ts";

const MIN_INT = -(2n ** 63n);
const MAX_INT = 2n ** 63n - 1n;
/** No text longer than this is a number. */
const MAX_NUMERAL = 64;

/** An int operation, with the bounds of 64 bits. */
function ints(operate: (a: bigint, b: bigint) => bigint): Overload {
  return binary([int, int], INT, free, (a, b, offset) => inRange(operate(a, b), offset));
}

function dividing(operate: (a: bigint, b: bigint) => bigint): Overload {
  return binary([int, int], INT, free, (a, b, offset) =>
    b === 0n ? new Failure("division by zero", offset) : inRange(operate(a, b), offset),
  );
}

function doubles(operate: (a: number, b: number) => number): Overload {
  return binary([double, double], DOUBLE, free, operate);
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
      binary(
        [string, string],
        STRING,
        (a, b) => 1 + (a.length + b.length) / 16,
        (a, b) => a + b,
      ),
      binary(
        [list, list],
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
  ["-_", [unary(int, INT, free, (a, offset) => inRange(-a, offset)), unary(double, DOUBLE, free, (a) => -a)]],
  ["!_", [unary(bool, BOOL, free, (a) => !a)]],
]);

/** Every function of the rule language. `has`, `matches` and the macros are compiled apart. */
export const FUNCTIONS: ReadonlyMap<string, FunctionEntry> = new Map<string, FunctionEntry>([
  [
    "size",
    {
      style: "either",
      overloads: [
        unary(
          string,
          INT,
          (a) => 1 + a.length / 4,
          (a) => BigInt(codePoints(a)),
        ),
        unary(list, INT, free, (a) => BigInt(a.length)),
        unary(map, INT, keyCount, (a) => BigInt(keyCount(a))),
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
  ["lowerAscii", { style: "method", overloads: [unary(string, STRING, asciiCaseCost, lowerAscii)] }],
  ["upperAscii", { style: "method", overloads: [unary(string, STRING, asciiCaseCost, upperAscii)] }],
  [
    "int",
    {
      style: "function",
      overloads: [
        unary(int, INT, free, (a) => a),
        unary(double, INT, free, intOfDouble),
        unary(string, INT, free, intOfString),
      ],
    },
  ],
  [
    "double",
    {
      style: "function",
      overloads: [
        unary(int, DOUBLE, free, Number),
        unary(double, DOUBLE, free, (a) => a),
        unary(string, DOUBLE, free, doubleOfString),
      ],
    },
  ],
  ...PARSERS,
]);

function text(cost: Cost<[string, string]>, apply: (a: string, b: string) => boolean): FunctionEntry {
  return { style: "method", overloads: [binary([string, string], BOOL, cost, apply)] };
}

function keyCount(value: JsonMap): number {
  return Object.keys(value).length;
}

/** CEL counts code points, JavaScript the halves of those beyond U+FFFF. */
function codePoints(value: string): number {
  let pairs = 0;
  for (let i = 1; i < value.length; i++) {
    const isPair = (value.charCodeAt(i) & 0xfc00) === 0xdc00 && (value.charCodeAt(i - 1) & 0xfc00) === 0xd800;
    if (isPair) pairs++;
  }
  return value.length - pairs;
}

/** ASCII alone: `toLowerCase` would also turn the Kelvin sign into a k, and so one host name into another. */
function lowerAscii(value: string): string {
  return isAscii(value) ? value.toLowerCase() : value.replace(/[A-Z]+/g, (capitals) => capitals.toLowerCase());
}

function upperAscii(value: string): string {
  return isAscii(value) ? value.toUpperCase() : value.replace(/[a-z]+/g, (small) => small.toUpperCase());
}

function asciiCaseCost(value: string): number {
  return 1 + value.length * (isAscii(value) ? 1 : 8);
}

function isAscii(value: string): boolean {
  return /^[\0-\x7f]*$/.test(value);
}

function intOfDouble(value: number, offset: number): Outcome {
  // The bounds themselves are excluded, as in cel-go: 2⁶³ as a double is what 2⁶³-1 rounds to.
  const inside = value > -(2 ** 63) && value < 2 ** 63;
  return inside ? BigInt(Math.trunc(value)) : new Failure("a double is out of an int's range", offset);
}

function intOfString(value: string, offset: number): Outcome {
  if (value.length > MAX_NUMERAL || !/^-?[0-9]+$/.test(value)) return new Failure("a string is not an int", offset);
  return inRange(BigInt(value), offset);
}

function doubleOfString(value: string, offset: number): Outcome {
  const numeral = value.length <= MAX_NUMERAL && /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$/.test(value);
  return numeral ? Number(value) : new Failure("a string is not a double", offset);
}
