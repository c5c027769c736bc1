import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { answersHttp, type Child, freePort, run, start } from "../support/child.ts";
import { installedCommand } from "../support/package.ts";
import type { Postgres, Redis } from "../support/stores.ts";
import type { Peer } from "./peer.ts";
import { untilAnswering } from "./probe.ts";
import { AGENT, AUTHORIZE_PATH, authorizeRequest, policyFiles } from "./question.ts";

export interface Datacrawl {
  /** Also the name of its database. */
  readonly name: string;
  readonly rules: number;
  readonly nodeArguments?: readonly string[];
  /** Further variables. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Stores {
  readonly postgres: Postgres;
  readonly redis: Redis;
}

/** A deployment with a database and keys; its service does not run yet. */
export interface Prepared {
  readonly name: string;
  /** The path of the `datacrawl` command. */
  readonly command: string;
  /** What its commands and its service take. */
  readonly environment: Readonly<Record<string, string>>;
  readonly grpcPort: number;
  readonly connectPort: number;
}

/** Starts the service as on one machine: Postgres with its two logins, Redis, keys in files, no limit on the agent's rate. */
export async function startDatacrawl(
  stack: AsyncDisposableStack,
  directory: string,
  stores: Stores,
  options: Datacrawl,
): Promise<Peer> {
  const prepared = await prepareDatacrawl(directory, stores, options);
  return await servePrepared(stack, directory, stores, prepared, options.nodeArguments);
}

export async function prepareDatacrawl(
  directory: string,
  { postgres, redis }: Stores,
  { name, rules, environment = {} }: Datacrawl,
): Promise<Prepared> {
  const { owner, service } = await postgres.createDatabase(name);
  const configured = await configure(join(directory, name), rules);
  const stores = { DATABASE_URL: service, DATABASE_OWNER_URL: owner, REDIS_URL: redis.url };
  const prepared: Prepared = {
    ...configured,
    name,
    command: await installedCommand(directory),
    environment: { ...configured.environment, ...stores, ...environment },
  };
  await datacrawl(prepared, ["keys", "init"]);
  await datacrawl(prepared, ["migrate"]);
  return prepared;
}

export async function servePrepared(
  stack: AsyncDisposableStack,
  directory: string,
  { postgres, redis }: Stores,
  prepared: Prepared,
  nodeArguments: readonly string[] = [],
): Promise<Peer> {
  const { name, command, environment, grpcPort, connectPort } = prepared;
  const serveEnv = { ...environment, NODE_OPTIONS: nodeArguments.join(" ") };
  const server = serve(stack, command, serveEnv, join(directory, `${name}.log`));
  await server.untilReady(() => answersHttp(`http://127.0.0.1:${connectPort}/readyz`));
  const { key }: { key: string } = JSON.parse(await datacrawl(prepared, ["agent", "create", AGENT, "--json"]));
  const peer: Peer = {
    name,
    port: grpcPort,
    path: AUTHORIZE_PATH,
    metadata: { authorization: `Bearer ${key}` },
    request: authorizeRequest(),
    expected: "authorize",
    processes: { service: server.pid, postgres: postgres.pid, redis: redis.pid },
  };
  await untilAnswering(server, peer);
  return peer;
}

/**
 * A deployment of one process, and the same one with a second process beside it, which takes half of the load. Both run all the time,
 * so what an idle process costs is a part of both.
 */
export async function startReplicas(
  stack: AsyncDisposableStack,
  directory: string,
  stores: Stores,
  options: Datacrawl,
): Promise<[Peer, Peer]> {
  const prepared = await prepareDatacrawl(directory, stores, options);
  const addresses = await freeAddresses();
  const dataDir = join(directory, `${options.name}-second`);
  // With the same keys.
  cpSync(prepared.environment["DATACRAWL_DATA_DIR"]!, dataDir, { recursive: true });
  const one = await servePrepared(stack, directory, stores, prepared);
  const environment = { ...prepared.environment, ...addresses.environment, DATACRAWL_DATA_DIR: dataDir };
  const second = serve(stack, prepared.command, environment, join(directory, `${options.name}-second.log`));
  await second.untilReady(() => answersHttp(`http://127.0.0.1:${addresses.connectPort}/readyz`));
  const processes = { ...one.processes, second: second.pid };
  return [
    { ...one, name: "one process", processes },
    { ...one, name: "two processes", processes, otherPorts: [addresses.grpcPort] },
  ];
}

/** Runs one command of a deployment. @param more variables for it alone */
export function datacrawl(
  { command, environment }: Prepared,
  args: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  return run({ name: `datacrawl ${args.join(" ")}`, file: command, args, env: { ...environment, ...more } });
}

/** Seconds from the command to ready on the embedded store: on an empty data directory, and on the same one again. */
export async function startTimes(
  outer: AsyncDisposableStack,
  directory: string,
): Promise<{ readonly first: number; readonly second: number }> {
  const { environment, connectPort } = await configure(join(directory, "embedded"), 10);
  const command = await installedCommand(directory);
  const toReady = async (): Promise<number> => {
    await using stack = outer.use(new AsyncDisposableStack());
    const startedAt = performance.now();
    const server = serve(stack, command, environment, join(directory, "embedded.log"));
    await server.untilReady(() => answersHttp(`http://127.0.0.1:${connectPort}/readyz`));
    return (performance.now() - startedAt) / 1000;
  };
  return { first: await toReady(), second: await toReady() };
}

function serve(stack: AsyncDisposableStack, command: string, env: Record<string, string>, logFile: string): Child {
  return start(stack, { name: "datacrawl serve", file: command, args: ["serve"], env }, logFile);
}

async function configure(directory: string, rules: number) {
  const policies = join(directory, "policies");
  mkdirSync(policies, { recursive: true });
  for (const [name, text] of Object.entries(policyFiles(rules))) writeFileSync(join(policies, name), text);
  const addresses = await freeAddresses();
  const environment = {
    DATACRAWL_DATA_DIR: join(directory, "data"),
    DATACRAWL_POLICY_DIR: policies,
    DATACRAWL_AGENT_RATE: "0",
    ...addresses.environment,
  };
  return { ...addresses, environment };
}

async function freeAddresses() {
  const [grpcPort, connectPort, adminPort] = [await freePort(), await freePort(), await freePort()];
  const environment = {
    DATACRAWL_GRPC_ADDR: `127.0.0.1:${grpcPort}`,
    DATACRAWL_CONNECT_ADDR: `127.0.0.1:${connectPort}`,
    DATACRAWL_ADMIN_ADDR: `127.0.0.1:${adminPort}`,
  };
  return { environment, grpcPort, connectPort };
}
