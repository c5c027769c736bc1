// @module-tag full
import { cpSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import pg from "pg";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { eventually, expectAccessible } from "../support/browser.ts";
import { makeAgent } from "../support/cluster.ts";
import { type Dashboard, hasDashboard, openDashboard, signInAgain } from "../support/dashboard.ts";
import { freePort } from "../support/net.ts";
import { signInAs } from "../support/reviewers.ts";
import { ask, tempDir } from "../support/service.ts";

const HOSTILE = '<img src=x onerror="document.title=1"><script>alert(1)</script>\u202e\u001b[31m\u200b\u{e0041}';

/** Bad input, two people at once, and a service that goes away. */
describe.skipIf(!hasDashboard())("the dashboard in trouble", () => {
  let dashboard: Dashboard;
  let page: Page;
  let policyDir: string;

  beforeAll(async () => {
    policyDir = tempDir();
    cpSync(join(import.meta.dirname, "../../policies"), policyDir, { recursive: true });
    dashboard = await openDashboard({ DATACRAWL_POLICY_DIR: policyDir });
    for (const id of ["other", "third", "fourth"])
      await makeAgent(id, { ...dashboard.cluster.env, DATACRAWL_DATA_DIR: dashboard.service.dataDir });
    page = await dashboard.signIn("ann");
  });
  afterAll(async () => await dashboard?.close());

  const go = async (at: Page, path: string): Promise<void> => {
    await at.goto(`${dashboard.url}${path}`);
    await at.getByRole("heading", { level: 1 }).waitFor();
  };
  const askForReview = async (idempotencyKey: string): Promise<string> => {
    const payload = { to: ["bob@customer.test"], subject: HOSTILE, [HOSTILE]: "x" };
    const request = { tool: "gmail.send_email", payload, idempotencyKey };
    const { body } = await ask(dashboard.service.connectUrl, dashboard.cluster.agentKey, request);
    return String(body["decisionId"]);
  };
  const openReview = async (at: Page, decisionId: string): Promise<void> => {
    await go(at, "/reviews");
    await at.getByRole("link", { name: "gmail.send_email" }).first().click();
    await at.getByText(decisionId).waitFor();
  };
  const setBypass = async (at: Page, agent: string, reason: string): Promise<void> => {
    await at.getByRole("button", { name: "Set a bypass" }).click();
    await at.getByLabel("Agent", { exact: true }).fill(agent);
    await at.getByLabel("Tools", { exact: true }).fill("stripe.refund");
    await at.getByLabel("Reason").fill(reason);
    await at.getByRole("button", { name: "Set the bypass" }).click();
  };

  test("of two who answer a review at the same moment one is told that the other was first", async () => {
    const decisionId = await askForReview("at-once");
    const other = await dashboard.signIn("rob");
    for (const each of [page, other]) {
      await openReview(each, decisionId);
      await each.getByLabel("Comment").fill(`as I see it ${HOSTILE}`);
    }
    await Promise.all([
      page.getByRole("button", { name: "Approve" }).click(),
      other.getByRole("button", { name: "Reject" }).click(),
    ]);
    for (const each of [page, other]) {
      await each
        .getByText(/^(ann|rob)$/)
        .first()
        .waitFor();
      await eventually(() => each.getByRole("button", { name: "Approve" }).count()).toBe(0);
    }
    const told = await Promise.all([page, other].map((each) => each.getByRole("alert").count()));
    expect(told.toSorted((a, b) => a - b)).toEqual([0, 1]);
    const answers = [page, other].map((each) => each.getByRole("region", { name: "Answers" }).locator(".notice"));
    expect(await Promise.all(answers.map((answer) => answer.count()))).toEqual([1, 1]);
    expect(await page.locator("main img, main script").count()).toBe(0);
    await other.context().close();
  });

  test("of two who set a bypass for one agent the later holds, and both see which", async () => {
    const other = await dashboard.signIn("olga");
    for (const each of [page, other]) await go(each, "/bypass");
    await setBypass(page, "racer", "as ann wants it");
    await other.getByText("Bypass in force: racer").waitFor();
    await setBypass(other, "racer", `as olga wants it ${HOSTILE}`);
    for (const each of [page, other]) {
      const banner = each.getByRole("status").filter({ hasText: "Bypass in force: racer" });
      await banner.getByText(/as olga wants it/).waitFor();
      expect(await banner.count()).toBe(1);
      expect(await banner.textContent()).toContain("<script>alert(1)</script>\\u202e\\u001b[31m\\u200b\\u{e0041}");
    }
    // What ann set is not forgotten: it stands among those that have ended.
    await go(page, "/bypass");
    await page.getByRole("row", { name: /ended by .*as ann wants it/ }).waitFor();
    await expectAccessible(page);
    await other.context().close();
  });

  test("policies that were refused are on the overview, with the way to what is wrong, until they are mended", async () => {
    const broken = join(policyDir, "broken.yaml");
    onTestFinished(() => rmSync(broken, { force: true }));
    writeFileSync(broken, "rules: [{ id: broken, effect: perhaps }]\n");
    await go(page, "/");
    const needed = page.getByRole("region", { name: "What needs a person" });
    await needed.getByRole("link", { name: /the newest policies are not in force: .*broken\.yaml:1/ }).click();
    await page.getByText("Newer files are not in force:").waitFor();
    rmSync(broken);
    await go(page, "/");
    await needed.getByText("are not in force").waitFor({ state: "detached" });
  });

  test("many bypasses are one banner, which names their agents", async () => {
    const olga = await signInAs("olga", dashboard.url);
    const agents = ["racer", "other", "third", "fourth"];
    for (const agentId of agents) {
      const order = { agentId, allTools: true, reason: "INC-7", duration: "3600s" };
      expect((await olga.call("SetCircuitBypass", order)).status).toBe(200);
    }
    await go(page, "/audit");
    const banner = page.getByRole("status").filter({ hasText: "4 bypasses are in force" });
    for (const agentId of agents) await banner.getByText(agentId).waitFor();
    for (const agentId of agents) await olga.call("ClearCircuitBypass", { agentId, reason: "it is over" });
    await banner.waitFor({ state: "detached" });
  });

  test("a bypass for an agent or a tool that cannot be keeps the form, and says why", async () => {
    await go(page, "/bypass");
    await setBypass(page, HOSTILE, "because");
    await page.getByRole("dialog").getByRole("alert").waitFor();
    expect(await page.getByLabel("Agent", { exact: true }).inputValue()).toBe(HOSTILE);
    await page.getByLabel("Agent", { exact: true }).fill("other");
    await page.getByLabel("Tools", { exact: true }).fill("x".repeat(300));
    await page.getByRole("button", { name: "Set the bypass" }).click();
    await eventually(() => page.getByRole("dialog").getByRole("alert").textContent()).toContain("tool");
    expect(await page.getByLabel("Reason").inputValue()).toBe("because");
  });

  test("a sign-in that is too old for a bypass is renewed over the form, which keeps what was typed", async () => {
    await go(page, "/bypass");
    const database = new pg.Client(dashboard.cluster.superUrl);
    await database.connect();
    await database.query(
      "UPDATE operator_sessions SET signed_in_at = now() - interval '10 minutes' WHERE name = 'ann'",
    );
    await database.end();
    await setBypass(page, "other", "a long and careful reason");
    const dialog = page.getByRole("dialog", { name: "This needs a sign-in within the last 5 minutes" });
    await dialog.waitFor();
    await expectAccessible(page);
    await signInAgain(page, "ann");
    await dialog.waitFor({ state: "detached" });
    expect(await page.getByLabel("Reason").inputValue()).toBe("a long and careful reason");
    await page.getByRole("button", { name: "Set the bypass" }).click();
    await page.getByText("Bypass in force: other").waitFor();
  });

  test("a session that ends cannot be waved away, and what was typed into a review stays", async () => {
    const reviewer = await dashboard.signIn("rob");
    await openReview(reviewer, await askForReview("mid-form"));
    await reviewer.getByLabel("Comment").fill("a long and careful comment");
    await reviewer.context().clearCookies();
    await reviewer.getByRole("button", { name: "Approve" }).click();
    const dialog = reviewer.getByRole("dialog", { name: "Your session has ended" });
    await dialog.waitFor();
    for (const _ of [1, 2, 3]) await reviewer.keyboard.press("Escape");
    await dialog.waitFor();
    await signInAgain(reviewer, "rob");
    await dialog.waitFor({ state: "detached" });
    expect(await reviewer.getByLabel("Comment").inputValue()).toBe("a long and careful comment");
    await reviewer.getByRole("button", { name: "Approve" }).click();
    await reviewer.getByText("approved", { exact: true }).first().waitFor();
    await reviewer.context().close();
  });

  test("hostile text in a rule's words, a payload's names and a comment is shown as text", async () => {
    await go(page, "/reviews?state=all");
    await page.getByRole("link", { name: "gmail.send_email" }).first().click();
    await page.getByLabel("Payload").waitFor();
    const text = (await page.locator("main").textContent()) ?? "";
    expect(text).toContain("<script>alert(1)</script>");
    await page.getByRole("button", { name: "as JSON" }).click();
    expect(await page.getByLabel("JSON", { exact: true }).textContent()).toContain("<script>alert(1)</script>\\u202e");
    expect(text).not.toMatch(/[\u202e\u001b\u200b]/);
    expect(await page.title()).toBe("Review · DataCrawl");
  });

  test.each([
    ["NUL", "%00"],
    ["a tag and a thousand letters", `<script>${"a".repeat(1000)}`],
  ])("every page survives %s in its address", async (_, garbage) => {
    const paths = ["decisions", "reviews", "circuits"].map((name) => `/${name}/${garbage}`);
    const searches = [
      `/decisions?agent=${garbage}&tool=${garbage}&text=${garbage}&grant=${garbage}&since=${garbage}`,
      `/decisions?live=1&agent=${garbage}`,
      `/reviews?state=${garbage}`,
      `/agents?agent=${garbage}`,
      `/policies?version=${garbage}`,
      `/${garbage}`,
    ];
    for (const path of [...paths, ...searches]) {
      await go(page, path);
      await eventually(() => page.locator(".loading").count()).toBe(0);
      expect((await page.locator("main").textContent())?.length, path).toBeGreaterThan(20);
      expect(await page.getByRole("navigation", { name: "Pages" }).count(), path).toBe(1);
      expect(await page.locator("main script").count()).toBe(0);
    }
  });

  test("another site can neither frame it, nor read it, nor make a browser that is signed in act", async () => {
    const foreign = await foreignSite(dashboard.url);
    const context = page.context();
    const visitor = await context.newPage();
    await visitor.goto(foreign.url);
    // A form may be sent anywhere; the service refuses what does not come from its own page.
    expect(await visitor.evaluate("attack()")).toEqual({ read: "refused", sent: "refused" });
    const framed = visitor.frames().map((frame) => frame.url());
    expect(framed.length).toBe(2);
    expect(framed).not.toContain(`${dashboard.url}/agents`);
    await visitor.close();
    await go(page, "/agents");
    await page.getByRole("row", { name: /racer/ }).getByText("active").waitFor();
  });

  test("while the database is gone nobody is told that all is well, and who comes then is let in when it is back", async () => {
    await go(page, "/");
    await page.getByRole("heading", { name: "What needs a person" }).waitFor();
    // From another database: one cannot be closed from within.
    const database = new pg.Client(inject("postgresUrl") as string);
    await database.connect();
    onTestFinished(() => database.end());
    const name = new URL(dashboard.cluster.superUrl).pathname.slice(1);
    await database.query(`ALTER DATABASE "${name}" ALLOW_CONNECTIONS false`);
    onTestFinished(async () => void (await database.query(`ALTER DATABASE "${name}" ALLOW_CONNECTIONS true`)));
    await database.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
      [name],
    );
    await page.getByText("What you see may be out of date.").waitFor();
    await page.getByRole("heading", { name: "What needed a person when the service was last heard" }).waitFor();
    const late = await page.context().newPage();
    await late.goto(dashboard.url);
    await late.getByRole("alert").getByText("could not be recorded in the database").waitFor();
    await expectAccessible(late);
    await database.query(`ALTER DATABASE "${name}" ALLOW_CONNECTIONS true`);
    await late.getByRole("navigation", { name: "Pages" }).waitFor();
    await page.getByRole("heading", { name: "What needs a person" }).waitFor({ timeout: 40_000 });
    await late.close();
  });

  test("when the service goes in mid-form nothing that was typed is lost, and it can be sent when it is back", async () => {
    await go(page, "/agents");
    await page.getByRole("button", { name: "freeze other" }).click();
    await page.getByLabel("Reason").fill("a long and careful reason");
    await dashboard.service.kill("SIGKILL");
    await page.getByRole("button", { name: "Freeze", exact: true }).click();
    await page.getByRole("dialog").getByText("Whether it was done is unknown").waitFor();
    await page.getByText("What you see may be out of date.").waitFor();
    await dashboard.restart();
    await page.getByText("What you see may be out of date.").waitFor({ state: "detached", timeout: 40_000 });
    expect(await page.getByLabel("Reason").inputValue()).toBe("a long and careful reason");
    await page.getByRole("button", { name: "Freeze", exact: true }).click();
    await page.getByRole("row", { name: /other/ }).getByText("frozen").waitFor();
  });
});

/** A page of somebody else's, on another host, that does what a page may try. */
async function foreignSite(target: string): Promise<{ url: string }> {
  const method = `${target}/datacrawl.authz.v1.AdminService/FreezeAgent`;
  const html = `<!doctype html><title>win a prize</title><script>
    async function attack() {
      const body = JSON.stringify({ agentId: "racer", reason: "from elsewhere" });
      const read = await fetch("${target}/datacrawl.authz.v1.AdminService/ListAgents",
        { method: "POST", body: "{}", credentials: "include", headers: { "content-type": "application/json" } })
        .then(() => "read", () => "refused");
      const sent = await fetch("${method}", { method: "POST", body, credentials: "include", mode: "no-cors" })
        .then(({ type }) => type, () => "refused");
      const frame = document.createElement("iframe");
      frame.src = "${target}/agents";
      const loaded = new Promise((resolve) => (frame.onload = resolve));
      document.body.append(frame);
      await loaded;
      return { read, sent };
    }
  </script><body></body>`;
  const server: Server = createServer((_, response) => response.setHeader("content-type", "text/html").end(html));
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { url: `http://localhost:${port}/` };
}
