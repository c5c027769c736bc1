import { describe, expect, it } from "vitest";
import { lint, lintCondition } from "./support.ts";

describe("a test that lets more through than it looks like", () => {
  it.each([
    [
      'payload.u.startsWith("https://api.github.com")',
      "https://api.github.com.evil.test/",
      'url(payload.u).getHostname() == "api.github.com"',
    ],
    [
      'payload.u.startsWith("https://api.github.com:443")',
      "https://api.github.com:443@evil.test/",
      "url(payload.u).getHostname()",
    ],
    [
      'payload.u.startsWith("https://api.github.com/repos/acme/")',
      "https://api.github.com/repos/acme/../../other",
      'path(url(payload.u)).isWithin("/repos/acme")',
    ],
    [
      String.raw`payload.u.matches(r"https://api\.github\.com/")`,
      "https://evil.test/?https://api.github.com/",
      "url(payload.u).getHostname()",
    ],
    [
      String.raw`payload.u.matches(r"^https://api\.github\.com")`,
      "https://api.github.com.evil.test/",
      "url(payload.u).getHostname()",
    ],
    [
      String.raw`payload.u.matches("^https://api.github.com/")`,
      "https://apixgithub.com/",
      "url(payload.u).getHostname()",
    ],
    [
      String.raw`payload.u.matches(r"^https://.*\.example\.com/")`,
      "https://evil.test/.example.com/",
      '.endsWith(".example.com")',
    ],
    [
      String.raw`payload.u.matches("(?i)https://.*")`,
      "ftp://evil.test/?https://www.example.org/",
      'url(payload.u).getScheme() == "https"',
    ],
    [
      String.raw`payload.u.matches(r"(https|http)://api\.github\.com/")`,
      "https://evil.test/?https://api.github.com/",
      "url(payload.u)",
    ],
    [String.raw`payload.h.matches(r"api\.github\.com")`, "api.github.com.evil.test", 'payload.h == "api.github.com"'],
    ['payload.u.contains("api.github.com")', "api.github.com.evil.test", 'payload.u == "api.github.com"'],
    ['payload.h.endsWith("example.com")', "evilexample.com", 'payload.h.endsWith(".example.com")'],
    [
      'url(payload.u).getHostname().endsWith("example.com")',
      "evilexample.com",
      'url(payload.u).getHostname() == "example.com"',
    ],
    [
      'payload.to.endsWith("@a.com")',
      "eve@evil.test, ann@a.com",
      String.raw`payload.to.matches(r"(?i)^[a-z0-9._+-]+@a\.com$")`,
    ],
    ['payload.to.contains("@a.com")', "eve@evil.test, ann@a.com", "which takes one address"],
    [String.raw`payload.to.matches(r"@a\.com$")`, "eve@evil.test, ann@a.com", "which takes one address"],
    [String.raw`payload.to.matches(r"^.*@a\.com$")`, "eve@evil.test, ann@a.com", "which takes one address"],
    ['payload.p.startsWith("/srv/data")', "/srv/data/../../etc/passwd", 'path(payload.p).isWithin("/srv/data")'],
    ['payload.p.startsWith("/srv/data/")', "/srv/data/../../etc/passwd", 'path(payload.p).isWithin("/srv/data")'],
    ['payload.to.exists(a, a.endsWith("@a.com"))', "eve@evil.test, ann@a.com", "a.matches("],
  ])("is a warning that names a text: %s", (when, forged, instead) => {
    const findings = lintCondition(when, "allow");
    expect(findings).toHaveLength(1);
    expect(findings[0]).toContain(
      `warning 6:${when.includes(".exists") ? 28 : 7}: rule r (allow) takes ${JSON.stringify(forged)} for `,
    );
    expect(findings[0]).toContain("; write ");
    expect(findings[0]).toContain(instead);
  });

  it("is a warning where a deny rule relies on it to leave a call alone, and not where it denies the more", () => {
    const when = 'payload.u.startsWith("https://api.github.com")';
    expect(lintCondition(`!${when}`, "deny")).toEqual([expect.stringContaining("warning 6:8: rule r (deny) takes")]);
    expect(lintCondition(`!has(payload.u) || !${when}`, "needs_review")).toHaveLength(1);
    expect(lintCondition(when, "deny")).toEqual([]);
    expect(lintCondition(`!${when}`, "allow")).toEqual([]);
  });

  it("knows what constants stand for", () => {
    const text =
      "constants: {api: 'https://api.github.com'}\nrules:\n  - {id: r, tools: [t], effect: allow, when: payload.u.startsWith(constants.api)}";
    expect(lint(text)).toEqual([expect.stringContaining('takes "https://api.github.com.evil.test/"')]);
  });

  it.each([
    ['payload.u.startsWith("https://api.github.com/")'],
    ['payload.u.startsWith("https://")'],
    [String.raw`payload.u.matches(r"^https://api\.github\.com/")`],
    [String.raw`payload.u.matches(r"^https?://api\.github\.com(/|$)")`],
    [String.raw`payload.u.matches(r"^https://[a-z.]+\.example\.com/")`],
    [String.raw`payload.h.matches(r"^(api|www)\.github\.com$")`],
    [String.raw`payload.h.matches(r"(^|\.)example\.com$")`],
    ['payload.h.endsWith(".example.com")'],
    [String.raw`payload.to.matches(r"(?i)^[a-z0-9._+-]+@a\.com$")`],
    [String.raw`payload.to.matches(r"^[^@\s]+@a\.com$")`],
    ['payload.u.startsWith("https://api.github.com") && url(payload.u).getHostname() == "api.github.com"'],
    [String.raw`payload.u.startsWith("https://api.github.com") && payload.u.matches(r"^https://api\.github\.com/")`],
    ['payload.to.endsWith("@a.com") && !payload.to.contains(",")'],
    ['payload.cmd.startsWith("git ")'],
    [String.raw`payload.f.matches(r"report\.pdf$")`],
    ['payload.name.contains("amount")'],
    ['path(payload.p).isWithin("/srv/data")'],
  ])("is none: %s", (when) => {
    expect(lintCondition(when, "allow")).toEqual([]);
  });
});

