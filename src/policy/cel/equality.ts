import { EXHAUSTED, type Evaluation } from "./evaluation.ts";
import { DOUBLE, Failure, INT, type JsonMap, kindOf, nameKinds, type Outcome, type Value } from "./value.ts";

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
  if (!evaluation.spend(1)) return new Failure(EXHAUSTED, offset);
  const kind = kindOf(a);
  const other = kindOf(b);
  if (isNumber(kind) && isNumber(other)) return kind === other ? a === b : numbersEqual(a, b);
  if (kind !== other) return new Failure(`${nameKinds(kind)} is compared with ${nameKinds(other)}`, offset);
  if (Array.isArray(a) && Array.isArray(b)) return equalLists(a, b, evaluation, offset);
  if (typeof a === "object" && a !== null) return equalMaps(a as JsonMap, b as JsonMap, evaluation, offset);
  return a === b;
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
    if (!evaluation.spend(1 + Math.min(a.length, b.length) / 8)) return new Failure(EXHAUSTED, offset);
    return compareCodePoints(a, b);
  }
  if (typeof a === "bigint" && typeof b === "bigint") return order(a, b);
  if (isNumber(kindOf(a)) && isNumber(kindOf(b))) return order(Number(a), Number(b));
  if (typeof a === "boolean" && typeof b === "boolean") return order(Number(a), Number(b));
  return new Failure(`${nameKinds(kindOf(a))} has no order with ${nameKinds(kindOf(b))}`, offset);
}

/** Written out, since a difference would make infinity differ from itself. NaN has no order with anything. */
function order<T extends number | bigint>(a: T, b: T): number {
  if (a < b) return -1;
  if (a > b) return 1;
  return a === b ? 0 : Number.NaN;
}

function isNumber(kind: number): boolean {
  return (kind & (INT | DOUBLE)) !== 0;
}

/** One is an int and one a double. JavaScript compares the two by their mathematical values. */
function numbersEqual(a: Value, b: Value): boolean {
  // oxlint-disable-next-line eqeqeq -- `===` never holds between bigint and number
  return a == b;
}

function equalLists(
  a: readonly Value[],
  b: readonly Value[],
  evaluation: Evaluation,
  offset: number,
): boolean | Failure {
  if (a.length !== b.length) return false;
  return allEqual(a.length, (i) => equalValues(a[i] as Value, b[i] as Value, evaluation, offset));
}

function equalMaps(a: JsonMap, b: JsonMap, evaluation: Evaluation, offset: number): boolean | Failure {
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length || !keys.every((key) => Object.hasOwn(b, key))) return false;
  if (!evaluation.spend(keys.length)) return new Failure(EXHAUSTED, offset);
  return allEqual(keys.length, (i) => {
    const key = keys[i] as string;
    return equalValues(a[key] as Value, b[key] as Value, evaluation, offset);
  });
}

/** A difference decides, whatever else could not be compared. */
function allEqual(count: number, equalAt: (i: number) => boolean | Failure): boolean | Failure {
  let failure: Failure | null = null;
  for (let i = 0; i < count; i++) {
    const equal = equalAt(i);
    if (equal === false) return false;
    if (equal !== true) {
      if (equal.message === EXHAUSTED) return equal;
      failure ??= equal;
    }
  }
  return failure ?? true;
}

/** UTF-16 order differs from that of code points where a surrogate meets U+E000 to U+FFFF. */
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
