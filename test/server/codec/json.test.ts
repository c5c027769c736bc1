import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Path, Fault } from "../../../src/core/fault.ts";
import { decodeAuthorizeRequestJson } from "../../../src/server/codec/json.ts";
import { parseJsonText } from "../../../src/core/json-text.ts";
import { Undecodable } from "../../../src/core/undecodable.ts";
import { amount } from "../../support/amount.ts";

describe("parseJsonText", () => {
  test("reads what JSON.stringify writes, indented or not", () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ depthSize: amount("small", "medium"), noUnicodeString: false }),
        fc.nat(3),
        (value, indent) => {
          const text = JSON.stringify(value, null, indent);
          expect(parseJsonText(text, [], { numbers: "rounded" })).toEqual(JSON.parse(text));
        },
      ),
    );
  });

  test("of any text makes what JSON.parse makes of it, or refuses it", () => {
    const token = fc.constantFrom(
      ...'{}[]:,"\\ue0123456789.+-tfn \n',
      "true",
      "null",
      '"a"',
      '"b":',
      "1e5",
      "\\u0041",
      "\u0000",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(token, { maxLength: 12 }).map((tokens) => tokens.join("")),
        ),
        (text) => {
          const ours = attempt(text);
          const theirs = byLibrary(text);
          if (ours === undefined) return; // refused: by both, or because of what the tests below name
          expect(theirs).toEqual(ours);
        },
      ),
      { numRuns: amount(2000, 50_000) },
    );
  });

  /** The number of `text`, exactly: an integer over a power of ten. */
  function exactly(text: string): { numerator: bigint; scale: bigint } {
    const [, sign = "", whole = "", fraction = "", exponent = "0"] =
      /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
    const shift = Number(exponent) - fraction.length;
    const digits = BigInt(`${sign}${whole}${fraction}`);
    return shift >= 0
      ? { numerator: digits * 10n ** BigInt(shift), scale: 1n }
      : { numerator: digits, scale: 10n ** BigInt(-shift) };
  }

  test("takes a number if its double is the very integer that is written, or no integer, and refuses it otherwise", () => {
    const digits = fc.stringMatching(/^(0|[1-9]\d{0,20})$/);
    const near = fc.bigInt({ min: 2n ** 53n - 3n, max: 2n ** 53n + 3n }).map(String);
    const literal = fc
      .tuple(
        fc.constantFrom("", "-"),
        fc.oneof(digits, near),
        fc.option(fc.oneof(fc.stringMatching(/^\d{1,20}$/), fc.constantFrom("0", "000", "9".repeat(30))), {
          nil: null,
        }),
        fc.option(fc.tuple(fc.constantFrom("e", "E"), fc.constantFrom("", "+", "-"), fc.nat(40)), { nil: null }),
      )
      .map(
        ([sign, whole, fraction, exponent]) =>
          `${sign}${whole}${fraction === null ? "" : `.${fraction}`}${(exponent ?? []).join("")}`,
      );
    fc.assert(
      fc.property(literal, (text) => {
        const value = Number(text);
        const { numerator, scale } = exactly(text);
        const same = Number.isInteger(value)
          ? BigInt(value) * scale === numerator && Number.isSafeInteger(value)
          : true;
        if (same) expect(parseJsonText(text, [])).toBe(value);
        else expect(() => parseJsonText(text, [])).toThrow(Undecodable);
      }),
      { numRuns: amount(2000, 50_000) },
    );
  });

  test.each([
    "9007199254740991",
    "-9007199254740991.0",
    "90071992547409910e-1",
    "9.007199254740991E+15",
    "1e15",
    "-0",
    "0e99999",
    "0.000e-7",
    "0.1",
  ])("takes the number %s", (text) => expect(parseJsonText(text, [])).toBe(Number(text)));

  const stricter = [
    '{"a":1,"a":1}',
    '{"a":{"b":[{"c":1,"d":2,"c":1}]}}',
    '{"a":1,"\\u0061":2}',
    '{"__proto__":1,"__proto__":2}',
    "1e400",
    "[-1e999]",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740993.0",
    "1e21",
    "12345678901234567e3",
    "0.99999999999999999999",
    "9007199254740990.9999",
    "1e-400",
    `${"[".repeat(66)}${"]".repeat(66)}`,
  ];
  test.each(stricter)("refuses %s, which JSON.parse lets pass", (text) => {
    expect(() => JSON.parse(text) as unknown).not.toThrow();
    expect(() => parseJsonText(text, [])).toThrow(Undecodable);
  });

  const broken = [
    "",
    " ",
    "{",
    "[1,]",
    '{"a":1,}',
    "{a:1}",
    "'a'",
    "01",
    "1.",
    ".5",
    "+1",
    "NaN",
    "Infinity",
    "-",
    "tru",
    "nulll",
  ];
  const brokenTexts = [
    '"a',
    '"\n"',
    '"\\x41"',
    '"\\u12"',
    '"\\',
    "1 2",
    "\ufeff1",
    "[1}",
    '{"a" 1}',
    "/**/1",
    "\u00a01",
  ];
  test.each([...broken, ...brokenTexts])("refuses %j, which is no JSON", (text) => {
    expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
    expect(() => parseJsonText(text, [])).toThrow(Undecodable);
  });

  test("does not overflow the stack", () => {
    for (const text of ["[".repeat(1_000_000), '{"a":'.repeat(200_000)]) {
      expect(() => parseJsonText(text, [])).toThrow("is nested too deep");
    }
  });

  test("keeps a member named __proto__ as a member", () => {
    const value = parseJsonText('{"__proto__":{"x":1}}', []);
    expect(Object.keys(value as object)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  });
});

