import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migratedEmbedded } from "./embedded.ts";
import { freePort, waitUntil } from "./net.ts";
import { ownDirectory, ownProcess } from "./owned.ts";

const MAIN = join(import.meta.dirname, "../../src/main.ts");

/** WebAssembly, which is the embedded database, is not optimized: for the seconds that a test takes, that costs more than it saves. */
const UNOPTIMIZED = ["--liftoff-only"];

export type Env = Readonly<Record<string, string>>;

/** A real `datacrawl serve` in a process of its own, which ends at the latest with the test file. */
export interface ServiceProcess {
  readonly child: ChildProcess;
  readonly dataDir: string;
  readonly grpcPort: number;
  readonly connectPort: number;
  readonly connectUrl: string;
  readonly adminUrl: string;
  /** What it has printed so far. */
  readonly output: () => { out: string; err: string };
  readonly kill: (signal: NodeJS.Signals) => Promise<{ code: number | null; signal: string | null }>;
}

/** What a command's environment is under test: nothing of ours but what the test says. */
export function cleanEnv(env: Env = {}): Record<string, string> {
  const inherited = Object.entries(process.env).filter(
    ([name, value]) => value !== undefined && !/^(DATACRAWL_|DATABASE_|REDIS_URL|VITEST|NODE_ENV)/.test(name),
  ) as [string, string][];
  return { ...Object.fromEntries(inherited), ...env };
}

/** An empty directory, which is removed after the test file. */
export function tempDir(): string {
  return ownDirectory(mkdtempSync(join(tmpdir(), "datacrawl-test-")));
}

export interface StartOptions {
  /** False: only until it has been spawned. */
  readonly ready?: boolean;
  /** True: on a data directory with nothing in it, where it takes the embedded database seconds to be made. */
  readonly fromNothing?: boolean;
}

/** Starts a service and waits until it is ready. Without a data directory of its own it gets one with an empty database. */
export async function startService(env: Env = {}, options: StartOptions = {}): Promise<ServiceProcess> {
  const dataDir = env["DATACRAWL_DATA_DIR"] ?? tempDir();
  const embedded = env["DATACRAWL_DATA_DIR"] === undefined && env["DATABASE_URL"] === undefined;
  if (embedded && options.fromNothing !== true) await migratedEmbedded(dataDir);
  const portOf = (address: string | undefined): number | undefined =>
    address === undefined ? undefined : Number(address.split(":").at(-1));
  const grpcPort = portOf(env["DATACRAWL_GRPC_ADDR"]) ?? (await freePort());
  const connectPort = portOf(env["DATACRAWL_CONNECT_ADDR"]) ?? (await freePort());
  const adminPort = portOf(env["DATACRAWL_ADMIN_ADDR"]) ?? (await freePort());
  const variables = cleanEnv({
    DATACRAWL_DATA_DIR: dataDir,
    DATACRAWL_GRPC_ADDR: `127.0.0.1:${grpcPort}`,
    DATACRAWL_CONNECT_ADDR: `127.0.0.1:${connectPort}`,
    DATACRAWL_ADMIN_ADDR: `127.0.0.1:${adminPort}`,
    DATACRAWL_AGENT_RATE: "0",
    ...env,
  });
  const child = ownProcess(
    spawn(process.execPath, [...UNOPTIMIZED, MAIN, "serve"], { env: variables, stdio: ["ignore", "pipe", "pipe"] }),
  );
  const printed = { out: "", err: "" };
  child.stdout.on("data", (chunk: Buffer) => (printed.out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (printed.err += chunk.toString()));
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const connectUrl = `http://127.0.0.1:${connectPort}`;
  const service: ServiceProcess = {
    child,
    dataDir,
    grpcPort,
    connectPort,
    connectUrl,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    output: () => ({ ...printed }),
    kill: (signal) => {
      child.kill(signal);
      return exited;
    },
  };
  if (options.ready === false) return service;
  await waitUntil(
    async () => {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the service exited: ${printed.out}${printed.err}`);
      return await isReady(connectUrl);
    },
    60_000,
    "the service did not become ready",
  );
  return service;
}

/**
 * Starts several services. If one of them does not start, the others are discarded.
 *
 * @param start starts one
 */
export async function startServices(count: number, start: () => Promise<ServiceProcess>): Promise<ServiceProcess[]> {
  const services: ServiceProcess[] = [];
  try {
    // One after the other: a service gives Postgres two seconds to answer, and many that start at once take the processors for longer.
    while (services.length < count) services.push(await start());
    return services;
  } catch (error) {
    await Promise.all(services.map(discard));
    throw error;
  }
}

export async function isReady(connectUrl: string): Promise<boolean> {
  const response = await fetch(`${connectUrl}/readyz`).catch(() => null);
  await response?.body?.cancel();
  return response?.status === 200;
}

/** The demo agent's credential, which the embedded store makes. */
export function demoKey(dataDir: string): string {
  return readFileSync(join(dataDir, "demo-agent.key"), "utf8").trim();
}

/** Runs a command of the CLI to its end. */
export function runCli(
  args: readonly string[],
  env: Env = {},
  input?: string,
): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    env: cleanEnv(env),
    encoding: "utf8",
    // A command that does not end must fail its test, which cannot be timed out while it waits here.
    timeout: 60_000,
    killSignal: "SIGKILL",
    ...(input === undefined ? {} : { input }),
  });
  return { status, stdout, stderr };
}

export interface Asked {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** One call of Authorize as JSON over HTTP; status 0 if no answer came. */
export async function ask(
  connectUrl: string,
  key: string,
  request: Record<string, unknown>,
  headers: Env = {},
): Promise<Asked> {
  try {
    const response = await fetch(`${connectUrl}/datacrawl.authz.v1.AuthorizeService/Authorize`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${key}`, ...headers },
      body: JSON.stringify(request),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  } catch (error) {
    return { status: 0, body: { error: String(error) } };
  }
}

/** Kills what is left of a service, and removes its data. */
export async function discard(service: ServiceProcess | undefined): Promise<void> {
  if (service === undefined) return;
  if (service.child.exitCode === null && service.child.signalCode === null) await service.kill("SIGKILL");
  if (existsSync(service.dataDir)) rmSync(service.dataDir, { recursive: true, force: true });
}
