import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nearTools } from "../../src/policy/near-tools.ts";

const PATTERNS = ["git.push", "git.*", "stripe.refund", "*.read", "db.*.drop", "*", "x"];

describe("the patterns near a tool's name", () => {
  it.each([
    ["Git.push", ["git.push", "git.*"]],
    ["GIT.PUSH", ["git.push", "git.*"]],
    ["stripe.refnud", ["stripe.refund"]],
    ["stripe.refunds", ["stripe.refund"]],
    ["files.raed", ["*.read"]],
    ["db.users.dorp", ["db.*.drop"]],
  ])("are, for %s, %j", (tool, near) => {
    expect(nearTools(PATTERNS, tool)).toEqual(near);
  });

  it.each([
    "git.push",
    "git.pull",
    "files.read",
    "db.users.drop",
    "x",
    "y",
    "stripe.charge",
    "unknown.tool",
    "",
    ".",
    "g".repeat(500),
  ])("are none for %s", (tool) => {
    expect(nearTools(PATTERNS, tool)).toEqual([]);
  });

  it("are at most three, nearest first, and each once", () => {
    const patterns = ["toolab", "toola", "toola", "toolb", "toolc", "toold"];
    expect(nearTools(patterns, "Toola")).toEqual(["toola", "toolab", "toolb"]);
  });

  it("name the pattern of which a name differs in case alone", () => {
    const part = fc.stringMatching(/^[a-z]{4,10}$/);
    fc.assert(
      fc.property(part, part, (first, second) => {
        const tool = `${first}.${second}`;
        expect(nearTools([tool], tool.toUpperCase())).toEqual([tool]);
        expect(nearTools([`${first}.*`], tool.toUpperCase())).toEqual([`${first}.*`]);
        expect(nearTools([tool], tool)).toEqual([]);
      }),
    );
  });
});
