import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import pg from "pg";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { DataCrawl } from "@datacrawl/client";
import { cli } from "../support/cli.ts";
import { eventually, expectAccessible, openBrowser, type Operator, press, signIn, type } from "../support/browser.ts";
import { type Cluster, makeAgent, makeCluster } from "../support/cluster.ts";
import { addReviewer, REVIEWER_PASSWORD } from "../support/reviewers.ts";
import { ask, discard, type ServiceProcess, startService } from "../support/service.ts";

const [postgresUrl, redisUrl, chromium] = [inject("postgresUrl"), inject("redisUrl"), inject("chromiumPath")];
const [OPERATOR, REVIEWER, VIEWER] = (["ann", "rob", "vic"] as const).map((name) => ({
  name,
  password: REVIEWER_PASSWORD,
})) as [Operator, Operator, Operator];
const PATHS = [
  "/",
  "/decisions",
  "/executions",
  "/sessions",
  "/reviews",
  "/circuits",
  "/bypass",
  "/agents",
  "/policies",
  "/audit",
  "/nowhere",
];
const HOSTILE = '<img src=x onerror="document.title=1"><script>alert(1)</script>\u202e\u001b[31m';

interface Answered {
  readonly body: { readonly decisionId: string };
}

describe.skipIf(postgresUrl === null || redisUrl === null || chromium === null)("the dashboard in a browser", () => {
  let cluster: Cluster;
  let service: ServiceProcess;
  let browser: Browser;
  let page: Page;
  let frosty: string;

  const email = (idempotencyKey: string, change: object = {}): Promise<unknown> =>
    ask(service.connectUrl, cluster.agentKey, {
      tool: "gmail.send_email",
      payload: { to: ["ann@example.com"], subject: "Hi", body: "Hello" },
      idempotencyKey,
      ...change,
    });
  const go = async (path: string, heading: string): Promise<void> => {
    await page.goto(`${service.adminUrl}${path}`);
    await page.getByRole("heading", { name: heading, exact: true, level: 1 }).waitFor();
  };

  /** Changes rows of the trail as only a superuser can. */
  const tamper = async (database: pg.Client, verb: string, table: string, where: string, set = ""): Promise<void> => {
    const found = await database.query(`SELECT tableoid::regclass::text AS place FROM ${table} WHERE ${where}`);
    const { place } = found.rows[0] as { place: string };
    await database.query(`ALTER TABLE ${place} DISABLE TRIGGER refuse_change`);
    await database.query(`${verb} ${place} ${set} WHERE ${where}`);
    await database.query(`ALTER TABLE ${place} ENABLE ALWAYS TRIGGER refuse_change`);
  };

  beforeAll(async () => {
    cluster = (await makeCluster({ REDIS_URL: redisUrl as string })) as Cluster;
    frosty = await makeAgent("frosty", cluster.env);
    service = await startService(cluster.env);
    const env = { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir };
    await addReviewer(OPERATOR.name, env, "operator");
    await addReviewer(VIEWER.name, env, "viewer");
    await addReviewer(REVIEWER.name, env);
    browser = await openBrowser(chromium as string);
    page = await signIn(browser, service.adminUrl, OPERATOR);
  });
  afterAll(async () => {
    await browser?.close();
    if (service !== undefined) await discard(service);
  });

  test("a decision appears as it is made, and its page tells why", async () => {
    await go("/decisions?live=1", "Decisions");
    await email("live-1");
    await page
      .getByRole("row", { name: /gmail\.send_email/ })
      .first()
      .waitFor();
    await page
      .getByRole("link", { name: /allows/ })
      .first()
      .click();
    await page.getByText("hash holds").waitFor();
    for (const step of ["Asked", "Judged by", "Because", "Recorded", "Proven"]) {
      expect(await page.getByRole("heading", { name: step, exact: true }).count()).toBe(1);
    }
    expect(await page.getByText('"subject": "Hi"').count()).toBe(1);
    // The rule as it was written, and what its condition saw.
    expect(await page.getByLabel("The rule email-inside as it was written").textContent()).toContain("when:");
    expect(await page.getByLabel("What the condition saw").first().textContent()).toContain("ann@example.com");
  });

  test("a viewer is told that a decision waits for its seal, which leaf it is then, and that it was retired", {
    tags: ["full"],
  }, async () => {
    const viewing = await signIn(browser, service.adminUrl, VIEWER);
    const database = new pg.Client(cluster.superUrl);
    await database.connect();
    let looks = 0;
    viewing.on("request", (request) => void (request.url().endsWith("/ProveDecision") && looks++));
    await viewing.clock.install();
    const decide = async (key: string): Promise<string> => ((await email(key)) as Answered).body.decisionId;
    try {
      // No checkpoint can be written, so nothing is sealed.
      await database.query("BEGIN; LOCK TABLE audit_checkpoints IN SHARE MODE");
      await viewing.goto(`${service.adminUrl}/decisions/${await decide("seal-1")}`);
      await viewing.getByText("this page looks once more by itself").waitFor();
      await expectAccessible(viewing);
      await viewing.clock.fastForward(15_000);
      await viewing.getByText("It should have a seal by now").waitFor();
      expect(looks).toBe(2);
      const decisionId = await decide("seal-2");
      await viewing.goto(`${service.adminUrl}/decisions/${decisionId}`);
      await viewing.getByText("this page looks once more by itself").waitFor();
      await database.query("COMMIT");
      const isSealed = "SELECT FROM audit_seals WHERE row_id = $1";
      await eventually(async () => (await database.query(isSealed, [decisionId])).rowCount).toBe(1);
      await viewing.clock.fastForward(15_000);
      await viewing.getByText(/It is leaf [\d,]+ \(counted from 0\) of the [\d,]+ under/).waitFor();
      await expectAccessible(viewing);
      await viewing.clock.fastForward(60_000);
      expect(looks).toBe(4);
      // What retiring leaves of it: its seal.
      await tamper(database, "DELETE FROM", "audit_decisions", `decision_id = '${decisionId}'`);
      await viewing.reload();
      await viewing.getByRole("alert").getByText("look for it in the export of its month").waitFor();
      await expectAccessible(viewing);
    } finally {
      await database.end();
      await viewing.context().close();
    }
  });

  test("the rules in force are shown, and a request is tried on them by keyboard", { tags: ["full"] }, async () => {
    await go("/policies", "Policies");
    await press(page, "button", "What would be answered?");
    await page
      .getByText("RULE_DENIED")
      .or(page.getByText("NO_MATCHING_RULE"))
      .or(page.getByText("REVIEW_PENDING"))
      .waitFor();
    await expectAccessible(page);
  });

  test("hostile text is shown as text, and nothing of it runs", async () => {
    const answered = (await email("hostile", { tool: HOSTILE, payload: { note: HOSTILE } })) as {
      body: { decisionId: string };
    };
    await go("/decisions", "Decisions");
    await page.getByRole("cell", { name: "<img src=x" }).first().waitFor();
    await go(`/decisions/${answered.body.decisionId}`, "Decision");
    await page.getByText("hash holds").waitFor();
    await page.getByText("No rule is about this tool, and what no rule matches is denied.").waitFor();
    expect(await page.title()).toBe("Decision · DataCrawl");
    const text = (await page.locator("main").textContent()) ?? "";
    expect(text).toContain("<script>alert(1)</script>");
    expect(text).toContain("\\u202e");
    expect(text).not.toContain("\u202e");
    expect(await page.locator("main img, main script").count()).toBe(0);
  });

  test("a review is approved by keyboard, and the agent that waits proceeds; whoever is second is told", async () => {
    const dc = new DataCrawl({ url: `http://127.0.0.1:${service.grpcPort}`, apiKey: cluster.agentKey });
    const payload = { to: ["bob@customer.test"], subject: HOSTILE, body: "Hello" };
    const asked = await dc.authorize({ tool: "gmail.send_email", payload, idempotencyKey: "review-1" });
    expect(asked.decision).toBe("needs_review");
    const waiting = dc.waitForReview(asked.decisionId, { timeoutMs: 60_000 });
    const second = await signIn(browser, service.adminUrl, REVIEWER);
    // His page hears nothing of what others do.
    await second.route("**/WatchAdmin", (route) => route.abort());
    for (const each of [page, second]) {
      await each.goto(`${service.adminUrl}/reviews`);
      await press(each, "link", "gmail.send_email");
      await each.getByText("bob@customer.test").waitFor();
    }
    await expectAccessible(page);
    await type(page, "Comment", "the customer asked for it");
    await press(page, "button", "Approve");
    await page.getByText("the customer asked for it").waitFor();
    expect(await waiting).toMatchObject({ decision: "allow", reason: "REVIEW_APPROVED", decisionId: asked.decisionId });
    await type(second, "Comment", "not this one");
    await press(second, "button", "Reject");
    await second
      .getByRole("alert")
      .getByText(/approved/)
      .waitFor();
    await second.context().close();
    await dc.close();
  });

  test("an agent is frozen by keyboard, and denied at once", async () => {
    await go("/agents", "Agents");
    await press(page, "button", "freeze frosty");
    await type(page, "Reason", "it misbehaves");
    await press(page, "button", "Freeze");
    await page
      .getByRole("row", { name: /frosty/ })
      .getByText(/frozen by ann .*: it misbehaves/)
      .waitFor();
    await expectAccessible(page);
    const request = { tool: "gmail.send_email", payload: {}, idempotencyKey: "frozen" };
    const { body } = await ask(service.connectUrl, frosty, request);
    expect(body).toMatchObject({ decision: "DECISION_DENY", reason: "REASON_AGENT_FROZEN" });
  });

  test("who froze an agent is the last who did, and nobody is named when the trail no longer tells", {
    tags: ["full"],
  }, async () => {
    const database = new pg.Client(cluster.superUrl);
    await database.connect();
    const env = { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir };
    expect((await cli(["agent", "unfreeze", "frosty", "--reason", "over"], env)).status).toBe(0);
    await go("/agents", "Agents");
    const row = page.getByRole("row", { name: /frosty/ });
    await row.getByText("active").waitFor();
    expect(await row.textContent()).not.toContain("it misbehaves");
    expect((await cli(["agent", "freeze", "frosty", "--reason", HOSTILE], env)).status).toBe(0);
    await go("/agents", "Agents");
    await row.getByText(/frozen by socket .*: <img src=x/).waitFor();
    const itsFreezes = "kind = 'agent.frozen' AND subject = 'frosty'";
    await tamper(database, "UPDATE", "audit_events", itsFreezes, "SET detail = 'no JSON'");
    await go("/agents", "Agents");
    await row.getByText(/frozen by socket .*: no JSON/).waitFor();
    await tamper(database, "DELETE FROM", "audit_events", itsFreezes);
    await database.end();
    await go("/agents", "Agents");
    await row.getByText("no longer in the database").waitFor();
    await expectAccessible(page);
  });

  test("a bypass is set with a reason and an end, and stands on every page until it is cleared", async () => {
    await go("/bypass", "Circuit bypass");
    await page.getByRole("button", { name: "Set a bypass" }).click();
    await page.getByLabel("Agent", { exact: true }).fill("racer");
    await page.getByLabel("Tools", { exact: true }).fill("gmail.send_email");
    await page.getByLabel("Reason").fill("the mail must go out");
    await page.getByRole("button", { name: "Set the bypass" }).click();
    const banner = page.getByText("Bypass in force: racer");
    await banner.waitFor();
    // In sight on each page, also for who comes from the end of a long one.
    await page.setViewportSize({ width: 1280, height: 400 });
    for (const title of [
      "Overview",
      "Decisions",
      "Executions",
      "Reviews",
      "Circuits",
      "Agents",
      "Policies",
      "Audit",
      "Bypass",
    ]) {
      await page.getByRole("link", { name: new RegExp(`^${title}`) }).press("Enter");
      await page.getByRole("heading", { level: 1, name: new RegExp(title, "i") }).waitFor();
      await eventually(async () => (await banner.boundingBox())?.y ?? -1).toBeGreaterThanOrEqual(0);
      await page.locator("main > :last-child").evaluate((end) => end.scrollIntoView(false));
    }
    await page.setViewportSize({ width: 1280, height: 720 });
    await go("/bypass", "Circuit bypass");
    await page.getByRole("button", { name: "clear the bypass of racer" }).click();
    await page.getByLabel("Reason").fill("it is over");
    await page.getByRole("button", { name: "Clear it" }).click();
    await banner.waitFor({ state: "detached" });
  });

  test("a viewer sees everything and is offered no change", { tags: ["full"] }, async () => {
    const viewing = await signIn(browser, service.adminUrl, VIEWER);
    await viewing.goto(`${service.adminUrl}/agents`);
    await viewing.getByRole("row", { name: /racer/ }).waitFor();
    expect(await viewing.getByRole("button", { name: /freeze|revoke|Create/ }).count()).toBe(0);
    await viewing.context().close();
  });

  test("a session that ends in mid-form loses no typed text", { tags: ["full"] }, async () => {
    const first = await signIn(browser, service.adminUrl, OPERATOR);
    await first.goto(`${service.adminUrl}/agents`);
    await first.getByRole("button", { name: "freeze racer" }).click();
    await first.getByLabel("Reason").fill("a long and careful reason");
    await first.context().clearCookies();
    await first.getByRole("button", { name: "Freeze", exact: true }).click();
    await first.getByText("Your session has ended").waitFor();
    await first.getByLabel("Name").fill(OPERATOR.name);
    await first.getByLabel("Password").fill(OPERATOR.password);
    await first.getByRole("button", { name: "Sign in" }).click();
    await first.getByText("Your session has ended").waitFor({ state: "detached" });
    expect(await first.getByLabel("Reason").inputValue()).toBe("a long and careful reason");
    await first.context().close();
  });

  test.each([{ colorScheme: "light" }, { colorScheme: "dark", viewport: { width: 390, height: 844 } }] as const)(
    "axe finds nothing on any page, %o",
    { tags: ["full"] },
    async (options) => {
      const looking = await signIn(browser, service.adminUrl, OPERATOR, options);
      for (const path of PATHS) {
        await looking.goto(`${service.adminUrl}${path}`);
        await looking.getByRole("heading", { level: 1 }).waitFor();
        await expectAccessible(looking);
      }
      await looking.context().close();
    },
  );

  test("an address made by hand shows what is wrong with it, and breaks nothing", { tags: ["full"] }, async () => {
    let asked = 0;
    page.on("request", (request) => (asked += request.url().endsWith("/GetDecision") ? 1 : 0));
    for (const [path, said] of [
      ["/decisions/no-such-id", /decision_id|UUID/],
      ["/decisions/0195e0b2-7a3b-7c1d-8a2b-1234567890ab", /no decision/i],
      ["/reviews/0195e0b2-7a3b-7c1d-8a2b-1234567890ab", /no review/i],
      ["/reviews/%3Cscript%3Ealert(1)%3C%2Fscript%3E", /review_id|UUID/],
      ["/circuits/nobody", /no agent/i],
      [`/circuits/${"x".repeat(5000)}`, /no agent|agent_id/i],
      ["/decisions/%E0%A4%A", /decision_id|UUID/],
      ["/decisions?agent=Nobody", /agent's id/],
      ["/decisions?decision=nonsense&since=9y&reason=%00&agent=nobody", /No decision matches/],
    ] as const) {
      await page.goto(`${service.adminUrl}${path}`);
      await page.locator("main").getByText(said).first().waitFor();
    }
    // What was answered for good is not asked again: one for each address of a decision.
    expect(asked).toBe(3);
  });

  test("a filter that means nothing is told where decisions are followed live, and is taken for no outage", {
    tags: ["full"],
  }, async () => {
    await go("/", "Overview");
    let streams = 0;
    page.on("request", (request) => void (request.url().endsWith("/WatchAdmin") && streams++));
    await page.goto(`${service.adminUrl}/decisions?live=1&tool=g*`);
    await page.getByRole("alert").getByText("must be an exact name").waitFor();
    // The one that is refused, and the one that goes on; what looks like an outage would be shown by then.
    await eventually(() => streams).toBeGreaterThan(1);
    expect(await page.getByText("What you see may be out of date.").count()).toBe(0);
    await page.getByLabel("Tool", { exact: true }).fill("gmail.*");
    await page.getByText(/Following: \d+ new/).waitFor();
  });

  test("the largest payload that is accepted is shown in part, and the page stays quick", {
    tags: ["full"],
  }, async () => {
    const answered = (await email("large", { payload: { note: "x".repeat(255 * 1024) } })) as {
      body: { decisionId: string };
    };
    await go(`/decisions/${answered.body.decisionId}`, "Decision");
    await page.getByText("the rest is not shown here").waitFor();
    expect((await page.locator("main").textContent())?.length).toBeLessThan(150_000);
  });

  test("its scripts are less than 250 kB compressed, and all of them are its own", async () => {
    const index = await (await fetch(service.adminUrl)).text();
    const scripts = [...index.matchAll(/<script[^>]* src="([^"]+)"/g)].map(([, source]) => source ?? "");
    expect(scripts.length).toBeGreaterThan(0);
    const built = join(import.meta.dirname, "../../dist/dashboard");
    for (const source of scripts) expect(existsSync(join(built, source))).toBe(true);
    const files = readdirSync(join(built, "assets")).filter((name) => name.endsWith(".js"));
    const sizes = files.map((name) => gzipSync(readFileSync(join(built, "assets", name))).length);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(250_000);
  });

  test("when the service is gone the page says so, and recovers by itself", async () => {
    await go("/", "Overview");
    const { dataDir } = service;
    await service.kill("SIGKILL");
    await page.getByText("What you see may be out of date.").waitFor();
    service = await startService({
      ...cluster.env,
      DATACRAWL_DATA_DIR: dataDir,
      DATACRAWL_ADMIN_ADDR: new URL(service.adminUrl).host,
    });
    await page.getByText("What you see may be out of date.").waitFor({ state: "detached", timeout: 40_000 });
  });
});
