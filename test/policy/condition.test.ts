import { describe, expect, it } from "vitest";
import { complaints, evaluate } from "./support.ts";

const payload = {
  amount: 50,
  currency: "EUR",
  to: ["ann@example.com", "bob@example.com"],
  nothing: null,
  nested: { deep: { flag: true } },
  headers: { "content-type": "text/plain" },
};

describe("a condition", () => {
  it.each([
    ["payload.amount <= 100", true],
    ["payload.amount <= 49", false],
    ["payload.amount * 2.0 > 99.5 && payload.amount + 1.0 == 51", true],
    ["-payload.amount < 0", true],
    ['payload.currency == "EUR" && payload.currency != "USD"', true],
    ['payload.currency in ["USD", "EUR"]', true],
    ["payload.amount in [1, 50]", true],
    ['payload.to.all(r, r.endsWith("@example.com"))', true],
    ['payload.to.exists(r, r.startsWith("bob"))', true],
    ['payload.to.exists_one(r, r.contains("ann"))', true],
    ["payload.to.map(r, size(r)) == [15, 15]", true],
    ['payload.to.filter(r, r.startsWith("a")).map(r, r + "!") == ["ann@example.com!"]', true],
    ["size(payload.to) == 2 && payload.to.size() == 2 && size(payload) == 6", true],
    ['payload.to[0] == "ann@example.com" && payload["amount"] == 50', true],
    ['has(payload.nothing) && !has(payload.missing) && has(payload.headers["content-type"])', true],
    ["payload.nothing == null && null != payload.amount", true],
    ["payload.nested.deep.flag", true],
    ["payload.nested.deep == payload.nested.deep", true],
    ['payload.currency.matches("^E.R$") && !payload.currency.matches("^U")', true],
    ['payload.to.all(a, ["ann@", "bob@"].exists(p, a.startsWith(p)))', true],
    ['payload.to.all(a, ["ann@", "eve@"].exists(p, a.startsWith(p)))', false],
    ['payload.to.map(a, ["1"].map(p, p + a)) == [["1ann@example.com"], ["1bob@example.com"]]', true],
    ["[1, 2].all(a, [3, 4].all(b, [5, 6].exists(c, a + b + c == 10)))", false],
    ["[1, 2].all(a, [3, 4].all(b, [5, 6].exists(c, a + b + c >= 9)))", true],
    ['payload.currency.lowerAscii() == "eur"', true],
    ['payload.currency.lowerAscii().upperAscii() == "EUR" && "ı".upperAscii() == "ı"', true],
    ['"\\u212a".lowerAscii() == "k"', false],
    ['int(payload.amount) % 2 == 0 && double("1.5") == 1.5', true],
    ['agent.id == "billing-1" && tool == "stripe.refund"', true],
    ['payload.amount > 10 ? payload.currency == "EUR" : payload.missing', true],
    ['size("a😀b") == 3 && "\uffff" < "😀"', true],
    ["1.0 / 0.0 <= 1.0 / 0.0", true],
    ["payload.to == [1]", false],
    ['payload.to == [1, "x"]', false],
  ])("%s is %s", (source, value) => {
    expect(evaluate(source, payload)).toBe(value);
  });

  it.each([
    ["payload.missing == 1", "payload.missing is absent"],
    ["payload.amount.deep == 1", "payload.amount is a double, not a map"],
    ["payload.amount", "payload.amount is a double, not true or false"],
    ['payload.amount == "50"', "payload.amount: a double is compared with a string"],
    ['payload.to == [1, "bob@example.com"]', "payload.to: a string is compared with an int"],
    ["payload.nothing == 1", "payload.nothing: null is compared with a double"],
    ["payload.currency > 1", "payload.currency: a string has no order with a double"],
    ['"x" in payload.headers', '"in" looks in lists, not in a map'],
    ["payload.headers.all(k, k != k)", "payload.headers is a map, not a list"],
    ['payload.to[2] == "x"', "payload.to[2] is outside its list"],
    ['payload.to[0.5] == "x"', "payload.to[0.5] is outside its list"],
    [
      "payload.amount + payload.currency == 1.0",
      "+ does not take payload.amount, a double and payload.currency, a string",
    ],
    ['payload.amount.startsWith("5")', "startsWith does not take payload.amount, a double and a value, a string"],
    ["1 / (size(payload.to) - 2) == 1", "division by zero"],
    ["9223372036854775807 + size(payload.to) == 1", "an int is out of range"],
    ["int(payload.currency) == 1", "a string is not an int"],
    ["has(payload.missing.deep)", "payload.missing is absent"],
  ])("%s: %s", (source, failure) => {
    expect(evaluate(source, payload)).toContain(failure);
  });

  it.each([
    ["false && payload.missing", false],
    ["payload.missing && false", false],
    ["true || payload.missing", true],
    ["payload.missing || true", true],
    ["true && payload.missing", "payload.missing is absent"],
    ["payload.missing || false", "payload.missing is absent"],
    ['[1, "x", 3].exists(x, x == 3)', true],
    ['[1, "x", 3].all(x, x == 1)', false],
    ['[1, "x"].all(x, x == 1)', "x: a string is compared with an int"],
    ['"x" in [1, "x"]', true],
  ])("lets an error be decided by the other side: %s is %s", (source, value) => {
    expect(evaluate(source)).toBe(value);
  });

  it("reads no prototypes, and a payload's own keys whatever their names", () => {
    const hostile = JSON.parse('{"__proto__": {"admin": true}, "hasOwnProperty": 1, "constructor": "x"}');
    expect(evaluate("payload.__proto__.admin", hostile)).toBe(true);
    expect(evaluate('payload.constructor == "x" && payload.hasOwnProperty == 1', hostile)).toBe(true);
    for (const name of ["__proto__", "constructor", "toString", "valueOf", "hasOwnProperty"]) {
      expect(evaluate(`payload.${name} == 1`, {})).toBe(`payload.${name} is absent`);
      expect(evaluate(`has(payload.${name})`, {})).toBe(false);
      expect(evaluate(`payload["${name}"] == 1`, {})).toBe(`payload.${name} is absent`);
    }
    expect(evaluate("payload.to.length == 1", { to: [] })).toBe("payload.to is a list, not a map");
    expect(evaluate("payload.name.length == 1", { name: "x" })).toBe("payload.name is a string, not a map");
  });

  it.each([
    [
      "paylod.x",
      "0: unknown variable paylod; a condition sees agent.id, request.principal, tool, payload and constants",
    ],
    [
      'agent.name == "x"',
      "5: unknown variable agent.name; a condition sees agent.id, request.principal, tool, payload and constants",
    ],
    ["agent == agent", "0: agent is not a value; write agent.id"],
    ["foo(payload.x)", "unknown function foo; there are size,"],
    ["math.abs(payload.x) > 1", "unknown function math.abs;"],
    ["payload.amount * 2 > 1.0", "* does not mix ints and doubles, and a payload's numbers are doubles; write 2.0"],
    ["size(payload.to) * payload.x > 1.0", "write double(…) around the int"],
    ["payload.a % 2.0 == 0.0", "% does not take"],
    ['payload.to.all(x, ["a"].map(y, x + y).all(z, z == x))', "within a macro, another one runs over a written list"],
    ['payload.to.all(x, ["a"].all(x, x == "a"))', "x is the name in the macro outside; choose another name"],
    [
      "payload.to.all(x, payload.to.all(y, x == y))",
      "within a macro, another one runs over a written list or a constant alone",
    ],
    ["payload.to.all(payload, true)", "payload has a meaning already; choose another name"],
    ["payload.to.all(x)", "all takes a name and an expression; write payload.to.all(x, …)"],
    ["size(payload.to)", "an int is not true or false"],
    ["payload.a + 1.0", "a double is not true or false"],
    ['payload.a && "x"', "a string is not true or false"],
    ['"a" == 1', "a string never equals an int"],
    ['size(payload.to) < "3"', "an int has no order with a string"],
    ['size(payload.to) in ["a"]', "an int is never in a list of a string"],
    ['"x" in payload', '"in" looks in lists, not in a map; write has(payload["key"])'],
    ['payload.url.matches("(")', "missing closing )"],
    ['payload.url.matches("[ab]{600}[cd]{600}")', "it compiles to"],
    ["payload.url.matches(payload.x)", "a pattern that a payload could choose is refused"],
    ['contains(payload.x, "y")', "contains is written behind its text; write x.contains(…)"],
    ["payload.x.double() > 1.0", "double is written before its value; write double(x)"],
    ['payload == {"a": 1}', "maps cannot be written in a condition"],
    ["payload.n == 2u", "unsigned numbers are not part of the rule language; write 2"],
    ['b"x" == payload.x', "bytes are not part of the rule language; write a string"],
    ["has(payload)", "has() takes a field"],
    ["tool.name == 1", "a string has no fields"],
    ["", "the condition ends too early"],
    ["payload.amount >", "the condition is not understood from"],
    ["payload.a == 1 || (", "the condition is not understood from"],
    ["true && ".repeat(2000) + "true", "a condition of 16004 characters; write at most 8192"],
    ["(".repeat(4000) + "true" + ")".repeat(4000), "nested too deeply"],
  ])("is refused: %s", (source, complaint) => {
    expect(complaints(source).join("\n")).toContain(complaint);
  });

  it("is refused with everything that is wrong with it, each at its place", () => {
    expect(complaints("paylod.x == 1 && foo(payload.y)\n  && payload.amount * 2 > 1.0")).toEqual([
      "0: unknown variable paylod; a condition sees agent.id, request.principal, tool, payload and constants",
      expect.stringMatching(/^17: unknown function foo/),
      expect.stringMatching(/^52: \* does not mix/),
    ]);
  });
});
