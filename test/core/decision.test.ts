import fc from "fast-check";
import { expect, test } from "vitest";
import { DECISION_OF, isAllow, judge, type Reason } from "../../src/core/decision.ts";

test("allow is permission", () => {
  expect(isAllow("allow")).toBe(true);
});

test("nothing else is permission, whatever its type", () => {
  const near = ["deny", "needs_review", "ALLOW", "Allow", "allow ", "", "DECISION_ALLOW", 1, 0, true, null, undefined];
  for (const value of [...near, ["allow"], { decision: "allow" }, new String("allow")])
    expect(isAllow(value), JSON.stringify(value)).toBe(false);
  fc.assert(fc.property(fc.anything(), (value) => isAllow(value) === (value === "allow")));
});

test("a judgement's decision follows from its reason, and few reasons allow", () => {
  const reasons = Object.keys(DECISION_OF) as Reason[];
  for (const reason of reasons) expect(judge(reason, "").decision).toBe(DECISION_OF[reason]);
  expect(reasons.filter((reason) => isAllow(judge(reason, "").decision))).toEqual([
    "RULE_ALLOWED",
    "REVIEW_APPROVED",
    "CIRCUIT_BYPASS",
  ]);
});
