// @module-tag full
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { openBrowser } from "../support/browser.ts";
import { demoKey, discard, type ServiceProcess, startService } from "../support/service.ts";
import { type SidecarProcess, startSidecar } from "../support/sidecar.ts";

const chromium = inject("chromiumPath");
const AUTHORIZE = "/datacrawl.authz.v1.AuthorizeService/Authorize";
const SIGN_IN = "/datacrawl.authz.v1.SessionService/SignIn";

interface Init {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly mode?: "no-cors";
}

/** What a page can see of a request that it makes: the status, or that the browser kept the answer from it. */
type Seen = number | "hidden";

/**
 * A page that rebinds its name: `evil.test` is at 127.0.0.1 by the time its scripts make requests, so that for the browser they are
 * requests within its own site. Only the page itself is handed to the browser by the test.
 */
describe.skipIf(chromium === null)("a page of a stranger in a browser on the same machine", () => {
  let service: ServiceProcess;
  let sidecar: SidecarProcess;
  let browser: Browser;
  beforeAll(async () => {
    service = await startService();
    sidecar = await startSidecar(service.grpcPort, demoKey(service.dataDir));
    const args = [
      "--host-resolver-rules=MAP evil.test 127.0.0.1",
      // New Chromiums keep most pages from loopback by themselves. Older ones and other browsers do not.
      "--disable-features=LocalNetworkAccessChecks",
    ];
    browser = await openBrowser(chromium as string, args);
  });
  afterAll(async () => {
    await browser?.close();
    await sidecar?.kill("SIGTERM");
    await discard(service);
  });

  const pageAt = async (url: string): Promise<Page> => {
    const page = await browser.newPage();
    const html = { contentType: "text/html", body: "<title>harmless</title>" };
    await page.route(url, (route) => route.fulfill(html), { times: 1 });
    await page.goto(url);
    return page;
  };
  const request = async (page: Page, url: string, init: Init = {}): Promise<Seen> =>
    await page.evaluate(
      async ([to, options]): Promise<number | "hidden"> => {
        try {
          const { status } = await fetch(to, options);
          return status === 0 ? "hidden" : status;
        } catch {
          return "hidden";
        }
      },
      [url, init] as const,
    );
  const question = (key: string): Init => ({
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ tool: "crm.get_contact", payload: {}, idempotencyKey: key }),
  });
  /** How many questions the sidecar has answered, allowed or not. */
  const answers = async (): Promise<number> => {
    const text = await (await fetch(`${sidecar.connectUrl}/metrics`)).text();
    const lines = text.split("\n").filter((line) => line.startsWith("datacrawl_sidecar_answers_total{"));
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  };
  const portOf = (url: string): string => new URL(url).port;

  test("could ask as the sidecar's agent if it were of the sidecar's own host", async () => {
    const before = await answers();
    const page = await pageAt(`http://localhost:${portOf(sidecar.connectUrl)}/`);
    expect(await request(page, AUTHORIZE, question("own"))).toBe(200);
    expect(await answers()).toBe(before + 1);
    await page.close();
  });

  test("asks nothing of the sidecar under a name that it rebinds", async () => {
    const before = await answers();
    const page = await pageAt(`http://evil.test:${portOf(sidecar.connectUrl)}/`);
    expect(await request(page, AUTHORIZE, question("rebound"))).toBe(403);
    expect(await request(page, "/metrics")).toBe(403);
    expect(await answers()).toBe(before);
    await page.close();
  });

  test("asks nothing of the sidecar from another site or port, whatever the kind of request", async () => {
    const before = await answers();
    for (const origin of ["http://evil.test:8080/", `http://localhost:${portOf(service.connectUrl)}/`]) {
      const page = await pageAt(origin);
      for (const host of ["localhost", "127.0.0.1"]) {
        const url = `http://${host}:${portOf(sidecar.connectUrl)}${AUTHORIZE}`;
        const plain = { ...question("plain"), headers: { "content-type": "text/plain" } };
        for (const init of [question("cors"), plain, { ...plain, mode: "no-cors" as const }])
          expect(await request(page, url, init)).toBe("hidden");
      }
      await page.close();
    }
    expect(await answers()).toBe(before);
  });

  test("gets neither answers nor guesses at passwords from the service's ports under a name that it rebinds", async () => {
    const agents = await pageAt(`http://evil.test:${portOf(service.connectUrl)}/`);
    expect(await request(agents, AUTHORIZE, question("agents"))).toBe(403);
    await agents.close();
    const operators = await pageAt(`http://evil.test:${portOf(service.adminUrl)}/`);
    const guess = { ...question(""), body: JSON.stringify({ name: "alice", password: "a guess of a password" }) };
    expect(await request(operators, SIGN_IN, guess)).toBe(403);
    expect(await request(operators, "/decisions")).toBe(403);
    await operators.close();
  });

  test("may lead somebody to the dashboard, as any link may", async () => {
    const page = await pageAt("http://evil.test:8080/");
    await page.evaluate(`location.assign("${service.adminUrl}/decisions")`);
    await page.getByLabel("Password").waitFor();
    await page.close();
  });
});
