import { RE2JS } from "@bufbuild/re2";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Evaluation } from "../../src/policy/cel/evaluation.ts";
import { LinearRegex } from "../../src/policy/cel/regex.ts";

function search(pattern: string, text: string, work?: number): boolean | null {
  return new LinearRegex(pattern).test(text, new Evaluation({ agentId: "", tool: "", payload: {} }, work));
}

describe("a pattern", () => {
  it.each([
    ["^https://[a-z.]+\\.example\\.com/", "https://docs.example.com/x", true],
    ["^https://[a-z.]+\\.example\\.com/", "http://docs.example.com/x", false],
    ["b", "abc", true],
    ["^b", "abc", false],
    ["c$", "abc", true],
    ["c$", "abc\n", false],
    ["(?m)b$", "ab\nc", true],
    ["(?i)straße", "STRASSE STRAßE", true],
    ["\\bcat\\b", "concatenate cat", true],
    ["\\bcat\\b", "concatenate", false],
    ["^.$", "😀", true],
    ["^.{2}$", "😀", false],
    ["[^a]", "a", false],
    ["", "", true],
    ["^$", "", true],
    ["x*", "yyy", true],
    ["\\p{Greek}", "abγ", true],
    ["(?s)a.b", "a\nb", true],
    ["a.b", "a\nb", false],
  ])("%s in %j: %s", (pattern, text, found) => {
    expect(search(pattern, text)).toBe(found);
  });

  it("finds what the library's own search finds, and, in their common syntax, what JavaScript's does", () => {
    const atom = fc.constantFrom("a", "b", "c", ".", "[ab]", "[^a]", "\\d", "\\w", "\\b", "^", "$", "é", "😀", "\\n");
    const part = fc.tuple(atom, fc.constantFrom("", "", "*", "+", "?", "{1,3}")).map(([of, times]) => {
      return /^(\^|\$|\\b)$/.test(of) ? of : of + times;
    });
    const branch = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join(""));
    const group = fc.array(branch, { minLength: 1, maxLength: 3 }).map((branches) => `(${branches.join("|")})`);
    const pattern = fc.array(fc.oneof(branch, group), { minLength: 1, maxLength: 3 }).map((parts) => parts.join(""));
    const text = fc.array(fc.constantFrom("a", "b", "c", "1", " ", "é", "😀", "\n"), { maxLength: 12 });
    const seen = { true: 0, false: 0 };
    fc.assert(
      fc.property(pattern, text, (source, characters) => {
        const subject = characters.join("");
        const found = search(source, subject);
        seen[found === true ? "true" : "false"]++;
        expect(found).toBe(RE2JS.compile(source).test(subject));
        expect(found).toBe(new RegExp(source, "u").test(subject));
      }),
      { numRuns: 1000 },
    );
    expect(Math.min(seen.true, seen.false)).toBeGreaterThan(100);
  });

  it.each([
    ["(a+)+$", "a"],
    ["(a|aa)+$", "a"],
    ["([a-z]+)*[0-9]", "x"],
    ["(a|b)*a(a|b){20}[cd]", "ab"],
    ["(.*)(.*)(.*)(.*)[0-9]", "z"],
    ["(?i)(k|s)+[0-9]", "\u212a\u017f"],
  ])("%s costs work in proportion to the text", (pattern, unit) => {
    const costs = [500, 1000, 2000].map((length) => workFor(pattern, `${unit.repeat(length / unit.length)}!`));
    const [once = 0, twice = 0, fourTimes = 0] = costs;
    expect(twice / once).toBeLessThan(2.2);
    expect(fourTimes / twice).toBeLessThan(2.2);
  });

  it("gives up when the work is spent, rather than answer", () => {
    expect(search("(a+)+$", `${"a".repeat(28)}!`)).toBe(false);
    expect(search("(a+)+$", `${"a".repeat(28)}!`, 50)).toBe(null);
  });
});

/** The work that a search of `text` takes, to the unit. */
function workFor(pattern: string, text: string): number {
  const regex = new LinearRegex(pattern);
  let enough = 1;
  while (regex.test(text, new Evaluation({ agentId: "", tool: "", payload: {} }, enough)) === null) enough *= 2;
  let [low, high] = [enough / 2, enough];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const outcome = regex.test(text, new Evaluation({ agentId: "", tool: "", payload: {} }, middle));
    if (outcome === null) low = middle;
    else high = middle;
  }
  return high;
}
