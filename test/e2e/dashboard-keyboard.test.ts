// @module-tag full
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, press, tabTo, type } from "../support/browser.ts";
import { type Dashboard, hasDashboard, openDashboard, personNamed } from "../support/dashboard.ts";
import { ask } from "../support/service.ts";

/** What an operator does, without ever touching a mouse. Forcing a circuit is in dashboard-guard.test.ts. */
describe.skipIf(!hasDashboard())("the dashboard by keyboard alone", () => {
  let dashboard: Dashboard;
  let page: Page;

  beforeAll(async () => {
    dashboard = await openDashboard();
    page = await dashboard.signIn("ann");
  });
  afterAll(async () => await dashboard?.close());

  const go = async (path: string): Promise<void> => {
    await page.goto(`${dashboard.url}${path}`);
    await page.getByRole("heading", { level: 1 }).waitFor();
  };
  const email = async (idempotencyKey: string, to = "ann@example.com"): Promise<Record<string, unknown>> => {
    const payload = { to: [to], subject: "Hi", body: "Hello" };
    const request = { tool: "gmail.send_email", payload, idempotencyKey };
    return (await ask(dashboard.service.connectUrl, dashboard.cluster.agentKey, request)).body;
  };

  test("somebody signs in, goes through the pages, and signs out", async () => {
    const { name, password } = personNamed("vic");
    const other = await (await dashboard.browser.newContext()).newPage();
    other.setDefaultTimeout(20_000);
    await other.goto(dashboard.url);
    await type(other, "Name", name);
    await type(other, "Password", "a wrong one");
    await other.keyboard.press("Enter");
    await other.getByRole("alert").waitFor();
    await tabTo(other, other.getByLabel("Password"));
    await other.keyboard.press("ControlOrMeta+A");
    await other.keyboard.type(password);
    await other.keyboard.press("Enter");
    for (const title of ["Decisions", "Agents", "Audit"]) {
      await press(other, "link", title);
      await other.getByRole("heading", { name: title, exact: true, level: 1 }).waitFor();
      // The page begins where the keyboard is.
      expect(await other.evaluate("document.activeElement.id")).toBe("main");
    }
    await press(other, "button", "Sign out");
    await other.getByRole("button", { name: "Sign in" }).waitFor();
    await other.goto(`${dashboard.url}/agents`);
    await other.getByRole("button", { name: "Sign in" }).waitFor();
    await other.context().close();
  });

  test("decisions are searched, one is opened, and the way back keeps the search", async () => {
    await email("find-me-1");
    await email("other-1");
    await go("/decisions");
    await type(page, "Text", "find-me");
    await page.keyboard.press("Enter");
    await page.getByRole("row", { name: /gmail/ }).first().waitFor();
    await eventually(() => page.getByRole("row", { name: /gmail/ }).count()).toBe(1);
    await tabTo(page, page.getByLabel("Decision", { exact: true }));
    await page.keyboard.type("allow");
    await eventually(() => new URL(page.url()).search).toBe("?text=find-me&decision=allow");
    await press(page, "link", /email-inside/);
    await page.getByText("find-me-1").waitFor();
    await page.goBack();
    await eventually(() => page.getByLabel("Text").inputValue()).toBe("find-me");
    await press(page, "button", "Follow live");
    await page.getByText(/Following: 0 new/).waitFor();
    await email("find-me-2");
    await page.getByText(/Following: 1 new/).waitFor();
    await press(page, "button", "Stop following");
  });

  test("an agent is made, its key is changed, it is frozen, unfrozen and revoked", async () => {
    const row = page.getByRole("row", { name: /new-bot/ });
    await go("/agents");
    await press(page, "button", "Create agent");
    await type(page, "Agent id", "new-bot");
    await page.keyboard.press("Enter");
    const first = (await page.getByLabel("Credential").textContent()) ?? "";
    expect(first).toMatch(/^dc_agent_new-bot_/);
    await press(page, "button", "I have copied it");
    // The keyboard goes on where the dialog was opened.
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Create agent");

    await type(page, "Id begins with", "new-");
    await eventually(() => page.getByRole("row").count()).toBe(2);
    await press(page, "button", "keys new-bot");
    await press(page, "button", "Make it");
    const second = (await page.getByLabel("Credential").textContent()) ?? "";
    expect(second).toMatch(/^dc_agent_new-bot_/);
    expect(second).not.toBe(first);
    await press(page, "button", "I have copied it");
    await eventually(async () => (await row.locator("code").textContent())?.split(" ").length).toBe(2);
    await press(page, "button", "keys new-bot");
    await press(page, "button", "Revoke it");
    await eventually(async () => await row.locator("code").textContent()).toBe(second.split("_")[3]);
    const request = { tool: "t", payload: {}, idempotencyKey: "key" };
    await eventually(async () => (await ask(dashboard.service.connectUrl, first, request)).status).toBe(401);
    expect((await ask(dashboard.service.connectUrl, second, request)).status).toBe(200);

    for (const [action, state] of [
      ["freeze", "frozen"],
      ["unfreeze", "active"],
    ] as const) {
      await press(page, "button", `${action} new-bot`);
      await type(page, "Reason", "because I say so");
      await press(page, "button", new RegExp(`^${action}$`, "i"));
      await row.getByText(state).waitFor();
    }

    await press(page, "button", "revoke new-bot");
    await type(page, "Type the agent's id to confirm", "new-boo");
    await page.keyboard.press("Enter");
    expect(await page.getByRole("dialog").count()).toBe(1);
    await page.keyboard.press("Backspace");
    await page.keyboard.type("t");
    await page.keyboard.press("Enter");
    await row.getByText("revoked").waitFor();
    expect(await row.getByRole("button").count()).toBe(0);
  });

  test("a bypass is set, seen and cleared, and Escape leaves a form without doing it", async () => {
    await go("/bypass");
    await press(page, "button", "Set a bypass");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await press(page, "button", "Set a bypass");
    await type(page, "Agent", "racer");
    await tabTo(page, page.getByLabel("All tools of this agent"));
    await page.keyboard.press("Space");
    await tabTo(page, page.getByLabel("For how long"));
    await page.keyboard.type("30");
    await type(page, "Reason", "the mail must go out");
    await press(page, "button", "Set the bypass");
    await page.getByText("Bypass in force: racer").waitFor();
    await press(page, "link", "look, or clear it");
    await press(page, "button", "clear the bypass of racer");
    await type(page, "Reason", "it is over");
    await press(page, "button", "Clear it");
    await page.getByText("Bypass in force: racer").waitFor({ state: "detached" });
    await page.getByText("ended by ann").waitFor();
  });

  test.each([
    ["Approve", "approved", "REASON_REVIEW_APPROVED"],
    ["Reject", "rejected", "REASON_REVIEW_REJECTED"],
  ])("a review is answered with %s", async (button, state, reason) => {
    const key = `review-${state}`;
    const { decisionId } = await email(key, "bob@customer.test");
    await go("/reviews");
    await press(page, "link", "gmail.send_email");
    await page.getByText(String(decisionId)).waitFor();
    await type(page, "Comment", "as the customer asked");
    await press(page, "button", button);
    await page.getByText(state, { exact: true }).first().waitFor();
    expect((await email(key, "bob@customer.test"))["reason"]).toBe(reason);
  });

  test("the trail is sealed and verified", async () => {
    await go("/audit");
    await press(page, "button", "Seal now");
    await page.getByText(/^\u2014 datacrawl\//m).waitFor();
    await press(page, "button", "Verify now");
    await page.getByText("the trail holds").first().waitFor({ timeout: 40_000 });
  });

  test("the policies are tried with a request of one's own", async () => {
    await go("/policies");
    for (const [label, text] of [
      ["Tool", "stripe.refund"],
      ["Payload", '{"amount": 6000, "currency": "EUR"}'],
    ] as const) {
      await tabTo(page, page.getByLabel(label, { exact: true }));
      await page.keyboard.press("ControlOrMeta+A");
      await page.keyboard.type(text);
    }
    await press(page, "button", "What would be answered?");
    await page.getByText("RULE_DENIED").waitFor();
  });
});
