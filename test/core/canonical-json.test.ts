import type { JsonValue } from "../../src/core/json.ts";
import canonicalize from "canonicalize";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson, NotCanonicalError } from "../../src/core/canonical-json.ts";

const text = fc.string({ unit: "binary" }).filter((value) => value.isWellFormed() && !value.includes("\0"));
const { json } = fc.letrec<{ json: JsonValue }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    text,
    fc.array(tie("json"), { maxLength: 4 }),
    fc.dictionary(
      fc.oneof(text, fc.constantFrom("__proto__", "constructor", "€", "\u{1f600}", "\ufb33")),
      tie("json"),
      { maxKeys: 4 },
    ),
  ),
}));

describe("canonical JSON", () => {
  test("agrees with a library of RFC 8785 on every value", () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(canonicalJson(value, "payload", 32)).toBe(canonicalize(value));
      }),
      { numRuns: 2000 },
    );
  });

  test("does not depend on the order of names, and keeps __proto__ as a name", () => {
    const value = JSON.parse('{"b":1,"__proto__":{"x":2},"a":[]}') as JsonValue;
    expect(canonicalJson(value, "payload", 32)).toBe('{"__proto__":{"x":2},"a":[],"b":1}');
  });

  test.each([
    ["NUL in a string", { to: ["a", "b\0"] }, "payload.to[1]"],
    ["NUL in a name", { a: { "b\0": 1 } }, "payload.a"],
    ["a lone surrogate in a string", { a: "\ud800" }, "payload.a"],
    ["a lone surrogate in a name", { "\udfff": 1 }, "payload"],
    ["infinity", { a: [1, Number.POSITIVE_INFINITY] }, "payload.a[1]"],
    ["NaN", { a: Number.NaN }, "payload.a"],
    ["nesting over the limit", { a: { b: { c: [] } } }, "payload.a.b.c"],
  ])("refuses %s and says where", (_, value, path) => {
    const problem = (): string => canonicalJson(value, "payload", 3);
    expect(problem).toThrow(NotCanonicalError);
    expect(problem).toThrow(expect.objectContaining({ path: pathOf(path) }));
  });

  /** `payload.a[1]` part by part; the names above have neither dots nor brackets. */
  function pathOf(text: string): (string | number)[] {
    return text
      .replaceAll("[", ".")
      .replaceAll("]", "")
      .split(".")
      .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  }

  test.each([2 ** 53, -(2 ** 53), 1e21, -1e300, Number.MAX_VALUE])(
    "refuses %d from callers, since it stands for several integers, and writes it where it is stored already",
    (number) => {
      const value = { a: [0.5, { n: number }] };
      expect(() => canonicalJson(value, "payload", 32, { exactIntegers: true })).toThrow(
        expect.objectContaining({ path: ["payload", "a", 1, "n"], message: expect.stringContaining("string") }),
      );
      expect(canonicalJson(value, "payload", 32)).toBe(canonicalize(value));
    },
  );

  test.each([Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 0.1, 4503599627370495.5, 5e-324, -0])(
    "takes %d from callers",
    (n) => {
      expect(canonicalJson({ n }, "payload", 32, { exactIntegers: true })).toBe(canonicalize({ n }));
    },
  );

  test("the root counts as one level", () => {
    expect(canonicalJson({ a: [] }, "payload", 2)).toBe('{"a":[]}');
    expect(() => canonicalJson({ a: [] }, "payload", 1)).toThrow(NotCanonicalError);
  });
});
