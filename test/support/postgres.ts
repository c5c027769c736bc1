import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { freePort, waitUntil } from "./net.ts";
import { endProcess, ownDirectory, ownProcess } from "./owned.ts";

export interface PostgresServer {
  /** Of a superuser, to the database `postgres`. */
  readonly url: string;
  readonly stop: () => Promise<void>;
  /** Stops it and starts it again, on the same port and data. */
  readonly restart: () => Promise<void>;
  /** The postmaster, to be stopped and continued by tests of stalls. */
  readonly pid: number;
}

/** Ends sessions, does not wait for them, and closes the database. */
const FAST = "SIGINT";
/** Ends all of its processes at once, whatever they do. The data is not needed any more. */
const IMMEDIATE = "SIGQUIT";

/** A Postgres of our own on a free port, in a temporary directory; or TEST_DATABASE_URL; or null if there is neither. */
export async function startPostgres(settings: readonly string[] = []): Promise<PostgresServer | null> {
  const given = process.env["TEST_DATABASE_URL"];
  if (given !== undefined) return { url: given, stop: async () => undefined, restart: async () => undefined, pid: 0 };
  const bin = findBinaries();
  if (bin === null) return null;
  const directory = ownDirectory(mkdtempSync(join(tmpdir(), "datacrawl-pg-")));
  // Postgres refuses to run as root: as root, run it as its own user.
  const asUser = process.getuid?.() === 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : [];
  const run = (program: string, args: readonly string[]): [string, string[]] => {
    const [first, ...rest] = [...asUser, join(bin, program), ...args];
    return [first as string, rest];
  };
  if (asUser.length > 0) spawnSync("chown", ["postgres", directory]);
  const data = join(directory, "data");
  const made = spawnSync(...run("initdb", ["-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]), { cwd: "/" });
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr.toString()}`);
  const port = await freePort();
  const options = [
    "-c",
    `port=${port}`,
    "-c",
    "listen_addresses=127.0.0.1",
    "-c",
    `unix_socket_directories=${directory}`,
  ];
  const command = run("postgres", ["-D", data, ...options, ...settings.flatMap((setting) => ["-c", setting])]);
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const start = async (): Promise<ChildProcess> => {
    const started = ownProcess(spawn(...command, { cwd: "/", stdio: "ignore" }), IMMEDIATE);
    await waitUntil(() => answers(url), 30_000, "Postgres did not start");
    return started;
  };
  let child = await start();
  return {
    url,
    pid: child.pid as number,
    restart: async () => {
      await endProcess(child, FAST);
      child = await start();
    },
    stop: async () => {
      await endProcess(child, IMMEDIATE);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A database of its own for one suite, with the two logins of a careful install. */
export async function makeDatabase(
  serverUrl: string,
): Promise<{ ownerUrl: string; serviceUrl: string; superUrl: string }> {
  const name = `t${process.pid}_${Math.random().toString(36).slice(2, 10)}`;
  const admin = new pg.Client(serverUrl);
  await admin.connect();
  await admin.query(`CREATE ROLE ${name}_owner LOGIN; CREATE ROLE ${name}_service LOGIN`);
  await admin.query(`CREATE DATABASE ${name} OWNER ${name}_owner`);
  await admin.end();
  const urlFor = (user: string): string => {
    const url = new URL(serverUrl);
    url.username = user;
    url.pathname = `/${name}`;
    return url.href;
  };
  const superUrl = new URL(serverUrl);
  superUrl.pathname = `/${name}`;
  return { ownerUrl: urlFor(`${name}_owner`), serviceUrl: urlFor(`${name}_service`), superUrl: superUrl.href };
}

/** A program that came with Postgres. */
export function postgresProgram(name: string): string {
  return join(findBinaries() ?? "", name);
}

function findBinaries(): string | null {
  const debian = "/usr/lib/postgresql";
  if (existsSync(debian)) {
    const version = readdirSync(debian)
      .filter((name) => existsSync(join(debian, name, "bin/initdb")))
      .sort((a, b) => Number(b) - Number(a))[0];
    if (version !== undefined) return join(debian, version, "bin");
  }
  const found = spawnSync("sh", ["-c", "command -v initdb"], { encoding: "utf8" }).stdout.trim();
  return found === "" ? null : join(found, "..");
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1000 });
  try {
    await client.connect();
    await client.query("SELECT 1");
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}
