import type { JsonObject } from "../../src/core/json.ts";
import { describe, expect, it } from "vitest";
import { EXHAUSTED } from "../../src/policy/cel/evaluation.ts";
import { loadBundle, type PolicyInput } from "../../src/policy/bundle.ts";
import { evaluate, policyDir } from "./support.ts";

/** A payload's limit, in characters of canonical JSON. */
const LIMIT = 256 * 1024;
const LONG = "a".repeat(LIMIT - 100);
const NUMBERS = Array.from({ length: 120_000 }, (_, i) => i % 10);
const TEXTS = Array.from({ length: 2_000 }, () => "a".repeat(120));

/**
 * Conditions with the payload that costs them most. Some are refused for their work, some are decided; each has to be done with
 * before a client would have given up, which is far more than the tens of milliseconds that they take, and far less than what
 * they would take without a bound.
 */
const ATTACKS: readonly (readonly [string, JsonObject])[] = [
  ["payload.list.all(x, x in payload.list)", { list: NUMBERS.map((n, i) => i) }],
  ["payload.list.all(x, payload.list == payload.list)", { list: NUMBERS }],
  ["payload.list.exists(x, size(payload.map) == 3)", { list: NUMBERS.slice(0, 60_000), map: { a: 1, b: 2 } }],
  ["payload.list.all(x, payload.text.contains(x))", { text: "a".repeat(100_000), list: TEXTS.slice(0, 1000) }],
  [
    "payload.list.all(x, !payload.text.contains(x))",
    { text: "a".repeat(100_000), list: TEXTS.map((t) => `${t}b`).slice(0, 1000) },
  ],
  ["payload.text.contains(payload.needle)", { text: "a".repeat(130_000), needle: `b${"a".repeat(65_000)}` }],
  ['payload.text.matches("(a|b)*a(a|b){40}[cd]")', { text: LONG }],
  ['payload.list.all(x, payload.text.matches("b"))', { text: "a".repeat(100_000), list: NUMBERS.slice(0, 50_000) }],
  [
    'payload.list.all(x, payload.text.lowerAscii() != "b")',
    { text: "A".repeat(100_000), list: NUMBERS.slice(0, 50_000) },
  ],
  ["payload.list.all(x, size(payload.text) > 1)", { text: "a".repeat(100_000), list: NUMBERS.slice(0, 50_000) }],
  ["payload.list.map(x, payload.list + payload.list).exists(x, size(x) < 0)", { list: NUMBERS }],
  [
    "payload.list.map(x, payload.text + payload.text).exists(x, x < payload.text)",
    { text: LONG.slice(0, 100_000), list: TEXTS.slice(0, 500) },
  ],
  [
    "payload.list.exists(x, payload.a < payload.b)",
    { a: "x".repeat(60_000), b: "x".repeat(60_000), list: NUMBERS.slice(0, 40_000) },
  ],
  [
    "payload.list.exists(x, double(payload.text) == 1.0)",
    { text: "1".repeat(100_000), list: NUMBERS.slice(0, 50_000) },
  ],
  ["payload.list.all(x, [1.0, 2.0, 3.0, 4.0].all(y, payload.list.size() > 0 && x + y >= 0.0))", { list: NUMBERS }],
  [
    "payload.list.all(x, isURL(payload.url))",
    { list: NUMBERS.slice(0, 60_000), url: `https://h/${"%61/".repeat(2_000)}` },
  ],
  [
    "payload.list.all(x, path(url(payload.url)).isWithin(payload.within))",
    { list: NUMBERS.slice(0, 60_000), url: `https://h/${"a/".repeat(4_000)}`, within: "/a".repeat(4_000) },
  ],
  [
    "payload.list.all(x, !isIP(payload.text) && !isCIDR(payload.text))",
    { list: NUMBERS.slice(0, 60_000), text: LONG.slice(0, 9_000) },
  ],
  ["payload.list.filter(x, x > 1).map(x, x * 2.0).exists(x, x > 100.0)", { list: NUMBERS }],
];

const ALLOW = "  - {id: ok, tools: [t], effect: allow}\n";
const SCANS = Array.from({ length: 50 }, (_, i) => {
  return `  - {id: scan-${i}, tools: [t], effect: deny, when: 'payload.list.all(x, x == 1 || x > ${i}.0)'}\n`;
});

function call(list: number[]): PolicyInput {
  return { agentId: "a", tool: "t", payload: { list } };
}

describe("the work of one decision", () => {
  it.each(ATTACKS)("is bounded: %s", (source, payload) => {
    // Without the bound it takes longer than a test may.
    const outcome = evaluate(source, payload);
    expect([true, false, EXHAUSTED, "a string is not a double"]).toContainEqual(
      typeof outcome === "string" && outcome.includes(EXHAUSTED) ? EXHAUSTED : outcome,
    );
  });

  it("is spent on what would take minutes, and left over by what a policy asks of the largest payload", () => {
    const costly = ATTACKS.slice(0, 2).map(([source, payload]) => evaluate(source, payload));
    expect(costly).toEqual([EXHAUSTED, EXHAUSTED].map((message) => expect.stringContaining(message)));
    expect(evaluate('payload.text.matches("(?i)password")', { text: LONG })).toBe(false);
    expect(evaluate('payload.text.contains("password")', { text: LONG })).toBe(false);
    expect(evaluate("payload.list.all(x, x >= 0)", { list: NUMBERS })).toBe(true);
    expect(evaluate('"x" in payload.list', { list: TEXTS })).toBe(false);
    expect(evaluate("size(payload.text) > 10 && payload.text == payload.text", { text: LONG })).toBe(true);
  });

  it("is one budget for all rules, and a call that exhausts it is denied", async () => {
    const bundle = await loadBundle(await policyDir({ "rules.yaml": `rules:\n${ALLOW}${SCANS.join("")}` }));
    expect(bundle.evaluate(call([0])).reason).toBe("RULE_ALLOWED");
    // Each rule looks at the whole list before it finds the last element to differ.
    const judgement = bundle.evaluate(call([...NUMBERS.map(() => 1), 0]));
    expect(judgement.reason).toBe("RULE_ERROR");
    expect(judgement.message).toContain(EXHAUSTED);
  });
});
