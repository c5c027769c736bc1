import type { JsonObject, JsonValue } from "../../../src/core/json.ts";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Evaluation } from "../../../src/policy/cel/evaluation.ts";
import { lintRules } from "../../../src/policy/lint/lint.ts";
import { readRuleFiles } from "../../../src/policy/rule.ts";
import { amount } from "../../support/amount.ts";
import { lintCondition, ruleWith } from "./support.ts";

describe("a deny rule that can never match", () => {
  it.each([
    ["payload.a > 100 && payload.a < 50", "6:26", "payload.a < 50 contradicts payload.a > 100"],
    ["payload.a > 5 && 5 > payload.a", "6:24", "5 > payload.a contradicts payload.a > 5"],
    ["payload.a > 5 && payload.a <= 5", "6:24", "payload.a <= 5 contradicts payload.a > 5"],
    ["!(payload.a < 5) && payload.a < 5", "6:27", "payload.a < 5 contradicts !(payload.a < 5)"],
    ['payload.a >= "b" && payload.a <= "a"', "6:27", 'payload.a <= "a" contradicts payload.a >= "b"'],
    ['payload.a == "x" && payload.a == "y"', "6:27", 'payload.a == "y" contradicts payload.a == "x"'],
    [
      'payload.a in ["x", "y"] && payload.a != "x" && payload.a != "y"',
      "6:54",
      'payload.a != "y" contradicts payload.a in',
    ],
    ['payload.a == "x" && payload.a > 5', "6:27", 'payload.a > 5 contradicts payload.a == "x"'],
    ["payload.a == null && payload.a == 1", "6:28", "payload.a == 1 contradicts payload.a == null"],
    ["payload.a == null && payload.a != null", "6:28", "payload.a != null contradicts payload.a == null"],
    ["payload.b && !payload.b", "6:21", "!payload.b contradicts payload.b"],
    ["payload.b && payload.b == false", "6:20", "payload.b == false contradicts payload.b"],
    ["has(payload.a) && has(payload.a) == false", "6:25", "!has(payload.a) contradicts has(payload.a)"],
    ["!has(payload.a) && payload.a == 1", "6:26", "payload.a == 1 contradicts !has(payload.a)"],
    ["payload.a.b == 1 && !has(payload.a)", "6:28", "!has(payload.a) contradicts payload.a.b == 1"],
    ["size(payload.a) > 3 && size(payload.a) < 4", "6:30", "size(payload.a) < 4 contradicts size(payload.a) > 3"],
    ["size(payload.a) < 0", "6:7", "size(payload.a) < 0, but size() is never negative"],
    ["has(payload.a) && payload.a in []", "6:25", "payload.a in [] looks in an empty list"],
    ['payload.a.lowerAscii() == "DROP"', "6:7", "lowerAscii() gives no capitals; write the text in small letters"],
    ['payload.a.lowerAscii() in ["DROP", "Delete"]', "6:7", "lowerAscii() gives no capitals"],
    ['payload.a.lowerAscii().startsWith("DROP")', "6:7", "lowerAscii() gives no capitals"],
    ['payload.a.upperAscii().contains("drop")', "6:7", "upperAscii() gives capitals alone; write the text in capitals"],
    ['url(payload.u).getHostname() == "API.github.com"', "6:7", "getHostname() gives no capitals"],
    ['payload.a.startsWith("ab") && payload.a == "b"', "6:37", 'contradicts payload.a.startsWith("ab")'],
    ['payload.a.startsWith("ab") && payload.a.startsWith("b")', "6:37", 'contradicts payload.a.startsWith("ab")'],
    ['payload.a.startsWith("ab") && !payload.a.startsWith("a")', "6:38", 'contradicts payload.a.startsWith("ab")'],
    ['payload.a.endsWith("ab") && !payload.a.contains("b")', "6:36", 'contradicts payload.a.endsWith("ab")'],
    [
      'payload.a in ["ab", "cd"] && payload.a.matches("^x")',
      "6:36",
      'payload.a.matches("^x") contradicts payload.a in',
    ],
    ["payload.to.exists(x, x > 5 && x < 3)", "6:37", "x < 3 contradicts x > 5"],
    ["(payload.a > 100 || payload.a > 200) && payload.a < 50", "6:8", "payload.a > 100 contradicts payload.a < 50"],
    ["payload.a > 1 ? payload.a < 0 : payload.a > 2", "6:23", "payload.a < 0 contradicts payload.a > 1"],
    ["1 == 2", "6:7", "1 == 2, but that is another value"],
  ])("is a hole: %s", (when, place, why) => {
    const findings = lintCondition(when);
    expect(findings).toHaveLength(1);
    expect(findings[0]).toContain(`hole ${place}: rule r (deny) can never match: `);
    expect(findings[0]).toContain(why);
  });

  it.each([
    ['tool == "stripe.charge"', "tools: [stripe.refund]", "contradicts tools: [stripe.refund]; correct the condition"],
    ['tool in ["a", "b"]', "tools: [c, d]", "contradicts tools: [c, d]"],
    ['tool.startsWith("gmail.")', 'tools: ["stripe.*"]', "contradicts tools: [stripe.*]"],
    ['tool == "stripe.write"', 'tools: ["*.read", "stripe.*.list"]', "contradicts tools: [*.read, stripe.*.list]"],
    ['agent.id == "sales-1"', 'tools: [t]\n    agents: ["billing-*"]', "contradicts agents: [billing-*]"],
    ['agent.id == "ci-1"', 'tools: [t]\n    except_agents: ["ci-*"]', "contradicts except_agents: [ci-*]"],
  ])("is a hole for its tools or agents: %s with %s", (when, more, why) => {
    expect(lintCondition(when, "deny", more)).toEqual([expect.stringMatching(/^hole .*can never match/)]);
    expect(lintCondition(when, "deny", more)[0]).toContain(why);
  });

  it("is a hole where except_agents leaves nobody", () => {
    const text = 'tools: [t]\n    agents: [a, b-1]\n    except_agents: [a, "b-*"]';
    expect(lintCondition("true", "deny", text)).toEqual([
      expect.stringContaining("hole 2:5: rule r (deny) can never match: except_agents leaves none"),
    ]);
  });

  it("is an error that no service has to refuse where somebody has switched it off, and in an allow rule", () => {
    expect(lintCondition("false")).toEqual([
      expect.stringMatching(/^error 6:7: .*its condition is false; remove the rule$/),
    ]);
    expect(lintCondition("payload.a > 1 && payload.a < 0", "allow")).toEqual([expect.stringMatching(/^error /)]);
  });
});

