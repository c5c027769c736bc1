import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { actingProblem, AGENT_ID, isAlike, isSubject, nameProblem, OPERATOR_NAME } from "../../src/core/names.ts";

describe("a new name", () => {
  test.each(["a", "0", "ag1", "billing-bot", "a.b.c", "a-1.b-2", "x".repeat(63)])("of an agent may be %s", (name) => {
    expect(nameProblem(name, "agent")).toBeNull();
    expect(nameProblem(name, "operator")).toBeNull();
  });

  test.each([
    "",
    "ag1.",
    ".ag1",
    "ag1-",
    "-ag1",
    "ag..1",
    "ag.-1",
    "ag--1",
    "Ag1",
    "ag1 ",
    " ag1",
    "ag 1",
    "ag1\n",
    "ag1\u200b",
    "\u0430g1",
    "ag\u0301",
    "\uff41g1",
    "ag/1",
    "ag@1",
    "x".repeat(64),
  ])("is not %j", (name) => {
    expect(nameProblem(name, "agent")).toContain("must be 1 to 63");
    expect(nameProblem(name, "operator")).toContain("must be 1 to 63");
  });

  test("of an operator may have underscores, of an agent none: they part its credential", () => {
    expect(nameProblem("ann_b", "operator")).toBeNull();
    expect(nameProblem("ann_b", "agent")).toContain("dot or hyphen)");
    for (const name of ["ann_", "_ann", "a__b", "a_.b"]) expect(nameProblem(name, "operator")).not.toBeNull();
  });

  test("is like another new one only by letters that look alike or the kind of its marks, and is always read again", () => {
    const name = fc.stringMatching(/^[a-c0-2._-]{1,6}$/);
    fc.assert(
      fc.property(name, name, (one, other) => {
        if (nameProblem(one, "operator") !== null || nameProblem(other, "operator") !== null) return;
        expect(one).toMatch(OPERATOR_NAME);
        if (!one.includes("_")) expect(one).toMatch(AGENT_ID);
        expect(isAlike(one, other)).toBe(one.replaceAll(/[._]/g, "-") === other.replaceAll(/[._]/g, "-"));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("a subject of an issuer", () => {
  test.each([
    "ann",
    "Ann",
    "auth0|5f7c",
    "ann@example.org",
    "José Müller",
    "田中 太郎",
    "Анна",
    "김 Kim",
    "a".repeat(200),
  ])("may act as %s", (subject) => {
    expect(isSubject(subject)).toBe(true);
    expect(actingProblem(`oidc:${subject}`)).toBeNull();
  });

  test.each<[string, string, string]>([
    ["a space at its end", "ann ", "spaces"],
    ["a space at its beginning", " ann", "spaces"],
    ["two spaces", "ann  b", "spaces"],
    ["a no-break space", "ann\u00a0b", "spaces"],
    ["a zero-width space", "ann\u200b", "invisible"],
    ["a soft hyphen", "an\u00adn", "invisible"],
    ["a right-to-left override", "\u202enna", "invisible"],
    ["a Hangul filler", "ann\u3164", "invisible"],
    ["a private character", "ann\ue000", "invisible"],
    ["an accent apart from its letter", "Jose\u0301", "normalised"],
    ["an accent before all letters", "\u0301ann", "normalised"],
    ["full-width letters", "\uff41nn", "normalised"],
    ["mathematical letters", "\u{1d41a}nn", "normalised"],
    ["a Cyrillic letter among Latin ones", "\u0430nn", "mixes scripts"],
    ["a Greek letter among Latin ones", "ann\u03bf", "mixes scripts"],
  ])("with %s may look, and not act", (_, subject, problem) => {
    expect(isSubject(subject)).toBe(true);
    expect(actingProblem(`oidc:${subject}`)).toContain(problem);
  });

  test.each(["", "a\u0000", "a\u001b[2J", "a\nb", "\ud800", "a".repeat(201), 5, null, ["ann"]])(
    "is not %j",
    (subject) => {
      expect(isSubject(subject)).toBe(false);
    },
  );
});

describe("names that could be taken for one another's", () => {
  test.each([
    ["ag1", "ag1."],
    ["ag1", "oidc:ag1"],
    ["oidc:ag1", "AG1"],
    ["ag1", "-ag1-"],
    ["ag1", "agl"],
    ["ag1", "AGI"],
    ["ag0", "ago"],
    ["ag-1", "ag_1"],
    ["ag.1", "ag--1"],
    ["ag 1", "ag-1"],
    ["ag1", "ag1\u200b"],
    ["ag1", "\uff41g1"],
    ["ag1", "\u00e1g1"],
    ["ace", "\u0430\u0441\u0435"],
    ["ann", "oidc:\u03b1nn"],
    ["modern", "modem"],
  ])("%s and %s", (one, other) => {
    expect(isAlike(one, other)).toBe(true);
    expect(isAlike(other, one)).toBe(true);
  });

  test.each([
    ["ag1", "ag2"],
    ["ag1", "ag11"],
    ["ag1", "ag-1"],
    ["ann", "anna"],
    ["ann@a.org", "ann@b.org"],
    ["!", "?"],
  ])("are not %s and %s", (one, other) => expect(isAlike(one, other)).toBe(false));

  test("are alike whatever marks and spaces are at their ends", () => {
    const mark = fc.stringMatching(/^[ ._\-\u200b]{0,3}$/);
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9]{1,8}$/), mark, mark, (name, before, after) => {
        expect(isAlike(name, `${before}${name}${after}`)).toBe(true);
      }),
    );
  });
});
