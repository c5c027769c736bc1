// @module-tag full
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { waitUntil } from "../support/net.ts";
import { ask, demoKey, discard, runCli, type ServiceProcess, startService, tempDir } from "../support/service.ts";

const RULES = `rules:
  # Small ones only.
  - id: small
    tools: [stripe.refund]
    effect: allow
    when: payload.amount <= 100 && payload["a b"] != "x"
  - id: never
    tools: ["shell.*"]
    effect: deny
`;

describe("an operator who asks about policies", () => {
  let service: ServiceProcess;
  let dir: string;
  let allowed: string;
  let first: string;

  beforeAll(async () => {
    dir = tempDir();
    writeFileSync(join(dir, "rules.yaml"), RULES);
    service = await startService({ DATACRAWL_POLICY_DIR: dir });
    const request = { tool: "stripe.refund", payload: { amount: 50, "a b": "\u001b[2J" }, idempotencyKey: "one" };
    allowed = String((await ask(service.connectUrl, demoKey(service.dataDir), request)).body["decisionId"]);
  });
  afterAll(() => discard(service));

  const cli = (...args: string[]) => runCli(args, { DATACRAWL_DATA_DIR: service.dataDir });
  const json = (...args: string[]): Record<string, unknown> =>
    JSON.parse(cli(...args, "--json").stdout) as Record<string, unknown>;

  test("sees those in force, rule by rule, as they were written", () => {
    const active = json("policy", "active");
    first = String(active["version"]);
    expect(active).toMatchObject({
      active: true,
      problem: "",
      files: [{ name: "rules.yaml", text: RULES }],
      rules: [
        { ruleId: "small", effect: "allow", file: "rules.yaml", line: 3, tools: ["stripe.refund"] },
        { ruleId: "never", source: '  - id: never\n    tools: ["shell.*"]\n    effect: deny' },
      ],
    });
    expect(json("policy", "versions")).toMatchObject([{ version: first, active: true }]);
  });

  test("sees why a decision came out so: the rule, and the values that its condition saw", () => {
    const { stdout, status } = cli("decision", "show", allowed);
    expect(status).toBe(0);
    expect(stdout).toContain("payload.amount = 50\n");
    expect(stdout).toContain('payload["a b"] = "\\u001b[2J"\n');
    expect(stdout).not.toContain("\u001b");
    expect(json("decision", "show", allowed)["explanation"]).toMatchObject({
      rule: { ruleId: "small", file: "rules.yaml", line: 3 },
      findings: [{ outcome: "matched", values: { "payload.amount": "50" } }],
      unavailable: "",
    });
  });

  test("tries a request without a decision, against those in force, others, and broken ones", () => {
    const before = (json("decision", "list", "--all") as unknown as unknown[]).length;
    const tries = (amount: number, ...more: string[]) =>
      cli(
        "policy",
        "test-request",
        "--tool",
        "stripe.refund",
        "--payload",
        JSON.stringify({ amount, "a b": "" }),
        ...more,
      );
    expect([tries(50).status, tries(101).status]).toEqual([0, 2]);
    const others = join(tempDir(), "others");
    mkdirSync(others);
    writeFileSync(join(others, "a.yaml"), "rules:\n  - id: r\n    tools: ['*']\n    effect: needs_review\n");
    expect(tries(50, "--dir", others).status).toBe(3);
    writeFileSync(join(others, "a.yaml"), "rules:\n  - id: r\n    tools: ['*']\n    effect: perhaps\n");
    const broken = tries(50, "--dir", others);
    expect([broken.status, broken.stderr]).toEqual([1, expect.stringContaining("a.yaml:4:")]);
    writeFileSync(join(others, "a.yaml"), `rules: ${"[".repeat(65_000)}`);
    expect(tries(50, "--dir", others).status).toBe(1);
    writeFileSync(join(others, "a.yaml"), `# ${"x".repeat(66_000)}\n`);
    expect(tries(50, "--dir", others).stderr).toContain("files must be at most 65536 bytes");
    expect(tries(50, "--policy-version", "sha256:none").stderr).toContain(
      "No service has used policies of that version",
    );
    expect((json("decision", "list", "--all") as unknown as unknown[]).length).toBe(before);
  });

  test("still sees old rules when they have been replaced", async () => {
    writeFileSync(join(dir, "rules.yaml"), RULES.replace("<= 100", "<= 10"));
    await waitUntil(
      () => json("policy", "active")["version"] !== first,
      20_000,
      "the new policies did not come into force",
    );
    await waitUntil(() => (json("policy", "versions") as unknown as unknown[]).length === 2, 20_000, "not kept");
    const { explanation } = json("decision", "show", allowed);
    expect(explanation).toMatchObject({ rule: { when: expect.stringContaining("<= 100") }, unavailable: "" });
    expect(json("policy", "active", "--policy-version", first)).toMatchObject({ active: false, version: first });
  });
});
