import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import type { ExitCode, Io } from "../../../src/cli/io.ts";
import { COMMAND_GROUPS } from "../../../src/cli/commands.ts";
import { run } from "../../../src/cli/program.ts";
import { policyDir } from "../../policy/support.ts";
import { NO_TERMINAL } from "../../support/io.ts";

interface Result {
  readonly out: string;
  readonly err: string;
  readonly status: ExitCode | undefined;
}

async function datacrawl(args: readonly string[], env: Io["env"] = {}, cwd = process.cwd()): Promise<Result> {
  let [out, err] = ["", ""];
  let status: ExitCode | undefined;
  await run(
    args,
    {
      env,
      cwd,
      ...NO_TERMINAL,
      out: (text) => {
        out += text;
      },
      err: (text) => {
        err += text;
      },
      exit: (code) => {
        status = code;
      },
    },
    COMMAND_GROUPS,
  );
  return { out, err, status };
}

const GOOD = "rules: [{id: small, tools: [t], effect: allow, when: payload.n <= 1}]";
const PASSING = "tests: [{name: one, tool: t, payload: {n: 1}, expect: allow}]";

describe("datacrawl policy check", () => {
  it("passes the samples by default, from the environment, and by argument", async () => {
    const expected = {
      status: 0,
      err: "",
      out: expect.stringMatching(/^ok: \d+ rules, \d+ tests, version sha256:[0-9a-f]{64}\n$/),
    };
    expect(await datacrawl(["policy", "check"])).toEqual(expected);
    expect(await datacrawl(["policy", "check"], {}, resolve("policies"))).toMatchObject({ status: 1 });
    const dir = await policyDir({ "a.yaml": GOOD });
    expect(await datacrawl(["policy", "check"], { DATACRAWL_POLICY_DIR: dir })).toMatchObject({
      status: 0,
      out: expect.stringContaining("ok: 1 rules, 0 tests"),
    });
    expect(await datacrawl(["policy", "check", "policies"], { DATACRAWL_POLICY_DIR: dir })).toEqual(expected);
  });

  it("names the problems of rule and test files, with a warning beside them, and exits 1", async () => {
    const dir = await policyDir({
      "a.yaml": "rules: [{id: a, tools: [t], effect: deny, when: payload.n * 2 > 1}]",
      "b.yaml": "rules: [{id: b, tools: [t], effect: deny, when: payload.n > 1}]",
      "c_test.yaml": "tests: [{name: n, tool: t, expect: nope}]",
    });
    const { out, err, status } = await datacrawl(["policy", "check", dir]);
    expect([out, status]).toEqual(["", 1]);
    expect(err.split("\n")).toEqual([
      expect.stringMatching(/^warning: .*b\.yaml:1:56: rule b \(deny\) reads payload\.n without has\(\)/),
      expect.stringMatching(/a\.yaml:1:59: \* does not mix ints and doubles, .* write 2\.0$/),
      expect.stringMatching(/c_test\.yaml:1:36: unknown expect "nope"; write allow, deny, needs_review$/),
      "2 problems",
      "",
    ]);
  });

  it("fails on a rule that can never match, whatever its effect, and on warnings with --strict", async () => {
    const dead = (effect: string) =>
      `rules: [{id: a, tools: [t], effect: ${effect}, when: "payload.n > 5 && payload.n < 3"}]`;
    for (const effect of ["deny", "allow"]) {
      const { err, status } = await datacrawl(["policy", "check", await policyDir({ "a.yaml": dead(effect) })]);
      expect(status).toBe(1);
      expect(err).toMatch(
        /a\.yaml:1:\d+: rule a \(\w+\) can never match: payload\.n < 3 contradicts payload\.n > 5; write .*\n1 problem\n$/,
      );
    }
    const dir = await policyDir({
      "a.yaml": "rules: [{id: a, tools: [t], effect: allow, when: payload.amuont <= 1}]",
      "a_test.yaml": "tests: [{name: n, tool: t, payload: {amount: 1}, expect: deny}]",
    });
    expect(await datacrawl(["policy", "check", dir])).toMatchObject({
      status: 0,
      err: expect.stringMatching(
        /^warning: .*a\.yaml:1:50: rule a \(allow\) reads payload\.amuont, .* tests say payload\.amount/,
      ),
    });
    expect(await datacrawl(["policy", "check", "--strict", dir])).toMatchObject({
      status: 1,
      out: "",
      err: expect.stringMatching(/\n1 warning, which --strict refuses\n$/),
    });
    const { out, status } = await datacrawl(["policy", "check", "--strict", "--json", dir]);
    expect(status).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      ok: false,
      problems: [],
      warnings: [{ file: `${dir}/a.yaml`, line: 1, column: 50, message: expect.stringContaining("payload.amount") }],
    });
  });

  it("prints one JSON value", async () => {
    const dir = await policyDir({ "a.yaml": "rules: [{id: a, tools: [t], effect: permit}]" });
    const { out, err, status } = await datacrawl(["policy", "check", dir, "--json"]);
    expect([err, status]).toEqual(["", 1]);
    expect(JSON.parse(out)).toEqual({
      ok: false,
      version: null,
      rules: 0,
      tests: 0,
      problems: [
        { file: `${dir}/a.yaml`, line: 1, column: 37, message: expect.stringContaining('unknown effect "permit"') },
      ],
      warnings: [],
    });
  });
});

