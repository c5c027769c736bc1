// @module-tag full
import pg from "pg";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { expectAccessible, openBrowser, press, signIn, tabTo, type } from "../support/browser.ts";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { waitUntil } from "../support/net.ts";
import { addReviewer, REVIEWER_PASSWORD } from "../support/reviewers.ts";
import { ask, discard, type ServiceProcess, startService } from "../support/service.ts";
import { type SidecarProcess, startSidecar } from "../support/sidecar.ts";

const [postgresUrl, redisUrl, chromium] = [inject("postgresUrl"), inject("redisUrl"), inject("chromiumPath")];
const OPERATOR = { name: "ann", password: REVIEWER_PASSWORD };

/** A sidecar, an outage, and the operator who sees both. Whatever he does here he does by keyboard alone. */
describe.skipIf(postgresUrl === null || redisUrl === null || chromium === null)("the dashboard and a sidecar", () => {
  let cluster: Cluster;
  let service: ServiceProcess;
  let sidecar: SidecarProcess;
  let browser: Browser;
  let page: Page;
  let asked = 0;

  beforeAll(async () => {
    cluster = (await makeCluster({ REDIS_URL: redisUrl as string })) as Cluster;
    service = await startService(cluster.env);
    sidecar = await startSidecar(service.grpcPort, cluster.agentKey, {
      DATACRAWL_SIDECAR_CIRCUIT_PROBE_AFTER_MS: "2000",
    });
    await addReviewer(OPERATOR.name, { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir }, "operator");
    browser = await openBrowser(chromium as string);
    page = await signIn(browser, service.adminUrl, OPERATOR);
  });
  afterAll(async () => {
    await browser?.close();
    await sidecar?.kill("SIGKILL");
    await discard(service);
  });

  const refund = async (): Promise<unknown> => {
    const request = { tool: "stripe.refund", payload: { amount: 5, currency: "EUR" } };
    const { body } = await ask(sidecar.connectUrl, "none", { ...request, idempotencyKey: `refund-${asked++}` });
    return body["reason"];
  };
  const answers = (reason: string) => async (): Promise<boolean> => (await refund()) === reason;

  test("a circuit is forced open and reset, by keyboard", async () => {
    await waitUntil(answers("REASON_RULE_ALLOWED"), 20_000, "it was not allowed at first");
    await page.goto(`${service.adminUrl}/circuits`);
    await press(page, "link", "racer");
    await page.getByRole("heading", { name: "Circuits of racer" }).waitFor();
    await press(page, "button", "Force open");
    await type(page, "Reason", "INC-7 it loops");
    await press(page, "button", "Force open");
    await page.getByText("Held open by ann").waitFor();
    await waitUntil(answers("REASON_CIRCUIT_OPEN"), 20_000, "the order did not reach the sidecar");
    await page.getByText("open (forced)").waitFor();
    await expectAccessible(page);
    await press(page, "button", "Reset");
    await type(page, "Reason", "it is mended");
    await press(page, "button", "Reset");
    await page.getByText("Held open by ann").waitFor({ state: "detached" });
    await page.getByRole("cell", { name: "it is mended" }).waitFor();
    await waitUntil(answers("REASON_RULE_ALLOWED"), 30_000, "it stayed closed off");
  });

  test("what a sidecar did under a bypass in an outage appears as soon as it is over", async () => {
    await page.goto(`${service.adminUrl}/bypass`);
    await press(page, "button", "Set a bypass");
    await type(page, "Agent", "racer");
    await type(page, "Tools", "stripe.refund");
    await tabTo(page, page.getByLabel("For how long"));
    await page.keyboard.press("ArrowDown");
    await type(page, "Reason", "refunds must go on");
    await press(page, "button", "Set the bypass");
    await page.getByText("Bypass in force: racer").waitFor();
    await waitUntil(hasGrant, 20_000, "the grant did not reach the sidecar");
    await page.goto(`${service.adminUrl}/decisions?live=1&reason=CIRCUIT_BYPASS`);
    await page.getByText("Waiting for the first decision").waitFor();

    const { dataDir } = service;
    await service.kill("SIGKILL");
    await waitUntil(answers("REASON_CIRCUIT_BYPASS"), 20_000, "no bypass acted");
    await page.getByText("What you see may be out of date.").waitFor();
    service = await startService({
      ...cluster.env,
      DATACRAWL_DATA_DIR: dataDir,
      DATACRAWL_GRPC_ADDR: `127.0.0.1:${service.grpcPort}`,
      DATACRAWL_CONNECT_ADDR: `127.0.0.1:${service.connectPort}`,
      DATACRAWL_ADMIN_ADDR: new URL(service.adminUrl).host,
    });
    // Nothing asks meanwhile: the sidecar's own probe finds the service, and uploads.
    await page.getByText("allow by bypass").first().waitFor({ timeout: 40_000 });
    expect(await page.getByText("(said by a guard)").count()).toBeGreaterThan(0);
    // Who did what under that grant; and why a guard decided alone.
    await page.locator("main").getByRole("link", { name: /grant/ }).first().click();
    await page.getByRole("link", { name: "all that was done" }).click();
    const done = page.getByRole("table");
    await done.getByText("allow by bypass").first().waitFor();
    expect(await done.getByText(/^(allow|deny|deny, outage)$/).count()).toBe(0);
    await page.goto(`${service.adminUrl}/decisions?reason=SERVICE_UNAVAILABLE`);
    await page
      .locator("main")
      .getByRole("link", { name: /The service failed/ })
      .first()
      .click();
    await page.getByRole("heading", { name: "What the guard saw of the service" }).waitFor();
    await page.getByRole("listitem").getByText("ECONNREFUSED").first().waitFor();
  });

  test("a row that somebody has changed turns the page red", async () => {
    const forger = new pg.Client(cluster.superUrl);
    await forger.connect();
    const rows = await forger.query<{ place: string; id: string }>(
      "SELECT tableoid::regclass::text AS place, decision_id::text AS id FROM audit_decisions LIMIT 1",
    );
    const { place, id } = rows.rows[0] as { place: string; id: string };
    await forger.query(`ALTER TABLE ${place} DISABLE TRIGGER ALL`);
    await forger.query(`UPDATE ${place} SET message = 'nothing to see' WHERE decision_id = $1`, [id]);
    await forger.end();
    await page.goto(`${service.adminUrl}/audit`);
    await press(page, "button", "Verify now");
    await page.getByText("The audit trail does not verify.").waitFor();
    await press(page, "link", "look at the row");
    await page.getByText("hash does not hold").waitFor();
    await page.getByText("What was recorded is leaf").waitFor();
    await page.getByText("The audit trail does not verify.").waitFor();
    expect(page.url()).toContain(id);
    await expectAccessible(page);
  });

  const hasGrant = async (): Promise<boolean> => {
    const metrics = await (await fetch(`${sidecar.connectUrl}/metrics`)).text();
    return Number(/^datacrawl_sidecar_grant_expires_seconds (\S+)$/m.exec(metrics)?.[1]) > 0;
  };
});
