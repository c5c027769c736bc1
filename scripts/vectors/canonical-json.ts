import { canonicalJson, NotCanonicalError } from "@datacrawl/core/canonical-json";
import { Fault } from "@datacrawl/core/fault";
import type { JsonValue } from "@datacrawl/core/json";
import { LIMITS } from "@datacrawl/core/request";
import { readQuestion } from "../../clients/typescript/src/call/question.ts";
import { randomOf } from "./random.ts";

/** JSON texts of values. Canonical JSON of each is its RFC 8785 text. */
const VALUES: readonly (readonly [name: string, json: string])[] = [
  ["null", "null"],
  ["true", "true"],
  ["false", "false"],
  ["an empty string", '""'],
  ["an empty object", "{}"],
  ["an empty array", "[]"],
  ["white space is dropped", '{ "a" : [ 1 , 2 ] }'],
  ["zero", "0"],
  ["minus zero", "-0"],
  ["minus zero as a fraction", "-0.0"],
  ["an integer with a fraction of zero", "1.0"],
  ["an integer with an exponent", "12e2"],
  ["a negative integer", "-1"],
  ["the largest exact integer", "9007199254740991"],
  ["the smallest exact integer", "-9007199254740991"],
  ["a tenth", "0.1"],
  ["the sum of a tenth and two tenths", "0.30000000000000004"],
  ["the smallest fraction without an exponent", "0.000001"],
  ["the largest fraction with a negative exponent", "9.999999999999999e-7"],
  ["the smallest double", "5e-324"],
  ["the smallest normal double", "2.2250738585072014e-308"],
  ["the largest subnormal double", "2.225073858507201e-308"],
  ["seventeen digits", "333333333.33333329"],
  ["a large fraction", "4503599627370495.5"],
  ["1e-7", "1e-7"],
  ["1e-27", "1e-27"],
  ["RFC 8785's 2e-3", "2e-3"],
  ["a negative fraction", "-4.50"],
  ["escapes that have a letter", '"\\b\\t\\n\\f\\r\\"\\\\"'],
  ["a solidus is not escaped", '"\\/"'],
  ["control characters without a letter", '"\\u0001\\u001f"'],
  ["delete and C1 are not escaped", '"\\u007f\\u0080\\u009f"'],
  ["line and paragraph separators are not escaped", '"\\u2028\\u2029"'],
  ["letters beyond ASCII", '"\\u00e9\\u00DF\\u20ac"'],
  ["no normalisation", '"A\\u030a\\u00c5"'],
  ["a surrogate pair", '"\\ud83d\\ude00"'],
  ["the last code points of the planes", '"\\uffff\\udbff\\udfff"'],
  ["a byte order mark", '"\\ufeff"'],
  ["HTML characters are not escaped", "\"<a href='x'>&</a>\""],
  ["names in order of their first letters", '{"b":1,"a":2}'],
  ["a prefix comes first", '{"aa":1,"a":2,"":3}'],
  ["capitals come first", '{"a":1,"B":2,"_":3}'],
  ["digits are text", '{"10":1,"9":2,"1":3}'],
  [
    "RFC 8785's example of names",
    '{"\\u20ac":"Euro Sign","\\r":"Carriage Return","\\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\\ud83d\\ude00":"Emoji: Grinning Face","\\u0080":"Control","\\u00f6":"Latin Small Letter O With Diaeresis"}',
  ],
  ["names by UTF-16 units, not by code points", '{"\\uff5e":1,"\\ud83d\\ude00":2}'],
  ["a name that JavaScript treats as special", '{"__proto__":1,"constructor":2}'],
  ["order holds at each depth", '{"z":{"y":[{"b":1,"a":2}],"x":3},"a":4}'],
  ["an array keeps its order", "[3,1,2,[],{}]"],
  [
    "RFC 8785's example",
    '{"numbers":[333333333.33333329,4.50,2e-3,0.000000000000000000000000001],"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
  ],
];

/** Doubles that RFC 8785 can write, and that a payload must not contain. */
const INEXACT = [
  "9007199254740992",
  "-9007199254740992",
  "9007199254740993",
  "295147905179352825856",
  "1e21",
  "1e+22",
  "-1e21",
  "1e300",
  "1.7976931348623157e308",
  "123456789012345678901234567890",
];

