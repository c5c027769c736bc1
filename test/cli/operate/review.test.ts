import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cli, type CliResult } from "../../support/cli.ts";
import { addReviewer, signInAs, writeReviewPolicies } from "../../support/reviewers.ts";
import { ask, demoKey, discard, type ServiceProcess, startService, tempDir } from "../../support/service.ts";

describe("datacrawl review", () => {
  let service: ServiceProcess;
  let ids: string[];
  const review = (...args: string[]): Promise<CliResult> =>
    cli(["review", ...args], { DATACRAWL_DATA_DIR: service.dataDir });

  beforeAll(async () => {
    const env = { DATACRAWL_POLICY_DIR: writeReviewPolicies(tempDir()) };
    service = await startService(env);
    await addReviewer("ann", { DATACRAWL_DATA_DIR: service.dataDir });
    const hostile = { note: "\u001b[2Jpaid\u202e", lines: "a\nb" };
    for (const [index, tool] of ["refund", "wire", "refund"].entries())
      await ask(service.connectUrl, demoKey(service.dataDir), {
        tool,
        payload: hostile,
        idempotencyKey: `key\u0007-${index}`,
      });
    const listed = await review("list", "--json");
    ids = (JSON.parse(listed.stdout) as { reviewId: string }[]).map(({ reviewId }) => reviewId);
  });
  afterAll(() => discard(service));

  test("lists newest first, filtered and limited", async () => {
    expect(ids).toHaveLength(3);
    const [, , oldest] = ids;
    const ann = await signInAs("ann", service.adminUrl);
    expect((await ann.call("RejectReview", { reviewId: oldest, comment: "no" })).status).toBe(200);
    const tools = async (...args: string[]) =>
      (JSON.parse((await review("list", "--json", ...args)).stdout) as { tool: string }[]).map(({ tool }) => tool);
    expect(await tools()).toEqual(["refund", "wire", "refund"]);
    expect(await tools("--state", "open")).toEqual(["refund", "wire"]);
    expect(await tools("--state", "rejected", "--agent", "demo", "--tool", "refund")).toEqual(["refund"]);
    expect(await tools("--agent", "nobody")).toEqual([]);
    expect(await tools("--limit", "1")).toEqual(["refund"]);
    const table = await review("list");
    expect(table.stdout).toContain("REVIEW");
    expect(table.stdout).toContain("rejected");
  });

  test("shows the payload as it was judged, harmless for a terminal", async () => {
    const shown = await review("show", ids[1] as string);
    expect(shown.status).toBe(0);
    expect(shown.stdout).toContain("\\u001b[2Jpaid");
    expect(shown.stdout).toContain("key\\u0007-1");
    expect(shown.stdout).not.toMatch(/[\u0007\u001b\u202e]/);
    expect(shown.stdout).toMatch(/approvals +0\/2/);
    expect(JSON.parse((await review("show", ids[1] as string, "--json")).stdout)).toMatchObject({
      tool: "wire",
      state: "open",
      approvers: 2,
      payload: { note: "\u001b[2Jpaid\u202e", lines: "a\nb" },
    });
  });

  test("says in its status and on stderr what did not work", async () => {
    for (const [args, status, problem] of [
      [["show", randomUUID()], 1, "There is no review"],
      [["show", "x"], 1, "must be a UUID"],
      [["approve", ids[0] as string, "--reason", "yes"], 1, "named operator"],
      [["reject", ids[0] as string, "--reason", "no"], 1, "named operator"],
      [["reject", ids[0] as string, "--comment", "its former name"], 1, "named operator"],
      [["approve", ids[0] as string], 64, "--reason"],
      [["list", "--state", "closed"], 64, "Write one of open"],
      [["list", "--limit", "0"], 64, "Write a number"],
    ] as const) {
      const result = await review(...args);
      expect([args, result.status, result.stdout]).toEqual([args, status, ""]);
      expect(result.stderr).toContain(problem);
    }
    expect(JSON.parse((await review("show", ids[0] as string, "--json")).stdout)).toMatchObject({
      state: "open",
      answers: [],
    });
  });
});