describe("a comparison that is never true", () => {
  it.each([
    ['payload.b || payload.a.lowerAscii() == "X"', "deny", "hole"],
    ['payload.to.all(a, a.lowerAscii() == "X")', "deny", "hole"],
    ['!(payload.a.lowerAscii() == "X")', "allow", "hole"],
    ["!(payload.a in [])", "allow", "hole"],
    ['!(payload.a.lowerAscii() == "X")', "deny", "error"],
    ['payload.b || payload.a.lowerAscii() == "X"', "allow", "error"],
  ])("%s in a rule to %s is: %s", (when, effect, severity) => {
    expect(lintCondition(when, effect)[0]).toMatch(new RegExp(`^${severity} .*has a comparison that is never true`));
  });
});

describe("one of several ways to match that leads nowhere", () => {
  it("is a warning in a rule that restricts", () => {
    const when = "payload.x == 1 || (payload.a > 5 && payload.a < 3)";
    expect(lintCondition(when)).toEqual([
      expect.stringMatching(
        /^warning 6:26: rule r \(deny\) has a part that can never be true: payload.a < 3 contradicts/,
      ),
    ]);
    expect(lintCondition(when, "allow")).toEqual([]);
  });
});

describe("a rule that can match", () => {
  it.each([
    ["payload.a > 50 && payload.a < 100"],
    ["payload.a >= 5 && payload.a <= 5"],
    ["payload.a > 100 || payload.a < 50"],
    ['payload.a != "x" && payload.a != "y"'],
    ["size(payload.a) > 3 && size(payload.a) < 5"],
    ["payload.a[0] == 1 && payload.a[1] == 2"],
    ["payload.x.exists(a, a > 5) && payload.x.exists(a, a < 3)"],
    ["payload.x.exists(a, a > 5) && payload.y.all(a, a < 3)"],
    ["!has(payload.a) || payload.a == 1"],
    ['payload.a.lowerAscii() == "drop" && payload.a != "drop"'],
    ['payload.a.contains("x") && payload.a.contains("y")'],
    ['payload.a.startsWith("a") && payload.a.startsWith("ab")'],
    ["0.0 / payload.a < 1.0 || !(0.0 / payload.a < 1.0)"],
    ["!(payload.a / payload.a < 1.0) && !(payload.a / payload.a >= 1.0)"],
    ["payload.a == payload.b && payload.a != payload.c"],
    ["payload.a == null || payload.a == 1"],
    ["has(payload.a) && payload.a == null"],
    ['payload.a.matches("a") && !payload.a.matches("b")'],
  ])("is left alone: %s", (when) => {
    expect(lintCondition(when)).toEqual([]);
  });

  it.each([
    ['tool == "stripe.refund"', 'tools: ["stripe.*"]'],
    ['tool == "a.read"', 'tools: ["*.read"]'],
    ['tool != "shell.exec" || payload.a == 1', 'tools: ["shell.*"]'],
    ['tool == "a"', "tools: [a, b]"],
    ['agent.id == "billing-1"', 'tools: [t]\n    agents: ["billing-*"]'],
    ['agent.id != "ci-1"', 'tools: [t]\n    except_agents: ["ci-*"]'],
  ])("is left alone for its tools and agents: %s with %s", (when, more) => {
    expect(lintCondition(when, "deny", more)).toEqual([]);
  });

  it("is not given up on however many ways to match there are", () => {
    const clause = (i: number) => `(payload.a${i} > 1 || payload.b${i} > 1 || payload.c${i} > 1)`;
    const when = Array.from({ length: 14 }, (_, i) => clause(i)).join(" && ");
    expect(lintCondition(`${when} && payload.a1 < 100`)).toEqual([]);
  });
});