const REFUSED: readonly (readonly [name: string, json: string, why: string])[] = [
  ["NUL in a string", '{"a":"\\u0000"}', "nul"],
  ["NUL in a name", '{"a\\u0000":1}', "nul"],
  ["a lone high surrogate", '{"a":"\\ud800"}', "lone_surrogate"],
  ["a lone low surrogate", '{"a":"x\\udc00y"}', "lone_surrogate"],
  ["surrogates in the wrong order", '{"a":"\\udc00\\ud800"}', "lone_surrogate"],
  ["a lone surrogate in a name", '{"\\udfff":1}', "lone_surrogate"],
  ["a lone surrogate deep inside", '{"a":[{"b":["\\ud83d"]}]}', "lone_surrogate"],
  ["a number beyond the range of a double", '{"a":1e400}', "not_finite"],
  ["a payload that is an array", "[]", "not_an_object"],
  ["a payload that is a string", '"a"', "not_an_object"],
  ["a payload that is a number", "1", "not_an_object"],
];

export function canonicalJsonVectors() {
  return {
    values: VALUES.map(([name, json]) => {
      const canonical = canonicalOf(JSON.parse(json));
      mustAccept({ value: JSON.parse(json) });
      return { name, json, canonical };
    }),
    fractions: fractions(300),
    inexactIntegers: INEXACT.map((json) => {
      mustRefuse({ value: JSON.parse(json) });
      return { json, canonical: canonicalOf(JSON.parse(json)) };
    }),
    refused: REFUSED.map(([name, json, why]) => {
      mustRefuse(JSON.parse(json));
      return { name, json, why };
    }),
    depths: [1, 2, LIMITS.payloadDepth, LIMITS.payloadDepth + 1, 1000].flatMap((depth) =>
      (["objects", "arrays"] as const).map((of) => ({ of, depth, accepted: isAccepted(nested(of, depth)) })),
    ),
    sizes: [
      ["a", LIMITS.payloadBytes - 8],
      ["a", LIMITS.payloadBytes - 7],
      ["\u00e9", (LIMITS.payloadBytes - 8) / 2],
      ["\u00e9", (LIMITS.payloadBytes - 8) / 2 + 1],
      ["\u0001", Math.floor((LIMITS.payloadBytes - 8) / 6)],
      ["\u0001", Math.floor((LIMITS.payloadBytes - 8) / 6) + 1],
      ["\ud83d\ude00", (LIMITS.payloadBytes - 8) / 4],
      ["\ud83d\ude00", (LIMITS.payloadBytes - 8) / 4 + 1],
    ].map(([unit, times]) => {
      return { unit, times, accepted: isAccepted({ a: String(unit).repeat(Number(times)) }) };
    }),
  };
}

function canonicalOf(value: JsonValue): string {
  return canonicalJson(value, "value", 100);
}

/** Fractions of all magnitudes, each spelt with 17 digits, which not every reader of numbers reads as the double it is. */
function fractions(count: number): { json: string; canonical: string }[] {
  const random = randomOf(8785);
  const bits = new DataView(new ArrayBuffer(8));
  const found: { json: string; canonical: string }[] = [];
  while (found.length < count) {
    bits.setUint32(0, random() * 2 ** 32);
    bits.setUint32(4, random() * 2 ** 32);
    // Every second one near 1, where most numbers of payloads are.
    const value = found.length % 2 === 0 ? bits.getFloat64(0) : (random() - 0.5) * 10 ** Math.floor(random() * 14);
    if (!Number.isFinite(value) || Number.isInteger(value)) continue;
    found.push({ json: value.toExponential(16), canonical: canonicalOf(value) });
  }
  return found;
}

/** A payload with `depth` objects or arrays around each other; the payload itself is the first. */
function nested(of: "objects" | "arrays", depth: number): JsonValue {
  let value: JsonValue = of === "objects" || depth === 1 ? {} : [];
  for (let done = 1; done < depth; done++) value = of === "objects" || done === depth - 1 ? { a: value } : [value];
  return value;
}

function isAccepted(payload: JsonValue): boolean {
  try {
    readQuestion({ tool: "tool", payload: payload as never }, "agent");
    return true;
  } catch (error) {
    if (error instanceof Fault || error instanceof NotCanonicalError) return false;
    throw error;
  }
}

function mustAccept(payload: JsonValue): void {
  if (!isAccepted(payload)) throw new Error(`the client refuses ${JSON.stringify(payload)}`);
}

function mustRefuse(payload: JsonValue): void {
  if (isAccepted(payload)) throw new Error(`the client accepts ${JSON.stringify(payload)}`);
}
