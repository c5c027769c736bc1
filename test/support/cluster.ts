import { inject } from "vitest";
import { makeDatabase } from "./postgres.ts";
import { type Env, runCli, tempDir } from "./service.ts";

/** What several service processes share: a database with two logins, keys, an agent; and optionally a Redis. */
export interface Cluster {
  readonly env: Env;
  readonly agentKey: string;
  readonly superUrl: string;
}

/** Null where the machine has no Postgres. */
export async function makeCluster(extra: Env = {}): Promise<Cluster | null> {
  const server = inject("postgresUrl");
  if (server === null) return null;
  const { ownerUrl, serviceUrl, superUrl } = await makeDatabase(server);
  const env: Env = {
    DATABASE_URL: serviceUrl,
    DATABASE_OWNER_URL: ownerUrl,
    DATACRAWL_KEYS_DIR: tempDir(),
    ...extra,
  };
  must(runCli(["keys", "init"], env));
  must(runCli(["migrate"], env));
  return { env, agentKey: makeAgent("racer", env), superUrl };
}

export function makeAgent(id: string, env: Env): string {
  const { stdout } = must(
    runCli(["agent", "create", id, "--json"], { ...env, DATACRAWL_DATA_DIR: env["DATACRAWL_DATA_DIR"] ?? tempDir() }),
  );
  return (JSON.parse(stdout) as { key: string }).key;
}

function must<Result extends { status: number | null; stderr: string }>(result: Result): Result {
  if (result.status !== 0) throw new Error(`exit ${result.status}: ${result.stderr}`);
  return result;
}
