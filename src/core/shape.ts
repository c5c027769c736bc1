/**
 * What a value read from JSON must be, as checks that can be combined. The formats of the journal and of grants are read with
 * these and not with a schema library, so that a client installs none.
 */

export type Check<T> = (value: unknown) => value is T;

/** What a check has shown about a value. */
export type Checked<C> = C extends Check<infer T> ? T : never;

export function isString(value: unknown): value is string {
  return typeof value === "string";
}

export function isBoolean(value: unknown): value is boolean {
  return typeof value === "boolean";
}

export function isNull(value: unknown): value is null {
  return value === null;
}

/** A whole number that a double holds exactly. */
export function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** A whole number from 0 that a double holds exactly. */
export function isCount(value: unknown): value is number {
  return isInteger(value) && value >= 0;
}

/** A whole number from 1 that a double holds exactly. */
export function isPositive(value: unknown): value is number {
  return isCount(value) && value >= 1;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;
const NIL_OR_MAX = /^(?:00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$/;

/** A UUID of RFC 9562, in letters of either case. */
export function isUuid(value: unknown): value is string {
  return isString(value) && (UUID.test(value) || NIL_OR_MAX.test(value));
}

/** Any number of characters of base64url, without padding. */
export function isBase64url(value: unknown): value is string {
  return isString(value) && /^[A-Za-z0-9_-]*$/.test(value);
}

/** A string of at most so many bytes of UTF-8. */
export function text(maxBytes: number): Check<string> {
  return (value): value is string => isString(value) && Buffer.byteLength(value) <= maxBytes;
}

export function matching(pattern: RegExp): Check<string> {
  return (value): value is string => isString(value) && pattern.test(value);
}

export function literal<const T extends string>(expected: T): Check<T> {
  return (value): value is T => value === expected;
}

export function either<A, B>(one: Check<A>, other: Check<B>): Check<A | B> {
  return (value): value is A | B => one(value) || other(value);
}

export function arrayOf<T>(item: Check<T>, { min = 0, max = Infinity } = {}): Check<T[]> {
  return (value): value is T[] =>
    Array.isArray(value) && value.length >= min && value.length <= max && value.every(item);
}

type Members = { readonly [name: string]: Check<unknown> };
type Optional<O extends Members> = { readonly [N in keyof O]?: Checked<O[N]> };

/** A check for objects, which can also name the first member that is missing, wrong or unknown. */
export type ObjectCheck<T> = Check<T> & { readonly wrongMember: (value: object) => string | null };

/** An object that has every member of `required`, may have those of `optional`, and has no other. */
export function object<R extends Members, O extends Members>(
  required: R,
  optional?: O,
): ObjectCheck<{ readonly [N in keyof R]: Checked<R[N]> } & Optional<O>> {
  const names = Object.keys(required);
  const checks = new Map(Object.entries({ ...required, ...optional }));
  const wrongMember = (value: object): string | null => {
    const missing = names.find((name) => !Object.hasOwn(value, name));
    return missing ?? Object.entries(value).find(([name, member]) => checks.get(name)?.(member) !== true)?.[0] ?? null;
  };
  const check = (value: unknown): value is never =>
    typeof value === "object" && value !== null && !Array.isArray(value) && wrongMember(value) === null;
  return Object.assign(check, { wrongMember });
}
