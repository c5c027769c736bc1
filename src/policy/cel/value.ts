/**
 * The values that a condition works with. They are the payload's own JSON values, never copies: a decision must not pay for
 * the part of a payload that no rule reads.
 */

/** A JSON object. Its keys are the payload's, so it is read through `Object.hasOwn` alone. */
export interface JsonMap {
  readonly [key: string]: Value;
}

/** Numbers of the payload are CEL doubles (`number`); CEL ints, which only literals, `size()` and `int()` yield, are `bigint`. */
export type Value = null | boolean | number | bigint | string | readonly Value[] | JsonMap;

/**
 * Why a condition has no value. A result like any other, not an exception: `&&` and `||` may absorb it, and an attacker who
 * provokes one on each call buys no stack traces.
 *
 * INVARIANT: `message` names types and the rule's own words, never what the payload holds.
 */
export class Failure {
  readonly message: string;
  /** Where in the condition's source. */
  readonly offset: number;

  constructor(message: string, offset: number) {
    this.message = message;
    this.offset = offset;
  }
}

/** What evaluating an expression gives. */
export type Outcome = Value | Failure;

/** A set of kinds of value, as bits. What is known of an expression before it runs is a set; a value's kind is a set of one. */
export type Kinds = number;

export const NULL: Kinds = 1;
export const BOOL: Kinds = 2;
export const INT: Kinds = 4;
export const DOUBLE: Kinds = 8;
export const STRING: Kinds = 16;
export const LIST: Kinds = 32;
export const MAP: Kinds = 64;
export const ANY: Kinds = 127;
/** What a payload may hold: there is no int among it, for JSON's numbers are doubles. */
export const JSON_KINDS: Kinds = ANY & ~INT;

export function kindOf(value: Value): Kinds {
  if (typeof value === "string") return STRING;
  if (typeof value === "number") return DOUBLE;
  if (typeof value === "boolean") return BOOL;
  if (typeof value === "bigint") return INT;
  if (value === null) return NULL;
  return isList(value) ? LIST : MAP;
}

export function isList<T extends Outcome>(value: T): value is Extract<T, readonly Value[]> {
  return Array.isArray(value);
}

export function isMap(value: Outcome): value is JsonMap {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Failure);
}

const NAMES: readonly (readonly [Kinds, string])[] = [
  [NULL, "null"],
  [BOOL, "a bool"],
  [INT, "an int"],
  [DOUBLE, "a double"],
  [STRING, "a string"],
  [LIST, "a list"],
  [MAP, "a map"],
];

/** A set of kinds in words: `a double or a string`. */
export function nameKinds(kinds: Kinds): string {
  if ((kinds & JSON_KINDS) === JSON_KINDS) return "a value of any kind";
  const names = NAMES.filter(([bit]) => (kinds & bit) !== 0).map(([, name]) => name);
  return names.length === 0 ? "nothing" : names.join(" or ");
}

/** Numbers of both kinds compare with each other, as CEL has it. */
export function comparable(a: Kinds, b: Kinds): Kinds {
  return numbersAlike(a) & numbersAlike(b);
}

function numbersAlike(kinds: Kinds): Kinds {
  return (kinds & (INT | DOUBLE)) === 0 ? kinds : kinds | INT | DOUBLE;
}
