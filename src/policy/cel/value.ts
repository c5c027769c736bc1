import { Cidr, Ip } from "./ip.ts";
import { StrictPath } from "./path.ts";
import { Url } from "./url.ts";

/**
 * The values that a condition works with. They are the payload's own JSON values, never copies: a decision must not pay for
 * the part of a payload that no rule reads.
 */

/** A JSON object. Its keys are the payload's, so it is read through `Object.hasOwn` alone. */
export interface JsonMap {
  readonly [key: string]: Value;
}

/** What `url()`, `ip()`, `cidr()` and `path()` make of a text. No payload holds one. */
export type Parsed = Url | Ip | Cidr | StrictPath;

/** Numbers of the payload are CEL doubles (`number`); CEL ints, which only literals, `size()` and `int()` yield, are `bigint`. */
export type Value = null | boolean | number | bigint | string | readonly Value[] | JsonMap | Parsed;

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
export const URL: Kinds = 128;
export const IP: Kinds = 256;
export const CIDR: Kinds = 512;
export const PATH: Kinds = 1024;
export const ANY: Kinds = 2047;
/** What a payload may hold: there is no int among it, for JSON's numbers are doubles. */
export const JSON_KINDS: Kinds = NULL | BOOL | DOUBLE | STRING | LIST | MAP;

export function kindOf(value: Value): Kinds {
  if (typeof value === "string") return STRING;
  if (typeof value === "number") return DOUBLE;
  if (typeof value === "boolean") return BOOL;
  if (typeof value === "bigint") return INT;
  if (value === null) return NULL;
  if (isList(value)) return LIST;
  return isParsed(value) ? kindOfParsed(value) : MAP;
}

function kindOfParsed(value: Parsed): Kinds {
  if (value instanceof Url) return URL;
  if (value instanceof Ip) return IP;
  return value instanceof Cidr ? CIDR : PATH;
}

export function isParsed(value: Outcome): value is Parsed {
  return value instanceof Url || value instanceof Ip || value instanceof Cidr || value instanceof StrictPath;
}

export function isList<T extends Outcome>(value: T): value is Extract<T, readonly Value[]> {
  return Array.isArray(value);
}

export function isMap(value: Outcome): value is JsonMap {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Failure) &&
    !isParsed(value)
  );
}

const NAMES: readonly (readonly [Kinds, string])[] = [
  [NULL, "null"],
  [BOOL, "a bool"],
  [INT, "an int"],
  [DOUBLE, "a double"],
  [STRING, "a string"],
  [LIST, "a list"],
  [MAP, "a map"],
  [URL, "a URL"],
  [IP, "an IP address"],
  [CIDR, "an IP range"],
  [PATH, "a path"],
];

/** A set of kinds in words: `a double or a string`. */
export function nameKinds(kinds: Kinds): string {
  if ((kinds & JSON_KINDS) === JSON_KINDS) return "a value of any kind";
  const names = NAMES.filter(([bit]) => (kinds & bit) !== 0).map(([, name]) => name);
  return names.length === 0 ? "nothing" : names.join(" or ");
}

/** Numbers of both kinds compare with each other, as CEL has it. Of what functions parse, IP addresses alone compare. */
export function comparable(a: Kinds, b: Kinds): Kinds {
  return numbersAlike(a) & numbersAlike(b) & ~(URL | CIDR | PATH);
}

function numbersAlike(kinds: Kinds): Kinds {
  return (kinds & (INT | DOUBLE)) === 0 ? kinds : kinds | INT | DOUBLE;
}
