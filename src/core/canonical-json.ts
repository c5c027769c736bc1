import type { JsonValue } from "./json.ts";
import type { Path } from "./fault.ts";

/** What keeps a value from having a canonical text, with the path of the offending part. */
export class NotCanonicalError extends Error {
  override readonly name = "NotCanonicalError";
  readonly path: Readonly<Path>;

  constructor(path: Readonly<Path>, problem: string) {
    super(problem);
    this.path = [...path];
  }
}

/** Why an integer that is not {@link isExactInteger} is refused, as the end of a sentence. */
export const INEXACT_INTEGER = `is beyond the integers that a double holds exactly (±${Number.MAX_SAFE_INTEGER})`;

/**
 * Whether `value` can be only this integer. Beyond ±(2⁵³ − 1) one double stands for several integers: what was written, what is
 * judged and what is then done could be different numbers.
 */
export function isExactInteger(value: number): boolean {
  return Number.isSafeInteger(value);
}

export interface CanonicalOptions {
  /** Refuses integers that are not {@link isExactInteger}: for what callers send, not for what is stored already. */
  readonly exactIntegers?: boolean;
}

/**
 * The canonical JSON text of `value` (RFC 8785: names sorted by UTF-16 code units, numbers as ECMAScript writes them), so
 * that equal values have equal text and one digest.
 *
 * Written here rather than taken from a library because one walk must also hold the contract's limits and name what breaks
 * them: nesting over `maxDepth` (the root is 1), NUL and lone surrogates in strings and names, numbers that are not finite.
 *
 * @param name how errors name `value`
 * @throws NotCanonicalError
 */
export function canonicalJson(
  value: JsonValue,
  name: string,
  maxDepth: number,
  { exactIntegers = false }: CanonicalOptions = {},
): string {
  return canonicalValue(value, [name], maxDepth, exactIntegers);
}

/** @param path leads to `value`; the same array for all parts, as a text for each would be made for nothing */
function canonicalValue(value: JsonValue, path: Path, maxDepth: number, exact: boolean): string {
  if (typeof value === "string") return canonicalString(value, path);
  if (typeof value === "boolean") return value ? "true" : "false";
  if (value === null) return "null";
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new NotCanonicalError(path, `must be a finite number, is ${value}`);
    if (exact && Number.isInteger(value) && !isExactInteger(value))
      throw new NotCanonicalError(path, `is ${value}, which ${INEXACT_INTEGER}; send it as a string`);
    return JSON.stringify(value);
  }
  // A caller in JavaScript may pass what the types forbid.
  if (typeof value !== "object") throw new NotCanonicalError(path, `must be a JSON value, is a ${typeof value}`);
  if (maxDepth < 1) throw new NotCanonicalError(path, "is nested too deep");
  return Array.isArray(value)
    ? canonicalArray(value, path, maxDepth, exact)
    : canonicalObject(value, path, maxDepth, exact);
}

function canonicalArray(items: readonly JsonValue[], path: Path, maxDepth: number, exact: boolean): string {
  let text = "[";
  for (let index = 0; index < items.length; index++) {
    if (index > 0) text += ",";
    path.push(index);
    text += canonicalValue(items[index] as JsonValue, path, maxDepth - 1, exact);
    path.pop();
  }
  return `${text}]`;
}

function canonicalObject(
  object: { readonly [name: string]: JsonValue },
  path: Path,
  maxDepth: number,
  exact: boolean,
): string {
  const names = sorted(Object.keys(object));
  let text = "{";
  for (let index = 0; index < names.length; index++) {
    const name = names[index] as string;
    if (index > 0) text += ",";
    text += canonicalString(name, path);
    text += ":";
    path.push(name);
    text += canonicalValue(object[name] as JsonValue, path, maxDepth - 1, exact);
    path.pop();
  }
  return `${text}}`;
}

/** How many names are sorted by insertion at most: `sort` copies the list twice, which costs more than comparing a few names. */
const FEW = 16;

/** Sorts `names` in place, by UTF-16 code units. */
function sorted(names: string[]): string[] {
  if (names.length > FEW) return names.sort();
  for (let end = 1; end < names.length; end++) {
    const name = names[end] as string;
    let at = end;
    for (; at > 0 && (names[at - 1] as string) > name; at--) names[at] = names[at - 1] as string;
    names[at] = name;
  }
  return names;
}

/** Printable ASCII without the two characters that JSON escapes: most strings there are, and already canonical. */
const PLAIN = /^[ !#-[\]-~]*$/;

function canonicalString(text: string, path: Path): string {
  if (PLAIN.test(text)) return `"${text}"`;
  if (text.includes("\0")) throw new NotCanonicalError(path, "must not contain NUL");
  if (!text.isWellFormed()) throw new NotCanonicalError(path, "must not contain a lone surrogate");
  return JSON.stringify(text);
}
