// @module-tag full
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAccessible, press, type } from "../support/browser.ts";
import { type Dashboard, hasDashboard, openDashboard } from "../support/dashboard.ts";
import { writeReviewPolicies } from "../support/reviewers.ts";
import { ask, tempDir } from "../support/service.ts";

describe.skipIf(!hasDashboard())("a review in the dashboard", () => {
  let dashboard: Dashboard;
  let [ann, rob]: Page[] = [];
  let sequence = 0;

  beforeAll(async () => {
    dashboard = await openDashboard({ DATACRAWL_POLICY_DIR: writeReviewPolicies(tempDir()) });
    ann = await dashboard.signIn("ann");
    rob = await dashboard.signIn("rob");
  });
  afterAll(async () => await dashboard?.close());

  const request = async (tool: string, idempotencyKey: string): Promise<Record<string, unknown>> => {
    const { connectUrl } = dashboard.service;
    const payload = { amount: 500 };
    return (await ask(connectUrl, dashboard.cluster.agentKey, { tool, payload, idempotencyKey })).body;
  };
  /** A new review, open in the pages of both. */
  const open = async (tool: string): Promise<{ page: Page; other: Page; key: string }> => {
    const key = `${tool}-${++sequence}`;
    await request(tool, key);
    const [page, other] = [ann as Page, rob as Page];
    await page.goto(`${dashboard.url}/reviews?state=all`);
    await page.getByRole("link", { name: tool }).first().click();
    await page.getByRole("heading", { name: "Your answer" }).waitFor();
    await other.goto(page.url());
    await other.getByRole("heading", { name: "Your answer" }).waitFor();
    return { page, other, key };
  };

  test("the comment that somebody types stays when another person ends the review, and it says who did", async () => {
    const { page, other } = await open("refund");
    await type(other, "Comment", "I asked the customer, who");
    await type(page, "Comment", "not ours");
    await press(page, "button", "Reject");
    await page.getByText("not ours").waitFor();
    await other
      .getByRole("status")
      .getByText(/ann rejected this call .* Your comment was not sent/)
      .waitFor();
    const comment = other.getByLabel("Comment", { exact: true });
    expect(await comment.inputValue()).toBe("I asked the customer, who");
    // Whoever is typing is not interrupted: the cursor is where it was.
    expect(await comment.and(other.locator(":focus")).count()).toBe(1);
    expect(await other.getByRole("button", { name: /Approve|Reject/ }).count()).toBe(0);
    await expectAccessible(other);
    await press(other, "button", "Discard the comment");
    await comment.waitFor({ state: "detached" });
    // Who answered is not shown a form that they have sent.
    expect(await page.getByRole("heading", { name: "Your answer" }).count()).toBe(0);
  });

  test("an approval is withdrawn, and the page says whether the agent was allowed before", async () => {
    for (const isUsed of [false, true]) {
      const { page, other, key } = await open("refund");
      await type(page, "Comment", "fine");
      await press(page, "button", "Approve");
      await page.getByRole("button", { name: "Withdraw my approval" }).waitFor();
      if (isUsed) expect(await request("refund", key)).toMatchObject({ decision: "DECISION_ALLOW" });
      await page.reload();
      await page.getByRole("button", { name: "Withdraw my approval" }).waitFor();
      expect(await page.getByText("the agent may have acted").count()).toBe(isUsed ? 1 : 0);
      await expectAccessible(page);
      // Nobody withdraws what another person approved.
      await other.getByText("ann approved").waitFor();
      expect(await other.getByRole("button", { name: "Withdraw my approval" }).count()).toBe(0);
      await type(page, "Comment", "the customer called again");
      await press(page, "button", "Withdraw my approval");
      await page.getByText(/ann withdrew the approval .*: the customer called again/).waitFor();
      await page.getByText("approval withdrawn").waitFor();
      expect(await page.getByRole("button", { name: "Withdraw my approval" }).count()).toBe(0);
      expect(await request("refund", key)).toMatchObject({ decision: "DECISION_DENY" });
    }
  });

  test("a review that nobody answers says that it expired unanswered", async () => {
    const { page } = await open("quick");
    await page.getByText("It expired unanswered, so the call is denied.").waitFor();
    expect(await page.getByText("Nobody has answered yet.").count()).toBe(0);
    await expectAccessible(page);
  });
});