const name = fc.constantFrom("payload.a", "payload.b", "size(payload.a)", "payload.a.lowerAscii()", "payload.a.c", "x");
const literal = fc.constantFrom("0", "1", "2", "1.5", '"a"', '"ab"', '"b"', '"A"', "true", "false", "null");
const text = fc.constantFrom('"a"', '"ab"', '"b"', '"A"', '""');
const atom = fc.oneof(
  fc.tuple(name, fc.constantFrom("==", "!=", "<", "<=", ">", ">="), literal).map((parts) => parts.join(" ")),
  fc.tuple(literal, fc.constantFrom("==", "<", ">="), name).map((parts) => parts.join(" ")),
  fc.tuple(name, fc.array(literal, { maxLength: 3 })).map(([left, items]) => `${left} in [${items.join(", ")}]`),
  fc
    .tuple(name, fc.constantFrom("startsWith", "endsWith", "contains"), text)
    .map(([left, method, arg]) => `${left}.${method}(${arg})`),
  fc.tuple(name, fc.constantFrom("^a", "b$", "^$")).map(([left, pattern]) => `${left}.matches("${pattern}")`),
  fc.constantFrom("has(payload.a)", "has(payload.b)", "has(payload.a.c)", "payload.a", "payload.b", "true", "false"),
);
const { condition } = fc.letrec<{ condition: string }>((tie) => ({
  condition: fc.oneof(
    { depthSize: "small" },
    atom,
    fc
      .tuple(tie("condition"), fc.constantFrom("&&", "&&", "||"), tie("condition"))
      .map(([l, o, r]) => `(${l} ${o} ${r})`),
    tie("condition").map((inner) => `!(${inner})`),
    fc.tuple(atom, tie("condition"), tie("condition")).map(([c, l, r]) => `(${c} ? ${l} : ${r})`),
    fc
      .tuple(tie("condition"), fc.constantFrom("==", "!="), fc.constantFrom("true", "false"))
      .map((parts) => `(${parts.join(" ")})`),
    fc
      .tuple(fc.constantFrom("all", "exists", "exists_one"), atom)
      .map(([macro, body]) => `payload.b.${macro}(x, ${body})`),
  ),
}));
const leaf = fc.constantFrom<JsonValue>(0, 1, 2, 1.5, -1, "a", "ab", "b", "A", "", true, false, null);
const json = fc.oneof(leaf, leaf, fc.array(leaf, { maxLength: 2 }), fc.record({ c: leaf }));
const payload = fc.record({ a: json, b: json }, { requiredKeys: [] });

const RUNS = amount(600, 20_000);

describe("what is said to be impossible", () => {
  it("is: no payload makes such a condition true", () => {
    let dead = 0;
    const agents = fc.array(payload, { minLength: 40, maxLength: 40 });
    fc.assert(
      fc.property(condition, agents, (when, payloads: JsonObject[]) => {
        const read = readRuleFiles([{ path: "p.yaml", text: ruleWith(when) }]);
        fc.pre(read.problems.length === 0);
        if (!lintRules(read, []).some(({ message }) => message.includes("can never match"))) return;
        dead++;
        for (const each of payloads) {
          const subject = { agentId: "a", tool: "t", payload: each };
          expect(read.rules[0]?.rule.condition.test(new Evaluation(subject))).not.toBe(true);
        }
      }),
      { numRuns: RUNS },
    );
    // The property would hold for a lint that finds nothing.
    expect(dead).toBeGreaterThan(RUNS / 40);
  });
});
