import { EXHAUSTED, type Evaluation } from "./evaluation.ts";
import { Ip } from "./ip.ts";
import { Failure, isList, isMap, isParsed, type JsonMap, kindOf, nameKinds, type Value } from "./value.ts";

/**
 * `==`, stricter than CEL's: values of different kinds are not unequal, they are an error.
 *
 * CEL answers `"yes" == true` with false. In a deny rule `payload.blocked == true` that would let the rule lapse because
 * someone sent text where a bool was meant. Explicit tests for null are compiled apart and never come here with a literal.
 * Elsewhere this agrees with CEL: numbers compare across int and double, lists by element, maps by key.
 */
export function equalValues(a: Value, b: Value, evaluation: Evaluation, offset: number): boolean | Failure {
  if (typeof a === "string" && typeof b === "string") {
    if (!evaluation.spend(1 + Math.min(a.length, b.length) / 32)) return new Failure(EXHAUSTED, offset);
    return a === b;
  }
  if (!evaluation.spend(2)) return new Failure(EXHAUSTED, offset);
  if (isNumber(a) && isNumber(b)) return numbersEqual(a, b);
  if (isList(a) && isList(b)) return equalLists(a, b, evaluation, offset);
  if (isMap(a) && isMap(b)) return equalMaps(a, b, evaluation, offset);
  if (a instanceof Ip && b instanceof Ip) return a.text === b.text;
  if (isParsed(a)) return new Failure(`${nameKinds(kindOf(a))} is compared`, offset);
  if (kindOf(a) === kindOf(b)) return a === b;
  return new Failure(`${nameKinds(kindOf(a))} is compared with ${nameKinds(kindOf(b))}`, offset);
}

/** `x in list`: true if any element equals `x`, else an error if any could not be compared, else false. */
export function isIn(x: Value, list: readonly Value[], evaluation: Evaluation, offset: number): boolean | Failure {
  let failure: Failure | null = null;
  for (const element of list) {
    const equal = equalValues(x, element, evaluation, offset);
    if (equal === true) return true;
    if (equal instanceof Failure) {
      if (equal.message === EXHAUSTED) return equal;
      failure ??= equal;
    }
  }
  return failure ?? false;
}

/** `<`: negative, zero or positive. Numbers across int and double, strings by code point, bools; all else is an error. */
export function compareValues(a: Value, b: Value, evaluation: Evaluation, offset: number): number | Failure {
  if (typeof a === "number" && typeof b === "number") return order(a, b);
  if (typeof a === "string" && typeof b === "string") {
    if (!evaluation.spend(1 + Math.min(a.length, b.length) / 2)) return new Failure(EXHAUSTED, offset);
    return compareCodePoints(a, b);
  }
  if (typeof a === "bigint" && typeof b === "bigint") return order(a, b);
  if (isNumber(a) && isNumber(b)) return order(Number(a), Number(b));
  if (typeof a === "boolean" && typeof b === "boolean") return order(Number(a), Number(b));
  return new Failure(`${nameKinds(kindOf(a))} has no order with ${nameKinds(kindOf(b))}`, offset);
}

/** Written out, since a difference would make infinity differ from itself. NaN has no order with anything. */
function order<T extends number | bigint>(a: T, b: T): number {
  if (a < b) return -1;
  if (a > b) return 1;
  return a === b ? 0 : Number.NaN;
}

function isNumber(value: Value): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

/** Across int and double by what they are worth: `===` never holds between bigint and number. */
function numbersEqual(a: number | bigint, b: number | bigint): boolean {
  return a <= b && a >= b;
}

function equalLists(
  a: readonly Value[],
  b: readonly Value[],
  evaluation: Evaluation,
  offset: number,
): boolean | Failure {
  if (a.length !== b.length) return false;
  return allEqual(a.entries(), (i) => b[i], evaluation, offset);
}

function equalMaps(a: JsonMap, b: JsonMap, evaluation: Evaluation, offset: number): boolean | Failure {
  const entries = Object.entries(a);
  if (!evaluation.spend(entries.length)) return new Failure(EXHAUSTED, offset);
  if (entries.length !== Object.keys(b).length || !entries.every(([key]) => Object.hasOwn(b, key))) return false;
  return allEqual(entries, (key) => b[key], evaluation, offset);
}

/** A difference decides, whatever else could not be compared. */
function allEqual<Key>(
  entries: Iterable<[Key, Value]>,
  counterpart: (key: Key) => Value | undefined,
  evaluation: Evaluation,
  offset: number,
): boolean | Failure {
  let failure: Failure | null = null;
  for (const [key, value] of entries) {
    const equal = equalValues(value, counterpart(key) ?? null, evaluation, offset);
    if (equal === false) return false;
    if (equal !== true) {
      if (equal.message === EXHAUSTED) return equal;
      failure ??= equal;
    }
  }
  return failure ?? true;
}

/** As `<` has it. UTF-16 order differs from that of code points where a surrogate meets U+E000 to U+FFFF. */
export function compareCodePoints(a: string, b: string): number {
  const end = Math.min(a.length, b.length);
  for (let i = 0; i < end; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return surrogatesLast(x) - surrogatesLast(y);
  }
  return a.length - b.length;
}

function surrogatesLast(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
