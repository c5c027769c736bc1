/**
 * `npm run bench:paint`: how soon a person sees something. Opens the dashboard of the package as it is installed, on the embedded
 * store, in Chromium, and prints the browser's own paint timings. Starts and stops all it needs. See docs/benchmarks.md.
 */
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { isoMicros, systemClock } from "../src/core/clock.ts";
import { run } from "./support/child.ts";
import type { Figure } from "./report.ts";
import { type EmbeddedService, startEmbedded } from "./support/embedded.ts";
import { commit, describeBrowserMachine } from "./support/machine.ts";
import { progress, runProgram } from "./support/program.ts";
import { median } from "./support/statistics.ts";

const USAGE = `Usage: npm run bench:paint -- [--quick] [--json] [--write]

  --quick   five loads of each page: to see that all works
  --json    the results with every load on stdout instead of the table
  --write   put the table into docs/benchmarks.md
`;

const CHROMIUM = "/usr/bin/chromium";
const PASSWORD = "correct horse battery";
const DECISIONS = 1_000;
/** Each with what stands there when its first answers have come. */
const PAGES = [
  { name: "sign-in", path: "/", shows: "form" },
  { name: "overview", path: "/", shows: ".figure, table" },
  { name: "decisions", path: "/decisions", shows: "table" },
  { name: "policies", path: "/policies", shows: ".rule, details" },
  { name: "audit", path: "/audit", shows: ".facts" },
] as const;

/** Milliseconds since the navigation began. */
interface Timing {
  readonly firstPaint: number;
  readonly content: number;
}

interface Row {
  readonly name: string;
  readonly cold: readonly Timing[];
  readonly warm: readonly Timing[];
}

interface PaintResults {
  readonly at: string;
  readonly commit: string;
  readonly machine: Record<string, string>;
  readonly rounds: number;
  readonly rows: readonly Row[];
}

async function measureAll(stack: AsyncDisposableStack, directory: string, rounds: number): Promise<PaintResults> {
  const at = isoMicros(systemClock.now());
  const service = await startEmbedded(stack, directory);
  const add = 'printf %s "$1" | "$2" operator add ann --role operator --password-stdin';
  await run({ name: "operator add", file: "sh", args: ["-c", add, "sh", PASSWORD, service.command], env: service.env });
  await decide(service);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  stack.defer(() => browser.close());
  const rows: Row[] = [];
  for (const page of PAGES) {
    progress(`${page.name}, ${rounds} times`);
    rows.push(await measure(browser, service, page, rounds));
  }
  return { at, commit: await commit(), machine: await describeBrowserMachine(CHROMIUM), rounds, rows };
}

/** So that there is something to see. */
async function decide({ connectUrl, agentKey }: EmbeddedService): Promise<void> {
  for (let n = 0; n < DECISIONS; n++) {
    const response = await fetch(`${connectUrl}/datacrawl.authz.v1.AuthorizeService/Authorize`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${agentKey}` },
      body: JSON.stringify({
        tool: "stripe.refund",
        payload: { amount: (n * 37) % 6000, currency: "EUR" },
        idempotencyKey: `refund-${n}`,
      }),
    });
    if (!response.ok) throw new Error(`a decision failed: ${await response.text()}`);
    await response.arrayBuffer();
  }
}

async function measure(
  browser: Browser,
  service: EmbeddedService,
  { name, path, shows }: (typeof PAGES)[number],
  rounds: number,
): Promise<Row> {
  const session = name === "sign-in" ? null : await signIn(browser, service);
  const cold: Timing[] = [];
  const warm: Timing[] = [];
  for (let round = 0; round < rounds; round++) {
    // A context of its own has seen nothing: no file of the page is in its cache.
    const context = await browser.newContext(session === null ? {} : { storageState: session });
    const page = await context.newPage();
    cold.push(await open(page, `${service.adminUrl}${path}`, shows));
    warm.push(await open(page, `${service.adminUrl}${path}`, shows));
    await context.close();
  }
  return { name, cold, warm };
}

async function signIn(
  browser: Browser,
  { adminUrl }: EmbeddedService,
): Promise<Awaited<ReturnType<BrowserContext["storageState"]>>> {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(adminUrl);
  await page.getByLabel("Name").fill("ann");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
  const state = await context.storageState();
  await context.close();
  return state;
}

async function open(page: Page, url: string, shows: string): Promise<Timing> {
  await page.goto(url);
  await page.waitForSelector(shows);
  const content = await page.evaluate<number>("performance.now()");
  const firstPaint = await page.evaluate<number>(
    "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Number.NaN",
  );
  return { firstPaint, content };
}

function figures({ rows }: PaintResults): Figure[] {
  const worst = Math.max(...rows.flatMap(({ cold, warm }) => [...cold, ...warm]).map(({ firstPaint }) => firstPaint));
  return [{ name: "first paint of any page, the worst", value: worst, unit: "ms", target: { atMost: 1000 } }];
}

function markdown({ at, commit: source, machine, rounds, rows }: PaintResults): string {
  const described = Object.entries(machine).map(([name, what]) => `${name} ${what}`);
  const head = [
    "page",
    "first paint, nothing cached",
    "worst",
    "cached",
    "worst",
    "first answers, nothing cached",
    "cached",
  ];
  const lines = rows.map(({ name, cold, warm }) => {
    const paints = [cold, warm].map((timings) => timings.map(({ firstPaint }) => firstPaint));
    const answers = [cold, warm].map((timings) => median(timings.map(({ content }) => content)));
    return [name, ...paints.flatMap((times) => [median(times), Math.max(...times)]), ...answers];
  });
  const cells = [head, head.map(() => "---"), ...lines].map((line) =>
    line.map((cell) => (typeof cell === "number" ? `${Math.round(cell)} ms` : cell)),
  );
  const table = cells.map((line) => `| ${line.join(" | ")} |`).join("\n");
  return `Measured ${at}, commit ${source}: ${described.join("; ")}. Medians of ${rounds} loads.\n\n${table}`;
}

await runProgram<PaintResults>({
  usage: USAGE,
  marker: "paint measured",
  filePrefix: "paint-",
  measure: (stack, directory, { quick }) => measureAll(stack, directory, quick ? 5 : 15),
  figures,
  markdown,
  problem: () => null,
});
