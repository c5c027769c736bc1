// @module-tag full
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cli } from "../support/cli.ts";
import { addReviewer, REVIEWER_PASSWORD, writeReviewPolicies } from "../support/reviewers.ts";
import { ask, demoKey, discard, type ServiceProcess, startService, tempDir } from "../support/service.ts";

/** Colours, a title, C1 controls, marks that turn the direction of text, invisible ones, and tags beyond the first plane. */
const EVIL = "t\u001b[31mred\u001b]0;x\u0007\u009b31m\u202egnp\u200b\u2066\u2028\u00ad\u{e0041}.exe";
const RAW = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u;

describe("what a terminal is shown of hostile text", () => {
  let service: ServiceProcess;
  let env: Record<string, string>;
  let ids: { allowed: string; pending: string; review: string };
  const policies = writeReviewPolicies(tempDir());
  beforeAll(async () => {
    writeFileSync(join(policies, "all.yaml"), 'rules:\n  - { id: all, tools: ["*"], effect: allow }\n');
    service = await startService({ DATACRAWL_POLICY_DIR: policies });
    env = { DATACRAWL_DATA_DIR: service.dataDir };
    const decide = async (tool: string, idempotencyKey: string): Promise<string> => {
      const request = { tool, idempotencyKey, payload: { [EVIL]: EVIL } };
      const { body } = await ask(service.connectUrl, demoKey(service.dataDir), request);
      return body["decisionId"] as string;
    };
    const allowed = await decide(EVIL, EVIL);
    const pending = await decide("refund", `${EVIL}2`);
    const { stdout } = await cli(["review", "list", "--json"], env);
    ids = { allowed, pending, review: (JSON.parse(stdout) as { reviewId: string }[])[0]?.reviewId as string };
    await addReviewer("alice", env, "operator");
    const bypass = ["bypass", "set", "demo", "--as", "alice", "--password-stdin", "--all-tools", "--reason", EVIL];
    const done = [
      await cli(bypass, env, REVIEWER_PASSWORD),
      await cli(["circuit", "force-open", "demo", "--reason", EVIL], env),
      await cli(["agent", "freeze", "demo", "--reason", EVIL], env),
    ];
    for (const { status, stderr } of done) if (status !== 0) throw new Error(stderr);
  });
  afterAll(() => discard(service));

  test.each<[string, () => string[], number]>([
    ["decision list", () => [], 0],
    ["decision list --json", () => [], 0],
    ["decision show", () => [ids.allowed], 0],
    ["decision show --json", () => [ids.allowed], 0],
    ["audit show", () => [ids.pending], 0],
    ["review list", () => [], 0],
    ["review show", () => [ids.review], 0],
    ["review show --json", () => [ids.review], 0],
    ["bypass list --past", () => [], 0],
    ["bypass list --past --json", () => [], 0],
    ["circuit show demo", () => [], 0],
    ["overview", () => [], 0],
    ["overview --json", () => [], 0],
    ["policy test-request --agent demo --payload {} --tool", () => [EVIL], 0],
    ["policy explain --payload {} --tool", () => [EVIL, "--policy-dir", policies], 0],
    ["policy check", () => [`/nowhere${EVIL}`], 1],
    ["policy check --json", () => [`/nowhere${EVIL}`], 1],
    ["decision show", () => [EVIL], 1],
    ["agent freeze --reason x", () => [EVIL], 1],
    ["agent create", () => [EVIL], 1],
    ["circuit show", () => [EVIL], 1],
    ["decision list --since", () => [EVIL], 64],
    ["review list --state", () => [EVIL], 64],
    ["decision list", () => [`--${EVIL}`], 64],
    ["authorize --tool x --payload", () => [EVIL], 64],
  ])("nothing that it obeys: %s", async (command, more, expected) => {
    const { status, stdout, stderr } = await cli([...command.split(" "), ...more()], env);
    expect(status).toBe(expected);
    expect(stdout + stderr).not.toBe("");
    expect(RAW.exec(stdout + stderr)).toBeNull();
    if (command.endsWith("--json")) JSON.parse(stdout);
  });

  test("what JSON says is still what was sent", async () => {
    const { stdout } = await cli(["decision", "list", "--json"], env);
    expect((JSON.parse(stdout) as { tool: string }[]).map(({ tool }) => tool)).toContain(EVIL);
  });
});