describe("datacrawl policy test", () => {
  it("passes the samples", async () => {
    const { out, err, status } = await datacrawl(["policy", "test"]);
    expect([err, status]).toEqual(["", 0]);
    expect(out).toMatch(/^ok {4}\S/);
    expect(out).toMatch(/\n\d+ passed, 0 failed; 0 of \d+ rules decide no test\n$/);
  });

  it("says what failed and which rules decide no test, and exits 1", async () => {
    const dir = await policyDir({
      "a.yaml": GOOD,
      "a_test.yaml": "tests: [{name: two, tool: t, payload: {n: 2}, expect: allow}]",
    });
    const { out, status } = await datacrawl(["policy", "test", dir]);
    expect(status).toBe(1);
    expect(out).toBe(
      `FAIL  two (${dir}/a_test.yaml:1): expected allow, got deny\n      NO_MATCHING_RULE: No rule allows this call.\n0 passed, 1 failed; 1 of 1 rules decide no test\nrules that decide no test: small\n`,
    );
  });

  it("exits 1 on a broken rule or test file, though every test that can be read passes", async () => {
    const broken = await policyDir({ "a.yaml": GOOD, "a_test.yaml": PASSING, "b_test.yaml": "tests: [{}]" });
    expect(await datacrawl(["policy", "test", broken])).toMatchObject({
      status: 1,
      err: expect.stringContaining("b_test.yaml:1:9"),
    });
    const rules = await policyDir({ "a.yaml": "rules: [{}]", "a_test.yaml": PASSING });
    const { out, status } = await datacrawl(["policy", "test", rules, "--json"]);
    expect(status).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ ok: false, passed: 0, failed: 0, tests: [] });
  });

  it("prints one JSON value", async () => {
    const dir = await policyDir({ "a.yaml": GOOD, "a_test.yaml": PASSING });
    const { out, status } = await datacrawl(["policy", "test", "--json", dir]);
    expect(status).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      ok: true,
      passed: 1,
      failed: 0,
      rules: 1,
      problems: [],
      untested: [],
      tests: [{ name: "one", passed: true, decision: "allow", reason: "RULE_ALLOWED", ruleId: "small" }],
    });
  });
});

describe("datacrawl policy test without tests", () => {
  it("exits 1, says what to write, and counts the rules that nothing tests", async () => {
    const dir = await policyDir({ "a.yaml": GOOD, "b.yaml": GOOD.replace("small", "other") });
    expect(await datacrawl(["policy", "test", dir])).toEqual({
      status: 1,
      err: `${dir}:1:1: there are no tests here; write them into a file such as rules_test.yaml\n`,
      out: "0 passed, 0 failed; 2 of 2 rules decide no test\nrules that decide no test: small, other\n",
    });
    const { out, status } = await datacrawl(["policy", "test", dir, "--json"]);
    expect([status, JSON.parse(out)]).toEqual([
      1,
      {
        ok: false,
        passed: 0,
        failed: 0,
        rules: 2,
        problems: [expect.objectContaining({ file: dir, message: expect.stringContaining("there are no tests here") })],
        untested: ["small", "other"],
        tests: [],
      },
    ]);
  });
});

function explain(payload: string, ...more: string[]): Promise<Result> {
  return datacrawl(["policy", "explain", "--tool", "stripe.refund", "--payload", payload, ...more]);
}

