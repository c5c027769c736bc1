import { type CelInput, celEnv, parse, plan } from "@bufbuild/cel";
import { getConformanceSuite, type IncrementalTestSuite } from "@bufbuild/cel-spec/testdata/tests.js";
import type { JsonObject, JsonValue } from "../../src/core/json.ts";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Evaluation } from "../../src/policy/cel/evaluation.ts";
import { Failure } from "../../src/policy/cel/value.ts";
import { compileCondition } from "../../src/policy/condition.ts";

/** True, false, or an error that a condition came to; or that it was refused. */
type Verdict = boolean | "error" | "refused";

function ours(source: string, payload: JsonObject = {}): Verdict {
  const compiled = compileCondition(source);
  if (compiled.kind === "refused") return "refused";
  const outcome = compiled.condition.test(new Evaluation({ agentId: "a", tool: "t", payload }));
  expect(outcome instanceof Failure || typeof outcome === "boolean").toBe(true);
  return typeof outcome === "boolean" ? outcome : "error";
}

const LIBRARY = celEnv();

/** The same by the library's own evaluation, which passes all of cel-spec's cases of these kinds. */
function theirs(source: string, payload: JsonObject = {}): Verdict {
  const value = plan(LIBRARY, parse(source))({ payload: toMap(payload), agent: toMap({ id: "a" }), tool: "t" });
  return typeof value === "boolean" ? value : "error";
}

/** With maps for objects: the library would take an object's own `constructor` for its class. */
function toMap(value: JsonValue): CelInput {
  if (Array.isArray(value)) return value.map(toMap);
  if (typeof value !== "object" || value === null) return value;
  return new Map(Object.entries(value).map(([key, inner]) => [key, toMap(inner)]));
}

/** cel-spec's suites that need neither protobuf messages nor extensions of the language. */
const SUITES: readonly string[] = ["basic", "comparisons", "conversions", "fp_math", "integer_math", "lists", "logic"];
const MORE_SUITES: readonly string[] = ["macros", "parse", "string", "fields", "plumbing"];

interface Case {
  readonly name: string;
  readonly source: string;
  readonly want: Verdict;
}

/**
 * Cases without variables, made into conditions: what evaluates to a value is compared with that value, what to an error with
 * itself. `dyn()` only keeps a checker from looking, so it is left out.
 */
function cases(suite: IncrementalTestSuite): Case[] {
  const own = suite.tests.flatMap(({ name, original }): Case[] => {
    if (Object.keys(original.bindings).length > 0 || original.checkOnly || original.container !== "") return [];
    const { resultMatcher } = original;
    const source = original.expr.replaceAll("dyn(", "(");
    if (resultMatcher.case === "evalError") return [{ name, source: `(${source}) == (${source})`, want: "error" }];
    if (resultMatcher.case !== "value") return [];
    const { kind } = resultMatcher.value;
    if (kind.case === "boolValue") return [{ name, source, want: kind.value }];
    const isLiteral = kind.case === "int64Value" || kind.case === "stringValue" || kind.case === "doubleValue";
    if (!isLiteral || (typeof kind.value === "number" && !Number.isFinite(kind.value))) return [];
    return [{ name, source: `(${source}) == ${literal(kind.value)}`, want: true }];
  });
  return [...own, ...suite.suites.flatMap(cases)];
}

function literal(value: string | bigint | number): string {
  if (typeof value === "string") return JSON.stringify(value).replaceAll(/\\([bfv])/g, "\\$1");
  return typeof value === "number" && Number.isInteger(value) ? value.toFixed(1) : String(value);
}

describe("against cel-spec's conformance cases", () => {
  const suites = getConformanceSuite().suites.filter(({ name }) => [...SUITES, ...MORE_SUITES].includes(name));
  const counts = { same: 0, stricter: 0, refused: 0 };

  it.each(suites.flatMap((suite) => cases(suite).map((each) => ({ ...each, name: `${suite.name}/${each.name}` }))))(
    "$name: $source",
    ({ source, want }) => {
      const got = ours(source);
      // Never another value: where the rule language is narrower than CEL it refuses, where it is stricter it errs.
      expect([want, "error", "refused"]).toContain(got);
      counts[got === want ? "same" : got === "error" ? "stricter" : "refused"]++;
    },
  );

  it("gives most of them the same value, and errs alone where unlike kinds are compared", () => {
    expect(counts.same).toBeGreaterThan(450);
    expect(counts.stricter).toBe(3);
  });
});

