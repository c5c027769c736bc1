import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/core/fault.ts";
import { inspectFiles, inspectPolicies, loadBundle, readStoredBundle } from "../../src/policy/bundle.ts";
import { readPolicyDirectory } from "../../src/policy/directory.ts";
import { readRuleTests, runRuleTest } from "../../src/policy/rule-test.ts";
import { policyDir } from "./support.ts";

const ALLOW = "rules:\n  - {id: ok, tools: [t], effect: allow}\n";

async function problemsOf(dir: string): Promise<readonly string[]> {
  const error = await loadBundle(dir).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UsageError);
  return error instanceof UsageError ? error.problems.map((problem) => problem.replaceAll(`${dir}/`, "")) : [];
}

async function versionOf(text: string): Promise<string> {
  return (await loadBundle(await policyDir({ "r.yaml": text }))).version;
}

describe("a bundle", () => {
  it("has the rules of every *.yaml in the order of the files' names, and of no test or hidden file", async () => {
    const dir = await policyDir({
      "b.yaml": "rules: [{id: second, tools: [t], effect: deny}]",
      "a.yaml": "rules: [{id: first, tools: [t], effect: deny}]",
      "a_test.yaml": "tests: [{name: n, tool: t, expect: deny}]",
      ".hidden.yaml": "not: {rules",
      "README.md": "words",
    });
    const bundle = await loadBundle(dir);
    expect(bundle.rules.map(({ id }) => id)).toEqual(["first", "second"]);
    expect(bundle.evaluate({ agentId: "a", tool: "t", payload: {} }).ruleId).toBe("first");
  });

  it("is versioned by what its rules say", async () => {
    const plain = await versionOf(ALLOW);
    expect(plain).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(
      await versionOf(`# words\n${ALLOW.replace("effect: allow", "agents: ['*'], effect: allow, when: 'true'")}`),
    ).toBe(plain);
    const others = [
      "effect: deny",
      "effect: allow, when: 'false'",
      "effect: allow, agents: [a]",
      "effect: allow, description: d",
      "effect: allow, description: d, hide_description: true",
      "effect: allow, execution_timeout: 1h",
      "effect: allow, execution_timeout: 2h",
    ];
    const versions = await Promise.all(others.map((other) => versionOf(ALLOW.replace("effect: allow", other))));
    versions.push(await versionOf(ALLOW.replace("[t]", "[u]")), await versionOf(ALLOW.replace("ok", "okay")));
    expect(new Set([plain, ...versions]).size).toBe(versions.length + 1);
  });

  it("says how long what a rule of its own lets run may take", async () => {
    const rules =
      "rules: [{id: a, tools: [t], effect: allow, execution_timeout: 4h}, {id: b, tools: [t], effect: allow}]";
    const bundle = await loadBundle(await policyDir({ "a.yaml": rules }));
    expect(["a", "b", "of an earlier bundle"].map((id) => bundle.executionMicrosOf(id))).toEqual([
      14_400e6,
      null,
      null,
    ]);
  });

  it("redacts what any of its files says, and is versioned by that too", async () => {
    const redact = (tools: string, paths: string): string => `redact: [{tools: [${tools}], paths: [${paths}]}]\n`;
    const dir = await policyDir({
      "a.yaml": ALLOW,
      "b.yaml": redact("t", "payload.a"),
      "c.yaml": redact("'*'", "payload.b"),
    });
    const { redaction, rules } = await loadBundle(dir);
    expect(rules).toHaveLength(1);
    expect(redaction.pathsOf("t")).toEqual(["payload.a", "payload.b"]);
    expect(redaction.pathsOf("u")).toEqual(["payload.b"]);

    const texts = [redact("t", "payload.a"), redact("u", "payload.a"), redact("t", "payload.b"), ""];
    expect(new Set(await Promise.all(texts.map((text) => versionOf(ALLOW + text)))).size).toBe(texts.length);
  });

  it("is refused with redactions alone, which decide nothing", async () => {
    const dir = await policyDir({ "a.yaml": "redact: [{tools: [t], paths: [payload.a]}]" });
    expect((await problemsOf(dir)).join()).toContain("there are no rules here");
  });

  it("is refused with every problem of every file", async () => {
    const dir = await policyDir({
      "a.yaml": "rules: [{id: x, tools: [t], effect: allow, when: paylod.x}]",
      "b.yaml": "rules: [{id: y, tools: [t], effect: permit}]",
      "c.yaml": ALLOW,
      "d.yaml": ALLOW,
      "e.yml": ALLOW,
      "f.yaml": "",
    });
    await writeFile(join(dir, "g.yaml"), Buffer.from([0x72, 0xff, 0xfe]));
    expect(await problemsOf(dir)).toEqual([
      expect.stringMatching(
        /^e\.yml:1:1: the name "e\.yml" does not end in "\.yaml", so it would not be read; rename it/,
      ),
      expect.stringMatching(/^g\.yaml:1:1: the file is not readable as UTF-8/),
      expect.stringMatching(/^a\.yaml:1:50: unknown variable paylod/),
      expect.stringMatching(/^b\.yaml:1:37: unknown effect "permit"/),
      expect.stringMatching(/^f\.yaml:1:1: a policy file is empty/),
      'd.yaml:2:1: rule id "ok" is already used at c.yaml:2; write another',
    ]);
  });

  it("is refused with a deny that can never match, but not with one that is switched off, nor with an allow", async () => {
    const rule = (effect: string, when: string) => `rules: [{id: x, tools: [t], effect: ${effect}, when: '${when}'}]`;
    const inspect = (text: string) => inspectFiles([{ name: "a.yaml", text }]);
    const dead = "has(payload.a) && payload.a > 5 && payload.a < 3";
    for (const effect of ["deny", "needs_review"]) {
      const { bundle, problems } = inspect(rule(effect, dead));
      expect(bundle).toBe(null);
      expect(problems).toEqual([expect.objectContaining({ message: expect.stringContaining("can never match") })]);
    }
    for (const text of [rule("deny", "false"), rule("allow", dead)]) {
      const { bundle, problems, warnings } = inspect(text);
      expect([bundle?.rules.length, problems]).toEqual([1, []]);
      expect(warnings).toEqual([
        expect.objectContaining({ certain: true, message: expect.stringContaining("can never match") }),
      ]);
    }
  });

  it("that came into force in earlier times is read as it was", () => {
    const text = "rules: [{id: x, tools: [t], effect: deny, when: payload.a > 5 && payload.a < 3}]";
    expect(readStoredBundle([{ name: "a.yaml", text }])?.rules).toHaveLength(1);
  });

  it("is refused where there are no rules, or no directory", async () => {
    expect(await problemsOf(await policyDir({}))).toEqual([expect.stringContaining("there are no rules here")]);
    expect(await problemsOf("/nonexistent")).toEqual([expect.stringMatching(/^\/nonexistent:1:1: .*not readable/)]);
  });

  it("comes with a warning about directories that it does not read", async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    await mkdir(join(dir, "more"));
    const { bundle, warnings } = await inspectPolicies(dir);
    expect(bundle?.rules).toHaveLength(1);
    expect(warnings).toMatchObject([
      { file: join(dir, "more"), message: "directories below the policies are not read" },
    ]);
  });

  it("explains each rule about the tool once, in the order of judgement", async () => {
    const dir = await policyDir({
      "a.yaml": `rules:
  - {id: allow, tools: ["*", t.x, "t.*"], effect: allow}
  - {id: others, tools: [t.x], agents: [b], effect: deny}
  - {id: elsewhere, tools: [u], effect: deny}
  - {id: error, tools: ["t.*"], effect: needs_review, when: has(payload.a) && payload.a}
  - {id: lapsed, tools: [t.x], effect: deny, when: "false"}
`,
    });
    const bundle = await loadBundle(dir);
    const input = { agentId: "a", tool: "t.x", payload: { a: "secret" } };
    const { judgement, version, findings } = bundle.explain(input);
    expect(judgement).toEqual(bundle.evaluate(input));
    expect(version).toBe(bundle.version);
    expect(findings.map(({ rule, outcome }) => [rule.id, outcome])).toEqual([
      ["others", "skipped"],
      ["lapsed", false],
      ["error", { message: "payload.a is a string, not true or false", offset: expect.any(Number) }],
      ["allow", true],
    ]);
  });
});

