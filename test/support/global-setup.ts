import type { TestProject } from "vitest/node";
import { startPostgres } from "./postgres.ts";
import { startRedis } from "./redis.ts";

/** Servers that the suites share; each suite takes a database of its own in them. Null where the machine has none. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const postgres = await startPostgres();
  const redis = await startRedis();
  project.provide("postgresUrl", postgres?.url ?? null);
  project.provide("redisUrl", redis?.url ?? null);
  for (const [name, server] of [
    ["Postgres", postgres],
    ["Redis", redis],
  ] as const) {
    if (server !== null) continue;
    const missing = `no ${name} found: its suites cannot run (install it, or set TEST_DATABASE_URL / TEST_REDIS_URL)`;
    // Under CI a skipped suite is a failure.
    if (process.env["CI"] === "true") throw new Error(missing);
    process.stderr.write(`\nSKIPPED: ${missing}\n\n`);
  }
  return async () => {
    await postgres?.stop();
    await redis?.stop();
  };
}

declare module "vitest" {
  export interface ProvidedContext {
    postgresUrl: string | null;
    redisUrl: string | null;
  }
}
