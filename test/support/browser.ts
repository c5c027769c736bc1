import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { expect } from "vitest";
import { cleanEnv } from "./service.ts";

const ROOT = join(import.meta.dirname, "../..");
const CANDIDATES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Null where the machine has none. */
export function chromiumPath(): string | null {
  return CANDIDATES.find((path) => existsSync(path)) ?? null;
}

/** Builds the dashboard as it is now, so that no old one is tested. */
export function buildDashboard(): void {
  const { status, stderr } = spawnSync("npm", ["run", "--silent", "build:dashboard"], {
    cwd: ROOT,
    env: cleanEnv(),
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`the dashboard could not be built: ${stderr}`);
}

export async function openBrowser(path: string): Promise<Browser> {
  // Root, as which CI runs, gets no sandbox from Chromium.
  return await chromium.launch({ executablePath: path, args: ["--no-sandbox"] });
}

export interface Operator {
  readonly name: string;
  readonly password: string;
}

/** A page of an operator who has signed in. Fails the test if the page logs an error or throws, but for those that are `expected`. */
export async function signIn(
  browser: Browser,
  url: string,
  operator: Operator,
  options: BrowserContextOptions = {},
): Promise<Page> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  await page.goto(url);
  await page.getByLabel("Name").fill(operator.name);
  await page.getByLabel("Password").fill(operator.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
  return page;
}

/** What axe finds wrong with the page as it is shown now, by rule. The content security policy stays as it is for the page. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  // Through the debugger: the page itself would not run a script of ours.
  await page.evaluate(axe.source);
  const found = await page.evaluate(
    async () =>
      await (globalThis as unknown as { axe: typeof axe }).axe.run({
        runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"],
      }),
  );
  return found.violations.map(({ id, help, nodes }) => `${id}: ${help} (${nodes[0]?.html})`);
}

export async function expectAccessible(page: Page): Promise<void> {
  expect(await accessibilityProblems(page)).toEqual([]);
}
