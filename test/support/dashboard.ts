import { type Browser, type BrowserContextOptions, type Page } from "playwright-core";
import { inject } from "vitest";
import { openBrowser, type Operator, signIn, type } from "./browser.ts";
import { type Cluster, makeCluster } from "./cluster.ts";
import { addReviewer, REVIEWER_PASSWORD } from "./reviewers.ts";
import { discard, type Env, type ServiceProcess, startService } from "./service.ts";

const ROLES = { ann: "operator", olga: "operator", rob: "reviewer", vic: "viewer" } as const;

/** A service on Postgres and Redis, the accounts of four people, and a browser. */
export interface Dashboard {
  readonly cluster: Cluster;
  readonly browser: Browser;
  readonly url: string;
  service: ServiceProcess;
  /** A page of somebody who has signed in. */
  signIn(name: keyof typeof ROLES, options?: BrowserContextOptions): Promise<Page>;
  /** Starts the service again, at the same addresses. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export const hasDashboard = (): boolean =>
  inject("postgresUrl") !== null && inject("redisUrl") !== null && inject("chromiumPath") !== null;

export function personNamed(name: keyof typeof ROLES): Operator {
  return { name, password: REVIEWER_PASSWORD };
}

/** Into the form that comes up over what somebody was doing. */
export async function signInAgain(page: Page, who: "ann" | "rob"): Promise<void> {
  const { name, password } = personNamed(who);
  await type(page, "Name", name);
  await type(page, "Password", password);
  await page.keyboard.press("Enter");
}

export async function openDashboard(extra: Env = {}): Promise<Dashboard> {
  const cluster = (await makeCluster({ REDIS_URL: inject("redisUrl") as string, ...extra })) as Cluster;
  const service = await startService(cluster.env);
  const { dataDir, adminUrl } = service;
  for (const [name, role] of Object.entries(ROLES)) {
    await addReviewer(name, { ...cluster.env, DATACRAWL_DATA_DIR: dataDir }, role);
  }
  const browser = await openBrowser(inject("chromiumPath") as string);
  const dashboard: Dashboard = {
    cluster,
    browser,
    url: adminUrl,
    service,
    signIn: (name, options) => signIn(browser, adminUrl, personNamed(name), options),
    async restart() {
      dashboard.service = await startService({
        ...cluster.env,
        DATACRAWL_DATA_DIR: dataDir,
        DATACRAWL_GRPC_ADDR: `127.0.0.1:${service.grpcPort}`,
        DATACRAWL_CONNECT_ADDR: `127.0.0.1:${service.connectPort}`,
        DATACRAWL_ADMIN_ADDR: new URL(adminUrl).host,
      });
    },
    async close() {
      await browser.close();
      await discard(dashboard.service);
    },
  };
  return dashboard;
}
