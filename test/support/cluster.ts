import { inject } from "vitest";
import { makeMigratedDatabase } from "./postgres.ts";
import { type CliResult, cli } from "./cli.ts";
import { type Env, tempDir } from "./service.ts";

/** What several service processes share: a database with two logins, keys, an agent; and optionally a Redis. */
export interface Cluster {
  readonly env: Env;
  readonly agentKey: string;
  readonly superUrl: string;
}

/** Null where the machine has no Postgres. @param server of a superuser; by default the one that all suites share */
export async function makeCluster(extra: Env = {}, server = inject("postgresUrl")): Promise<Cluster | null> {
  if (server === null) return null;
  const { ownerUrl, serviceUrl, superUrl } = await makeMigratedDatabase(server);
  const env: Env = {
    DATABASE_URL: serviceUrl,
    DATABASE_OWNER_URL: ownerUrl,
    DATACRAWL_KEYS_DIR: tempDir(),
    ...extra,
  };
  must(await cli(["keys", "init"], env));
  must(await cli(["migrate"], env));
  return { env, agentKey: await makeAgent("racer", env), superUrl };
}

/** @returns its key */
export async function makeAgent(id: string, env: Env): Promise<string> {
  const { stdout } = must(
    await cli(["agent", "create", id, "--json"], {
      ...env,
      DATACRAWL_DATA_DIR: env["DATACRAWL_DATA_DIR"] ?? tempDir(),
    }),
  );
  return (JSON.parse(stdout) as { key: string }).key;
}

function must(result: CliResult): CliResult {
  if (result.status !== 0) throw new Error(`exit ${result.status}: ${result.stderr}`);
  return result;
}
