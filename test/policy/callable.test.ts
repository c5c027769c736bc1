import fc from "fast-check";
import { expect, test } from "vitest";
import { Bundle } from "../../src/policy/bundle.ts";
import { Engine } from "../../src/policy/engine.ts";
import { type Effect, readRuleFiles, type RuleFiles } from "../../src/policy/rule.ts";

interface Written {
  readonly effect: Effect;
  readonly tools?: string;
  readonly agents?: string;
  readonly except?: string | undefined;
  readonly when?: string | undefined;
}

function read(rules: readonly Written[]): RuleFiles {
  const lines = rules.map(({ effect, tools = "shop.buy", agents = "*", except, when }, index) => {
    const excepted = except === undefined ? "" : `, except_agents: ["${except}"]`;
    const condition = when === undefined ? "" : `, when: ${when}`;
    return `  - {id: r${index}, tools: ["${tools}"], agents: ["${agents}"]${excepted}, effect: ${effect}${condition}}\n`;
  });
  const files = readRuleFiles([{ path: "p.yaml", text: `rules:\n${lines.join("")}` }]);
  expect(files.problems).toEqual([]);
  return files;
}

const engineOf = (rules: readonly Written[]): Engine => new Engine(read(rules).rules.map(({ rule }) => rule));
const ALLOW = { effect: "allow", when: '"payload.amount > 0"' } as const;

test.each<[boolean, string, readonly Written[]]>([
  [false, "no rule", [{ ...ALLOW, tools: "shop.sell" }]],
  [true, "an allow rule with a condition", [ALLOW]],
  [true, "an allow rule without one", [{ effect: "allow" }]],
  [true, "a review rule", [{ effect: "needs_review" }]],
  [true, "a rule for all tools of the server", [{ ...ALLOW, tools: "shop.*" }]],
  [true, "a rule for all tools", [{ ...ALLOW, tools: "*" }]],
  [false, "an allow rule for another agent", [{ ...ALLOW, agents: "b" }]],
  [false, "an allow rule that excepts the agent", [{ ...ALLOW, except: "a" }]],
  [false, "an allow rule that never applies", [{ effect: "allow", when: "false" }]],
  [false, "an allow rule that never applies, as text", [{ effect: "allow", when: '" false "' }]],
  [false, "a review rule that never applies", [{ effect: "needs_review", when: "false" }]],
  [true, "a rule that never applies and one that may", [{ effect: "allow", when: "false" }, ALLOW]],
  [false, "a deny rule without a condition", [ALLOW, { effect: "deny" }]],
  [false, "a deny rule that always applies", [ALLOW, { effect: "deny", when: "true" }]],
  [false, "a deny rule for all tools", [ALLOW, { effect: "deny", tools: "*" }]],
  [true, "a deny rule with a condition", [ALLOW, { effect: "deny", when: '"payload.amount > 9"' }]],
  [true, "a deny rule for another agent", [ALLOW, { effect: "deny", agents: "b" }]],
  [true, "a deny rule that excepts the agent", [ALLOW, { effect: "deny", except: "a" }]],
  [false, "a deny rule alone", [{ effect: "deny", when: '"payload.amount > 9"' }]],
])("callable is %s where there is %s", (expected, _, rules) => {
  expect(engineOf(rules).isCallable({ agentId: "a", tool: "shop.buy" })).toBe(expected);
});

const written = fc.record({
  effect: fc.constantFrom<Effect>("allow", "needs_review", "deny"),
  tools: fc.constantFrom("shop.buy", "shop.sell", "shop.*", "*.buy", "*"),
  agents: fc.constantFrom("*", "a", "b", "a*"),
  except: fc.constantFrom(undefined, "a", "b"),
  when: fc.constantFrom(
    undefined,
    "true",
    "false",
    '"payload.x == 1"',
    '"has(payload.x)"',
    "'request.principal == \"p\"'",
  ),
});

test("a tool that is not callable is denied whatever the payload and the principal", () => {
  fc.assert(
    fc.property(
      fc.array(written, { minLength: 1, maxLength: 6 }),
      fc.array(fc.tuple(fc.jsonValue(), fc.option(fc.constantFrom("p", "q"))), { minLength: 1, maxLength: 8 }),
      (rules, inputs) => {
        const bundle = new Bundle(read(rules), []);
        for (const tool of ["shop.buy", "shop.sell", "mail.send"]) {
          if (bundle.isCallable({ agentId: "a", tool })) continue;
          for (const [x, principal] of [[1, "p"] as const, ...inputs]) {
            const payload = { x: x as never };
            for (const each of [payload, {}])
              expect(bundle.evaluate({ agentId: "a", tool, payload: each, principal }).decision).toBe("deny");
          }
        }
      },
    ),
  );
});
