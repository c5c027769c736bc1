import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { freePort, waitUntil } from "./net.ts";
import { LAYOUT } from "./layout.ts";
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

/** The addresses of a database, for its two logins and for the server's superuser. */
export interface TestDatabase {
  readonly ownerUrl: string;
  readonly serviceUrl: string;
  readonly superUrl: string;
}

/** An empty database for one suite, with the two logins of a careful install. */
export async function makeDatabase(serverUrl: string): Promise<TestDatabase> {
  return await createDatabase(serverUrl, newName(), "template1");
}

/**
 * The same with this version's layout, copied from a template that the first suite makes. The service's login has no rights in it before
 * the owner migrates. All copies have one log id, which no test of a single database notices.
 */
export async function makeMigratedDatabase(serverUrl: string): Promise<TestDatabase> {
  const template = `datacrawl_${LAYOUT}`;
  await withClient(serverUrl, async (admin) => {
    await admin.query(`SELECT pg_advisory_lock(${TEMPLATE_LOCK})`);
    const { rowCount } = await admin.query("SELECT FROM pg_database WHERE datname = $1", [template]);
    if (rowCount === 0) await makeTemplate(serverUrl, template);
  });
  const database = await createDatabase(serverUrl, newName(), template);
  const { username } = new URL(database.ownerUrl);
  await withClient(database.superUrl, (admin) => admin.query(`REASSIGN OWNED BY ${template}_owner TO ${username}`));
  return database;
}

const TEMPLATE_LOCK = 7440;

/** Under its name only when it is whole, in case that this process is killed. */
async function makeTemplate(serverUrl: string, template: string): Promise<void> {
  const [{ migrate }, { PostgresDatabase }] = await Promise.all([
    import("../../src/store/migrate.ts"),
    import("../../src/store/dialect/postgres.ts"),
  ]);
  const unfinished = newName();
  const { ownerUrl } = await createDatabase(serverUrl, unfinished, "template1");
  const owner = new PostgresDatabase(ownerUrl, { connections: 1, onError: console.error });
  await migrate(owner, null);
  await owner.close();
  await withClient(serverUrl, async (admin) => {
    // Else the first suite that takes over the role's objects takes over the template.
    await admin.query(`ALTER DATABASE ${unfinished} OWNER TO CURRENT_USER`);
    await admin.query(`ALTER ROLE ${unfinished}_owner RENAME TO ${template}_owner`);
    await admin.query(`ALTER DATABASE ${unfinished} RENAME TO ${template}`);
  });
}

async function createDatabase(serverUrl: string, name: string, template: string): Promise<TestDatabase> {
  await withClient(serverUrl, async (admin) => {
    await admin.query(`CREATE ROLE ${name}_owner LOGIN; CREATE ROLE ${name}_service LOGIN`);
    await admin.query(`CREATE DATABASE ${name} OWNER ${name}_owner TEMPLATE ${template}`);
  });
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

function newName(): string {
  return `t${process.pid}_${Math.random().toString(36).slice(2, 10)}`;
}

async function withClient(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
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
