import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Locator, type Page } from "playwright-core";
import { expect } from "vitest";
import { cleanEnv } from "./service.ts";

const ROOT = join(import.meta.dirname, "../..");
const CANDIDATES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Null where the machine has none. */
export function chromiumPath(): string | null {
  return CANDIDATES.find((path) => existsSync(path)) ?? null;
}

const SOURCES = ["dashboard", "gen", "package-lock.json"];

/** Builds the dashboard if what it is made of is newer, so that no old one is tested. Once for all suites: they read what it writes. */
export function buildDashboard(): void {
  const built = join(ROOT, "dist/dashboard/index.html");
  const newest = Math.max(...SOURCES.map((path) => newestIn(join(ROOT, path))));
  if (existsSync(built) && statSync(built).mtimeMs > newest) return;
  const { status, stderr } = spawnSync("npm", ["run", "--silent", "build:dashboard"], {
    cwd: ROOT,
    env: cleanEnv(),
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`the dashboard could not be built: ${stderr}`);
}

function newestIn(path: string): number {
  const { mtimeMs } = statSync(path);
  if (!statSync(path).isDirectory()) return mtimeMs;
  return Math.max(mtimeMs, ...readdirSync(path).map((name) => newestIn(join(path, name))));
}

export async function openBrowser(path: string, args: readonly string[] = []): Promise<Browser> {
  // Root, as which CI runs, gets no sandbox from Chromium.
  return await chromium.launch({ executablePath: path, args: ["--no-sandbox", ...args] });
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

/** Moves to `target` as somebody without a mouse does. */
export async function tabTo(page: Page, target: Locator): Promise<void> {
  await target.waitFor();
  for (let n = 0; n < 200; n++) {
    if ((await target.and(page.locator(":focus")).count()) === 1) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`no key leads to ${String(target)}`);
}

/** Moves to a button or link, in the topmost dialog where several have the name, and uses it. */
export async function press(page: Page, role: "button" | "link", name: string | RegExp): Promise<void> {
  await tabTo(page, page.getByRole(role, { name, exact: true }).last());
  await page.keyboard.press("Enter");
}

/** Moves to a field, and types. */
export async function type(page: Page, label: string, text: string): Promise<void> {
  await tabTo(page, page.getByLabel(label, { exact: true }));
  await page.keyboard.type(text);
}

/** As `expect.poll`, with the patience that a loaded machine needs. */
export function eventually<Value>(read: () => Value | Promise<Value>): ReturnType<typeof expect.poll<Value>> {
  return expect.poll(read);
}
