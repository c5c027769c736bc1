import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { answersHttp, type Child, freePort, run, start } from "../support/child.ts";
import type { Postgres, Redis } from "../support/stores.ts";
import type { Peer } from "./peer.ts";
import { untilAnswering } from "./probe.ts";
import { AGENT, AUTHORIZE_PATH, authorizeRequest, policyYaml } from "./question.ts";

/** As `npm start` runs the service. */
const HEAP = ["--max-semi-space-size=16"];
const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export interface Datacrawl {
  /** Also the name of its database. */
  readonly name: string;
  readonly rules: number;
  readonly nodeArguments?: readonly string[];
}

/** Starts the service as on one machine: Postgres with its two logins, Redis, keys in files, no limit on the agent's rate. */
export async function startDatacrawl(
  stack: AsyncDisposableStack,
  directory: string,
  stores: { readonly postgres: Postgres; readonly redis: Redis },
  { name, rules, nodeArguments = [] }: Datacrawl,
): Promise<Peer> {
  const { owner, service } = await stores.postgres.createDatabase(name);
  const { environment, grpcPort, connectPort } = await configure(join(directory, name), rules);
  const env = { ...environment, DATABASE_URL: service, DATABASE_OWNER_URL: owner, REDIS_URL: stores.redis.url };
  await datacrawl(["keys", "init"], env);
  await datacrawl(["migrate"], env);
  const server = serve(stack, env, nodeArguments, join(directory, `${name}.log`));
  await server.untilReady(() => answersHttp(`http://127.0.0.1:${connectPort}/readyz`));
  const { key }: { key: string } = JSON.parse(await datacrawl(["agent", "create", AGENT, "--json"], env));
  const peer: Peer = {
    name,
    port: grpcPort,
    path: AUTHORIZE_PATH,
    metadata: { authorization: `Bearer ${key}` },
    request: authorizeRequest(),
    expected: "authorize",
    processes: { service: server.pid, postgres: stores.postgres.pid, redis: stores.redis.pid },
  };
  await untilAnswering(server, peer);
  return peer;
}

/** Seconds from the command to ready on the embedded store: on an empty data directory, and on the same one again. */
export async function startTimes(
  outer: AsyncDisposableStack,
  directory: string,
): Promise<{ readonly first: number; readonly second: number }> {
  const { environment, connectPort } = await configure(directory, 10);
  const toReady = async (): Promise<number> => {
    await using stack = outer.use(new AsyncDisposableStack());
    const startedAt = performance.now();
    const server = serve(stack, environment, [], `${directory}.log`);
    await server.untilReady(() => answersHttp(`http://127.0.0.1:${connectPort}/readyz`));
    return (performance.now() - startedAt) / 1000;
  };
  return { first: await toReady(), second: await toReady() };
}

function serve(
  stack: AsyncDisposableStack,
  env: Record<string, string>,
  nodeArguments: readonly string[],
  logFile: string,
): Child {
  const args = [...HEAP, ...nodeArguments, MAIN, "serve"];
  return start(stack, { name: "datacrawl serve", file: process.execPath, args, env }, logFile);
}

function datacrawl(args: readonly string[], env: Record<string, string>): Promise<string> {
  return run({ name: `datacrawl ${args.join(" ")}`, file: process.execPath, args: [MAIN, ...args], env });
}

async function configure(directory: string, rules: number) {
  const policies = join(directory, "policies");
  mkdirSync(policies, { recursive: true });
  writeFileSync(join(policies, "bench.yaml"), policyYaml(rules));
  const [grpcPort, connectPort, adminPort] = [await freePort(), await freePort(), await freePort()];
  const environment = {
    DATACRAWL_DATA_DIR: join(directory, "data"),
    DATACRAWL_POLICY_DIR: policies,
    DATACRAWL_GRPC_ADDR: `127.0.0.1:${grpcPort}`,
    DATACRAWL_CONNECT_ADDR: `127.0.0.1:${connectPort}`,
    DATACRAWL_ADMIN_ADDR: `127.0.0.1:${adminPort}`,
    DATACRAWL_AGENT_RATE: "0",
    DATACRAWL_LOG_LEVEL: "warn",
  };
  return { environment, grpcPort, connectPort };
}
