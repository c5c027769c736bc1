import * as fc from "fast-check";
import { expect, test } from "vitest";
import { z } from "zod";
import {
  arrayOf,
  either,
  isBase64url,
  isBoolean,
  isCount,
  isInteger,
  isNull,
  isPositive,
  isString,
  isUuid,
  literal,
  object,
} from "../../src/core/shape.ts";

/** The same twice: as a check, and as a schema of the library that the service uses. */
const PAIRS: readonly (readonly [string, (value: unknown) => boolean, z.ZodType])[] = [
  ["a string", isString, z.string()],
  ["a boolean", isBoolean, z.boolean()],
  ["null", isNull, z.null()],
  ["a whole number", isInteger, z.int()],
  ["a whole number from 0", isCount, z.int().nonnegative()],
  ["a whole number from 1", isPositive, z.int().positive()],
  ["a UUID", isUuid, z.uuid()],
  ["base64url", isBase64url, z.string().regex(/^[A-Za-z0-9_-]*$/)],
  ["a literal", literal("grant"), z.literal("grant")],
  ["one of two", either(isBoolean, isNull), z.boolean().nullable()],
  ["an array", arrayOf(isString), z.array(z.string())],
  ["a bounded array", arrayOf(isCount, { min: 1, max: 2 }), z.array(z.int().nonnegative()).min(1).max(2)],
  ["an object", object({ a: isString, b: isCount }), z.strictObject({ a: z.string(), b: z.int().nonnegative() })],
  [
    "an object with a member that may be absent",
    object({ a: isString }, { b: isNull }),
    z.strictObject({ a: z.string(), b: z.null().exactOptional() }),
  ],
];

const uuidLike = fc.oneof(
  fc.uuid(),
  fc.uuid().map((id) => id.toUpperCase()),
  fc.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/),
  fc.constantFrom("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
  fc.constantFrom("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "0b7d1f0e-6c1f-4a55-9c3e-2f5a9d1c7e11\n", ""),
);
const number = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.constantFrom(0, -0, 1, -1, 2 ** 53, 2 ** 53 - 1, -(2 ** 53), Number.NaN, Number.POSITIVE_INFINITY),
);
const leaf = fc.oneof(
  fc.string(),
  fc.constantFrom("grant", "Grant", "a-_", "a=", "a\n"),
  uuidLike,
  number,
  fc.jsonValue(),
);
const member = fc.oneof(leaf, fc.constant(undefined));
const record = fc
  .record({ a: member, b: member, c: member }, { requiredKeys: [] })
  .chain((value) => fc.constantFrom<unknown>(value, JSON.parse(JSON.stringify({ ...value, a: "x", b: 1 }))));
const sound = fc
  .record({ a: fc.string() })
  .chain(({ a }) => fc.constantFrom<unknown>({ a }, { a, b: 1 }, { a, b: null }));
const value = fc.oneof(leaf, fc.array(leaf, { maxLength: 3 }), fc.array(fc.nat(), { maxLength: 3 }), record, sound);

test.each(PAIRS)("a check for %s accepts what the schema library accepts", (_, check, schema) => {
  fc.assert(
    fc.property(value, (given) => {
      expect(check(given)).toBe(schema.safeParse(given).success);
    }),
    { numRuns: 2_000 },
  );
});

test("an object's check reads own members alone, and refuses __proto__", () => {
  const check = object({ toString: isString });
  expect(check({})).toBe(false);
  expect(object({}, { a: isString })(JSON.parse('{"__proto__":"x"}'))).toBe(false);
  expect(object({ a: isString })(Object.create({ a: "x" }))).toBe(false);
  expect(object({})([])).toBe(false);
});

test("an object's check names the first member that is missing, wrong or unknown", () => {
  const check = object({ a: isString, b: isCount }, { c: isNull });
  expect(check.wrongMember({ a: "x" })).toBe("b");
  expect(check.wrongMember({ a: "x", b: -1 })).toBe("b");
  expect(check.wrongMember({ a: "x", b: 1, c: 2 })).toBe("c");
  expect(check.wrongMember({ a: "x", b: 1, d: 2 })).toBe("d");
  expect(check.wrongMember({ a: "x", b: 1 })).toBe(null);
});