describe("the tests of rules", () => {
  it("pass, or say what came instead", async () => {
    const dir = await policyDir({
      "a.yaml": "rules: [{id: small, tools: [t], agents: [x], effect: allow, when: payload.n <= 1}]",
      "a_test.yaml": `tests:
  - {name: passes, agent: x, tool: t, payload: {n: 1}, expect: allow, rule: small, reason: RULE_ALLOWED}
  - {name: fails, tool: t, payload: {n: 1}, expect: allow, rule: small, reason: RULE_ALLOWED}
  - {name: by default, tool: t, expect: deny}
`,
    });
    const bundle = await loadBundle(dir);
    const { tests, problems } = readRuleTests(readPolicyDirectory(dir));
    expect(problems).toEqual([]);
    expect(tests.map((test) => runRuleTest(bundle, test).failures)).toEqual([
      [],
      [
        "expected allow, got deny",
        "expected rule small, got no rule",
        "expected reason RULE_ALLOWED, got NO_MATCHING_RULE",
      ],
      [],
    ]);
  });

  it("keep a payload as JSON would", async () => {
    const text = `tests:
  - name: n
    tool: t
    expect: deny
    payload: {a: 1, b: 1.5, c: [x, null, true], d: {"__proto__": {e: 1}}, "1": two}
`;
    const { tests, problems } = readRuleTests(readPolicyDirectory(await policyDir({ "a_test.yaml": text })));
    expect(problems).toEqual([]);
    expect(JSON.stringify(tests[0]?.payload)).toBe(
      '{"1":"two","a":1,"b":1.5,"c":["x",null,true],"d":{"__proto__":{"e":1}}}',
    );
  });

  it.each([
    ["{}", "1:1: the file has no tests"],
    ["tests: [{tool: t, expect: deny}]", "1:9: name is missing"],
    ["tests: [{name: n, tool: t}]", "1:9: expect is missing; write expect: with allow, deny, needs_review"],
    ["tests: [{name: n, tool: t, expect: no}]", 'unknown expect "no"'],
    ["tests: [{name: n, tool: t, expect: deny, reason: NO}]", 'unknown reason "NO"; write RULE_ALLOWED'],
    ["tests: [{name: n, tool: t, expect: deny, payload: [1]}]", "payload is a list; write a mapping"],
    ["tests: [{name: n, tool: t, expect: deny, payload: {1: x}}]", "the key 1 is not a text"],
    ["tests: [{name: n, tool: t, expect: deny, payload: {a: .inf}}]", ".inf is not JSON"],
    ["tests: [{name: n, tool: t, expect: deny, payload: {a: 9007199254740993}}]", "so no request has it; write a text"],
    ["tests: [{name: n, tool: t, expect: deny, payload: {a: &x 1, b: *x}}]", "the alias *x is not JSON"],
    ["tests: [{name: n, tool: t, expect: deny, paylod: {}}]", 'unknown key "paylod"'],
  ])("are refused: %s", async (text, problem) => {
    const { problems } = readRuleTests(readPolicyDirectory(await policyDir({ "a_test.yaml": text })));
    expect(problems.map(({ line, column, message }) => `${line}:${column}: ${message}`).join("\n")).toContain(problem);
  });
});

