// @module-tag full
import pg from "pg";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, type } from "../support/browser.ts";
import { type Dashboard, hasDashboard, openDashboard } from "../support/dashboard.ts";
import { ask } from "../support/service.ts";

const [AGENTS, DECISIONS, BURST] = [1_200, 20_000, 400];
/** A page of a hundred rows has some two thousand elements. */
const MOST_ELEMENTS = 3_500;

/** As many as a large deployment has, scaled down to what a test may take; a million were tried by hand (docs/dashboard.md). */
describe.skipIf(!hasDashboard())("the dashboard with much to show", () => {
  let dashboard: Dashboard;
  let page: Page;

  beforeAll(async () => {
    dashboard = await openDashboard();
    await fill(dashboard.cluster.superUrl);
    page = await dashboard.signIn("ann");
  });
  afterAll(async () => await dashboard?.close());

  const go = async (path: string): Promise<void> => {
    await page.goto(`${dashboard.url}${path}`);
    await eventually(() => page.locator(".loading").count()).toBe(0);
  };
  const elements = (): Promise<number> => page.evaluate<number>("document.querySelectorAll('*').length");
  const rows = (): Promise<number> => page.locator("tbody tr").count();

  test.each([
    "/",
    "/decisions",
    "/decisions?live=1",
    "/reviews",
    "/circuits",
    "/bypass",
    "/agents",
    "/policies",
    "/audit",
  ])("%s stays small", async (path) => {
    await go(path);
    expect(await page.locator("main").getByRole("alert").count()).toBe(0);
    expect(await elements()).toBeLessThan(MOST_ELEMENTS);
  });

  test("agents come in pages, and one among them is found by the beginning of its id", async () => {
    await go("/agents");
    expect(await rows()).toBe(100);
    await page.getByRole("button", { name: "Show more" }).click();
    await eventually(rows).toBe(200);
    await type(page, "Id begins with", "agent-11");
    await eventually(rows).toBe(100);
    await page.keyboard.type("77");
    await eventually(rows).toBe(1);
    await page.getByRole("link", { name: "agent-1177" }).waitFor();
  });

  test("circuits come in pages, and those that are open are found among all", async () => {
    await go("/circuits");
    expect(await rows()).toBe(100);
    await page.getByRole("button", { name: "Show more" }).click();
    await eventually(rows).toBe(200);
    await page.getByLabel("Show").selectOption("open");
    await eventually(rows).toBe(1);
    await page.getByRole("link", { name: `agent-${AGENTS}` }).waitFor();
  });

  test("a bypass that is in force is shown before any number of newer ones that have ended", async () => {
    await go("/bypass");
    await eventually(rows).toBe(101);
    await page.getByRole("row").nth(1).getByText("the one that still acts").waitFor();
    await page.getByRole("button", { name: "Show more" }).click();
    await eventually(rows).toBe(201);
  });

  test("the one decision that matches is found among all, and searching costs one call for each pause in the typing", async () => {
    await go("/decisions");
    const calls: string[] = [];
    page.on("request", (request) => void (request.url().endsWith("/ListDecisions") && calls.push(request.url())));
    await type(page, "Text", `key-${DECISIONS}-last`);
    await eventually(rows).toBe(1);
    // Each letter would be a search of the whole trail.
    expect(calls.length).toBeLessThan(5);
    await page.getByRole("link", { name: "the oldest of them all" }).waitFor();
    await go("/decisions");
    for (const shown of [50, 100, 150]) {
      await eventually(rows).toBe(shown);
      await page.getByRole("button", { name: "Show more" }).click();
    }
  });

  test("the live tail does not grow with what it follows", async () => {
    await go("/decisions?live=1");
    await page.getByText(/Following: 0 new/).waitFor();
    for (let n = 0; n < BURST; n += 50) await Promise.all(Array.from({ length: 50 }, (_, i) => decide(n + i)));
    await page.getByText(/Following: 200 new/).waitFor();
    expect(await rows()).toBe(100);
    expect(await elements()).toBeLessThan(MOST_ELEMENTS);
  });

  const decide = async (n: number): Promise<void> => {
    const request = { tool: "stripe.refund", payload: { amount: 5, currency: "EUR" }, idempotencyKey: `burst-${n}` };
    const { status } = await ask(dashboard.service.connectUrl, dashboard.cluster.agentKey, request);
    expect(status).toBe(200);
  };
});

/** Straight into the tables: what they look like matters here, not how they came. */
async function fill(superUrl: string): Promise<void> {
  const database = new pg.Client(superUrl);
  await database.connect();
  await database.query(
    `INSERT INTO agents (agent_id, state, changed)
     SELECT 'agent-' || lpad(n::text, 4, '0'), 'active', 1 FROM generate_series(1, ${AGENTS}) n`,
  );
  await database.query(
    `INSERT INTO guard_circuits SELECT 'agent-' || lpad(n::text, 4, '0'), gen_random_uuid(),
       '{"state":"CIRCUIT_STATE_' || CASE WHEN n = ${AGENTS} THEN 'OPEN' ELSE 'CLOSED' END || '"}' FROM generate_series(1, ${AGENTS}) n`,
  );
  await database.query(
    `INSERT INTO circuit_orders (agent_id, epoch, grant_id, operator, reason, issued_at, expires_at, token)
     SELECT 'agent-' || lpad(n::text, 4, '0'), 1, gen_random_uuid(), 'operator:ann',
       CASE WHEN n = ${AGENTS} THEN 'the one that still acts' ELSE 'over' END, now() - n * interval '1 second',
       CASE WHEN n = ${AGENTS} THEN now() + interval '1 hour' ELSE now() END, 'none' FROM generate_series(1, ${AGENTS}) n`,
  );
  await database.query(
    `INSERT INTO audit_decisions (decision_id, recorded_at, source, agent_id, tool, idempotency_key, decision, reason,
       message, rule_id, policy_version, request_digest, payload_digest, decided_at, hash)
     SELECT gen_random_uuid(), now() - n * interval '1 second', 'service', 'agent-' || lpad((1 + n % ${AGENTS})::text, 4, '0'),
       'gmail.send_email', CASE WHEN n = ${DECISIONS} THEN 'key-' || n || '-last' ELSE 'key-' || n END, 'allow', 'RULE_ALLOWED',
       CASE WHEN n = ${DECISIONS} THEN 'the oldest of them all' ELSE 'one of many' END, 'email-inside', 'sha256:' || repeat('a', 64),
       decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), now(), decode(repeat('00', 32), 'hex')
     FROM generate_series(1, ${DECISIONS}) n`,
  );
  await database.end();
}