describe("datacrawl policy explain", () => {
  it.each([
    ['{"amount": 50, "currency": "EUR"}', 0, "ALLOW  RULE_ALLOWED: "],
    ['{"amount": 5001, "currency": "EUR"}', 2, "DENY  RULE_DENIED: "],
    ['{"amount": 500, "currency": "EUR"}', 3, "NEEDS_REVIEW  REVIEW_PENDING: "],
    ['{"amount": "50", "currency": "EUR"}', 2, "DENY  RULE_ERROR: "],
  ])("answers %s with status %i", async (payload, status, verdict) => {
    const result = await explain(payload);
    expect(result).toMatchObject({ status, err: "", out: expect.stringContaining(`\n${verdict}`) });
  });

  it("names the tools of rules that a tool may be a misspelling for, beside the verdict", async () => {
    const dir = await policyDir({
      "a.yaml": "rules: [{id: x, tools: [git.push, 'git.*'], effect: deny}, {id: y, tools: ['*'], effect: allow}]",
    });
    const asked = (tool: string, ...more: string[]): Promise<Result> =>
      datacrawl(["policy", "explain", "--tool", tool, "--payload", "{}", "--policy-dir", dir, ...more]);
    expect(await asked("Git.push")).toMatchObject({
      status: 0,
      err: "No rule names Git.push, and case counts. Near it: git.push, git.*\n",
    });
    expect(JSON.parse((await asked("Git.push", "--json")).out)).toMatchObject({ near: ["git.push", "git.*"] });
    expect(await asked("git.push")).toMatchObject({ status: 2, err: "" });
  });

  it("shows each rule about the tool with what its condition came to", async () => {
    const { out } = await explain('{"amount": "50", "currency": "EUR"}');
    expect(out).toMatch(
      /^deny {10}refund-large {2}\(policies\/payments\.yaml:\d+\)\n {2}when has\(payload\.amount\) && .*\n {2}error: payload\.amount: a string has no order with a double\n/,
    );
    expect(out).toMatch(/\n\d+ of \d+ rules are for other tools\n/);
    expect(out).toMatch(/\npolicy sha256:[0-9a-f]{64}\n$/);
  });

  it("prints one JSON value", async () => {
    const dir = await policyDir({
      "a.yaml":
        "rules: [{id: x, tools: [stripe.refund], agents: [b], effect: deny}, {id: y, tools: ['*'], effect: allow, when: payload.a}]",
    });
    const { out, status } = await explain('{"a": "secret"}', "--policy-dir", dir, "--agent", "c", "--json");
    expect(status).toBe(2);
    expect(out).not.toContain("secret");
    expect(JSON.parse(out)).toEqual({
      decision: "deny",
      reason: "NO_MATCHING_RULE",
      message: expect.stringContaining('Rule "y" could not be decided: payload.a is a string, not true or false.'),
      ruleId: null,
      policyVersion: expect.stringMatching(/^sha256:/),
      rules: [
        expect.objectContaining({ id: "x", effect: "deny", agentMatches: false, outcome: null, error: null }),
        expect.objectContaining({
          id: "y",
          when: "payload.a",
          agentMatches: true,
          outcome: "error",
          error: { message: "payload.a is a string, not true or false", offset: 7 },
        }),
      ],
      redacted: [],
      near: [],
    });
  });

  it("says what would be stored as a digest", async () => {
    const dir = await policyDir({
      "a.yaml":
        "rules: [{id: x, tools: ['*'], effect: allow}]\nredact: [{tools: ['*'], paths: [payload.a, payload.b]}]",
    });
    const text = await explain('{"a": "secret"}', "--policy-dir", dir);
    expect(text.out).toContain("\nstored as digests: payload.a, payload.b\n");
    expect(text.out).not.toContain("secret");
    const json = await explain('{"a": "secret"}', "--policy-dir", dir, "--json");
    expect(JSON.parse(json.out)).toMatchObject({ redacted: ["payload.a", "payload.b"] });
  });

  it.each(["", "50", "[]", "null", "{", '"x"'])("refuses the payload %j as a mistake in its use", async (payload) => {
    expect(await explain(payload)).toMatchObject({
      status: 64,
      out: "",
      err: expect.stringMatching(/--payload.*is invalid\. .*JSON/s),
    });
  });

  it.each([
    ['{"account": 9007199254740993}', "payload.account is the number 9007199254740993"],
    ['{"account": 1, "account": 2}', "payload.account occurs twice"],
  ])("refuses the payload %s, of which JSON.parse would make another one", async (payload, problem) => {
    expect(await explain(payload)).toMatchObject({ status: 64, out: "", err: expect.stringContaining(problem) });
  });

  it("refuses a call without tool or payload, and fails on a broken bundle", async () => {
    expect(await datacrawl(["policy", "explain", "--tool", "t"])).toMatchObject({ status: 64, out: "" });
    const dir = await policyDir({ "a.yaml": "rules: [{}]" });
    expect(await explain("{}", "--policy-dir", dir)).toMatchObject({
      status: 1,
      out: "",
      err: expect.stringContaining("id is missing"),
    });
  });
});