const name = fc.constantFrom("a", "b", "c");
const number = fc.constantFrom("0", "1", "2", "1.0", "2.5", "-1.0");
const scalar = fc.oneof(number, fc.constantFrom('"a"', '"b"', '""', "true", "false", "null"));
const field = name.map((key) => `payload.${key}`);

const { condition } = fc.letrec<{ condition: string; value: string; loop: string; inner: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    scalar,
    field,
    field.map((path) => `${path}[0]`),
    field.map((path) => `${path}.a`),
    fc.array(scalar, { maxLength: 3 }).map((parts) => `[${parts.join(", ")}]`),
    fc
      .tuple(tie("value"), fc.constantFrom("+", "-", "*", "/", "%"), tie("value"))
      .map(([l, o, r]) => `(${l} ${o} ${r})`),
    tie("value").map((value) => `size(${value})`),
    tie("value").map((value) => `double(${value})`),
    tie("loop"),
    tie("condition"),
  ),
  loop: fc
    .tuple(
      fc.constantFrom("all", "exists", "exists_one", "filter", "map"),
      field,
      fc.oneof(fc.constantFrom("x == 1", "x", 'x == "a"', "x > 1.0"), tie("inner")),
    )
    .map(([macro, range, body]) => `${range}.${macro}(x, ${body})`),
  inner: fc
    .tuple(
      fc.constantFrom("all", "exists", "exists_one", "filter", "map"),
      fc.array(scalar, { maxLength: 3 }),
      fc.constantFrom("x == y", "y", "x > y", "x in [y, 2]"),
    )
    .map(([macro, items, body]) => `[${items.join(", ")}].${macro}(y, ${body})`),
  condition: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom("true", "false"),
    field.map((path) => `has(${path})`),
    fc
      .tuple(tie("value"), fc.constantFrom("==", "!=", "<", "<=", ">", ">="), tie("value"))
      .map(([l, o, r]) => `(${l} ${o} ${r})`),
    fc.tuple(tie("value"), tie("value")).map(([l, r]) => `(${l} in ${r})`),
    fc.tuple(tie("condition"), fc.constantFrom("&&", "||"), tie("condition")).map(([l, o, r]) => `(${l} ${o} ${r})`),
    fc.tuple(tie("condition"), tie("value"), tie("value")).map(([c, l, r]) => `(${c} ? ${l} : ${r})`),
    tie("condition").map((inner) => `!${inner}`),
    fc.tuple(tie("value"), fc.constantFrom("startsWith", "contains", "endsWith")).map(([l, f]) => `${l}.${f}("a")`),
    tie("value").map((value) => `${value}.matches("^a|b$")`),
    field,
    tie("loop"),
  ),
}));

const leaf = fc.constantFrom<JsonValue>(0, 1, 2, 1.5, -1, "a", "b", "", "yes", true, false, null);
const json = fc.oneof(leaf, fc.array(leaf, { maxLength: 3 }), fc.dictionary(name, leaf, { maxKeys: 2 }));
const payloads = fc.dictionary(fc.constantFrom("a", "b", "c", "constructor", "__proto__"), json, { maxKeys: 4 });

describe("against the library's own evaluation", () => {
  it("never comes to another value for a condition that it takes", () => {
    const seen = { same: 0, stricter: 0, refused: 0 };
    fc.assert(
      fc.property(condition, payloads, (source, payload) => {
        // The library's has() takes a null for an absent field; CEL asks for the key alone.
        fc.pre(!source.includes("has(") || !JSON.stringify(payload).includes("null"));
        const got = ours(source, payload);
        seen[got === "refused" ? "refused" : got === theirs(source, payload) ? "same" : "stricter"]++;
        expect([theirs(source, payload), "error", "refused"]).toContain(got);
      }),
      { numRuns: 2000 },
    );
    // The property would hold for an evaluation that refused everything.
    expect(seen.same).toBeGreaterThan(500);
  });
});
