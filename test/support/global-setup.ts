import { chmodSync, mkdirSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { buildDashboard, chromiumPath } from "./browser.ts";
import { SEED } from "./chance.ts";
import { startPostgres } from "./postgres.ts";
import { startRedis } from "./redis.ts";

/** Servers that the suites share; each suite takes a database of its own in them. Null where the machine has none. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const temporary = useMemoryForFiles();
  // Hundreds of processes load the same sources; to strip and compile them again takes each a second.
  process.env["NODE_COMPILE_CACHE"] = join(import.meta.dirname, "../../node_modules/.cache/datacrawl/compiled");
  process.stderr.write(`seed ${SEED} (DATACRAWL_TEST_SEED sets another)\n`);
  const postgres = await startPostgres();
  const redis = await startRedis();
  project.provide("postgresUrl", postgres?.url ?? null);
  project.provide("redisUrl", redis?.url ?? null);
  project.provide("chromiumPath", chromiumPath());
  if (chromiumPath() !== null) buildDashboard();
  for (const [name, found, remedy] of [
    ["Postgres", postgres, "install it, or set TEST_DATABASE_URL"],
    ["Redis", redis, "install it, or set TEST_REDIS_URL"],
    ["Chromium", chromiumPath(), "install it"],
  ] as const) {
    if (found !== null) continue;
    const missing = `no ${name} found: its suites cannot run (${remedy})`;
    // Under CI a skipped suite is a failure.
    if (process.env["CI"] === "true") throw new Error(missing);
    process.stderr.write(`\nSKIPPED: ${missing}\n\n`);
  }
  return async () => {
    failIfKept();
    await postgres?.stop();
    await redis?.stop();
    if (temporary !== null) rmSync(temporary, { recursive: true, force: true });
  };
}

const MEMORY = "/dev/shm";
const TMPFS = 0x01021994;
/** Databases of a run take some 2 GiB. */
const ENOUGH_BYTES = 6 * 2 ** 30;

/**
 * Puts temporary files into memory, where a flush costs nothing: on a disk, tests wait for it a third of their time. None of them
 * stops the machine, so none could see the difference. Null where there is no such place, or not enough of it.
 */
function useMemoryForFiles(): string | null {
  if (process.env["TMPDIR"] !== undefined || process.platform !== "linux") return null;
  try {
    const { type, bavail, bsize } = statfsSync(MEMORY);
    if (type !== TMPFS || Math.min(bavail * bsize, process.availableMemory()) < ENOUGH_BYTES) return null;
    removeLeftovers();
    const directory = join(MEMORY, `datacrawl-${process.pid}`);
    mkdirSync(directory);
    // Postgres runs as another user.
    chmodSync(directory, 0o1777);
    process.env["TMPDIR"] = directory;
    return directory;
  } catch {
    return null;
  }
}

/** Of runs that were killed: it is memory that they hold. */
function removeLeftovers(): void {
  for (const name of readdirSync(MEMORY)) {
    const pid = /^datacrawl-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !readdirSync("/proc").includes(pid)) rmSync(join(MEMORY, name), { recursive: true });
  }
}

/** How long a run may take to end after its last test. Workers have up to a minute each to stop. */
const LAST_TEST_TO_END_MS = 90_000;

/** The run is over but for its end, for which vitest would wait without a limit: for as long as anybody holds a worker's output open. */
function failIfKept(): void {
  const end = (): never => {
    const kept = process.getActiveResourcesInfo().join(", ");
    process.stderr.write(`\nThe test run has not ended ${LAST_TEST_TO_END_MS / 1000} s after its last test: ${kept}\n`);
    process.exit(1);
  };
  setTimeout(end, LAST_TEST_TO_END_MS).unref();
}

declare module "vitest" {
  export interface ProvidedContext {
    postgresUrl: string | null;
    redisUrl: string | null;
    chromiumPath: string | null;
  }
}