describe("decodeAuthorizeRequestJson", () => {
  test("reads both spellings of every field", () => {
    const camel =
      '{"tool":"t","payload":{"a":[1,null]},"idempotencyKey":"k","agentId":"a","nonce":"AQI=","principal":"p","sessionId":"s"}';
    const snake =
      '{"tool":"t","payload":{"a":[1,null]},"idempotency_key":"k","agent_id":"a","nonce":"AQI","principal":"p","session_id":"s"}';
    const request = {
      tool: "t",
      payload: { a: [1, null] },
      idempotencyKey: "k",
      agentId: "a",
      nonce: new Uint8Array([1, 2]),
      principal: "p",
      sessionId: "s",
    };
    expect(decodeAuthorizeRequestJson(camel)).toEqual(request);
    expect(decodeAuthorizeRequestJson(snake)).toEqual(request);
  });

  test("reads absent fields and null as empty", () => {
    const claims = { principal: null, sessionId: null };
    const empty = { tool: "", payload: {}, idempotencyKey: "", agentId: "", nonce: new Uint8Array(0), ...claims };
    expect(decodeAuthorizeRequestJson("{}")).toEqual(empty);
    expect(
      decodeAuthorizeRequestJson('{"tool":null,"payload":null,"idempotencyKey":null,"agentId":null,"nonce":null}'),
    ).toEqual(empty);
    expect(decodeAuthorizeRequestJson('{"principal":null,"sessionId":null}')).toEqual(empty);
    expect(decodeAuthorizeRequestJson('{"principal":"","session_id":""}')).toMatchObject({
      principal: "",
      sessionId: "",
    });
  });

  const refused: [text: string, code: string, field: string | undefined, message: string][] = [
    ["nonsense", "REQUEST_MALFORMED", undefined, "The request is not JSON: unexpected text at character 0."],
    ["[]", "REQUEST_MALFORMED", undefined, "The request is not a JSON object."],
    ["null", "REQUEST_MALFORMED", undefined, "The request is not a JSON object."],
    ['{"tool":"t"', "REQUEST_MALFORMED", undefined, "The request is not JSON: it ends too early."],
    ['{"tool":"t","tool":"t"}', "FIELD_INVALID", "tool", "tool occurs twice."],
    [
      '{"idempotencyKey":"k","idempotency_key":"k"}',
      "FIELD_INVALID",
      "idempotency_key",
      "idempotency_key occurs twice, in two spellings.",
    ],
    ['{"payload":{"to":[{"a":1,"a":2}]}}', "FIELD_INVALID", "payload.to[0].a", "payload.to[0].a occurs twice."],
    ['{"payload":{"n":1e400}}', "FIELD_INVALID", "payload.n", "payload.n is a number beyond the range of a double."],
    [
      '{"idempotncyKey":"k"}',
      "FIELD_INVALID",
      "idempotncyKey",
      "idempotncyKey is not a field (did you mean idempotencyKey?).",
    ],
    ['{"Tool":"t"}', "FIELD_INVALID", "Tool", "Tool is not a field (did you mean tool?)."],
    ['{"zzzzzzzzzz":1}', "FIELD_INVALID", "zzzzzzzzzz", "zzzzzzzzzz is not a field."],
    ['{"__proto__":{"tool":"t"}}', "FIELD_INVALID", "__proto__", "__proto__ is not a field."],
    ['{"tool":7}', "FIELD_INVALID", "tool", "tool must be a string, is a number."],
    ['{"tool":["t"]}', "FIELD_INVALID", "tool", "tool must be a string, is a list."],
    ['{"idempotencyKey":{}}', "FIELD_INVALID", "idempotency_key", "idempotency_key must be a string, is an object."],
    ['{"agentId":true}', "FIELD_INVALID", "agent_id", "agent_id must be a string, is a boolean."],
    ['{"payload":"{}"}', "FIELD_INVALID", "payload", "payload must be an object, is a string."],
    ['{"payload":[]}', "FIELD_INVALID", "payload", "payload must be an object, is a list."],
    ['{"nonce":"!"}', "FIELD_INVALID", "nonce", "nonce must be base64."],
  ];
  test.each(refused)("refuses %s", (text, code, field, message) => {
    const fault = faultOf(text);
    expect(fault).toMatchObject({ code, field, message });
  });
});

function attempt(text: string): unknown {
  const path: Path = [];
  try {
    return parseJsonText(text, path);
  } catch (error) {
    expect(error).toBeInstanceOf(Undecodable);
    return undefined;
  }
}

function byLibrary(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return "no JSON";
  }
}

function faultOf(text: string): Fault {
  try {
    decodeAuthorizeRequestJson(text);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("it was accepted");
}