describe("the sample policies", () => {
  it("pass their tests, which every rule decides one of, and give no warning", async () => {
    const { bundle, problems, warnings } = await inspectPolicies("policies");
    const { tests, problems: testProblems } = readRuleTests(readPolicyDirectory("policies"));
    expect([...problems, ...warnings, ...testProblems]).toEqual([]);
    if (bundle === null) throw new Error("no bundle");
    const results = tests.map((test) => runRuleTest(bundle, test));
    expect(results.filter(({ failures }) => failures.length > 0)).toEqual([]);
    const deciding = new Set(results.map(({ judgement }) => judgement.ruleId));
    expect(bundle.rules.map(({ id }) => id).filter((id) => !deciding.has(id))).toEqual([]);
  });

  it.each([
    ["gmail.send_email", { to: ["ann@example.com"], subject: "Hi", body: "Hello" }, "allow"],
    ["gmail.send_email", { to: ["bob@customer.test"], subject: "Hi", body: "Hello" }, "needs_review"],
    ["stripe.refund", { amount: 50, currency: "EUR" }, "allow"],
    ["stripe.refund", { amount: 500, currency: "EUR" }, "needs_review"],
    ["stripe.refund", { amount: 50_000, currency: "EUR" }, "deny"],
    ["crm.create_contact", { name: "Bob", email: "bob@customer.test" }, "allow"],
    ["shell.exec", { command: "rm -rf /" }, "deny"],
    ["calendar.list_events", {}, "allow"],
    ["unknown.tool", {}, "deny"],
  ])("answer the agent demo about %s %j with %s", async (tool, payload, decision) => {
    const bundle = await loadBundle("policies");
    expect(bundle.evaluate({ agentId: "demo", tool, payload }).decision).toBe(decision);
  });
});