describe("all() over a list that may be empty", () => {
  it.each([
    ['payload.to.all(a, a == "x")', "allow", "size(payload.to) > 0 && payload.to.all(…)"],
    ['!payload.to.all(a, a == "x")', "deny", "size(payload.to) == 0 || !payload.to.all(…)"],
    ['has(payload.n) && (payload.n == 1 || payload.to.all(a, a == "x"))', "allow", "size(payload.to) > 0"],
  ])("is a warning: %s (%s)", (when, effect, instead) => {
    expect(lintCondition(when, effect)).toEqual([
      expect.stringMatching(/^warning .* holds for an empty list: payload\.to\.all\(…\) checks nothing/),
    ]);
    expect(lintCondition(when, effect)[0]).toContain(`write ${instead}`);
  });

  it.each([
    ['size(payload.to) > 0 && payload.to.all(a, a == "x")', "allow"],
    ['payload.to.size() >= 1 && payload.to.all(a, a == "x")', "allow"],
    ['payload.to[0] != "" && payload.to.all(a, a == "x")', "allow"],
    ['payload.to.exists(a, a != "") && payload.to.all(a, a == "x")', "allow"],
    ['payload.to != [] && payload.to.all(a, a == "x")', "allow"],
    ['!has(payload.cc) || payload.cc.all(a, a == "x")', "allow"],
    ['has(payload.cc) && !payload.cc.all(a, a == "x")', "deny"],
    ['payload.to.all(a, a == "x")', "deny"],
    ['["x"].all(a, a == payload.to)', "allow"],
    ['payload.to.exists(a, a != "x")', "deny"],
  ])("is none: %s (%s)", (when, effect) => {
    expect(lintCondition(when, effect)).toEqual([]);
  });
});

describe("a constant that no rule uses", () => {
  it("is a warning at its place", () => {
    const text =
      "constants:\n  used: 1\n  spare: 2\nrules: [{id: r, tools: [t], effect: allow, when: payload.a == constants.used}]";
    expect(lint(text)).toEqual([
      "warning 3:3: constant spare is used by no rule; write constants.spare in a condition, or remove it",
    ]);
  });
});
