/**
 * Postgres and Redis for the peers, started for this run in a temporary directory and with the settings that they ship
 * with: Postgres with fsync and synchronous_commit on, Redis without persistence (for DataCrawl it is a cache).
 */
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { type Child, freePort, run, start } from "./child.ts";

export interface Postgres {
  readonly pid: number;
  /** The URL of `database` for `role`; both exist after `createDatabase`. */
  url(role: string, database: string): string;
  /** Makes a database and its two logins, `${name}_owner`, which owns it, and `${name}_service`. */
  createDatabase(name: string): Promise<{ readonly owner: string; readonly service: string }>;
}

export interface Redis {
  readonly pid: number;
  readonly url: string;
}

/** A directory for this run, gone after it. */
export function temporaryDirectory(stack: AsyncDisposableStack): string {
  const directory = mkdtempSync(join(tmpdir(), "datacrawl-bench-"));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** @param name of its data directory: two in one run have two */
export async function startPostgres(
  stack: AsyncDisposableStack,
  directory: string,
  name = "postgres",
): Promise<Postgres> {
  const bin = postgresBinaries();
  const data = join(directory, name);
  mkdirSync(data, { mode: 0o700 });
  const asUser = await unprivileged(directory, data);
  const port = await freePort();
  const initdb = ["-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"];
  await run({ name: "initdb", ...asUser(join(bin, "initdb"), initdb) });
  const server = start(
    stack,
    {
      name: "Postgres",
      ...asUser(join(bin, "postgres"), ["-D", data, "-h", "127.0.0.1", "-p", String(port), "-k", data]),
      stopSignal: "SIGINT", // "fast" shutdown: does not wait for clients
    },
    join(directory, `${name}.log`),
  );
  const url = (role: string, database: string) => `postgres://${role}@127.0.0.1:${port}/${database}`;
  const execute = (statement: string): Promise<unknown> =>
    withClient(url("postgres", "postgres"), (client) => client.query(statement));
  await server.untilReady(() =>
    execute("SELECT").then(
      () => true,
      () => false,
    ),
  );

  return {
    pid: server.pid,
    url,
    async createDatabase(name) {
      await execute(`CREATE ROLE ${name}_owner LOGIN`);
      await execute(`CREATE ROLE ${name}_service LOGIN`);
      await execute(`CREATE DATABASE ${name} OWNER ${name}_owner`);
      return { owner: url(`${name}_owner`, name), service: url(`${name}_service`, name) };
    },
  };
}

/** Asks one Postgres over a connection of its own, which is closed afterwards. */
export async function withClient<T>(url: string, ask: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await ask(client);
  } finally {
    await client.end();
  }
}

export async function startRedis(stack: AsyncDisposableStack, directory: string): Promise<Redis> {
  const port = await freePort();
  const args = ["--bind", "127.0.0.1", "--port", String(port), "--save", "", "--appendonly", "no"];
  const server: Child = start(
    stack,
    { name: "redis-server", file: "redis-server", args },
    join(directory, "redis.log"),
  );
  await server.untilReady(() => accepts(port));
  return { pid: server.pid, url: `redis://127.0.0.1:${port}` };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** Where Postgres' programs are: beside the `postgres` on the PATH, else Debian's newest. */
export function postgresBinaries(): string {
  const onPath = (process.env.PATH ?? "").split(":").find((directory) => existsSync(join(directory, "initdb")));
  if (onPath !== undefined) return onPath;
  const root = "/usr/lib/postgresql";
  const versions = existsSync(root) ? readdirSync(root).toSorted((a, b) => Number(b) - Number(a)) : [];
  if (versions[0] === undefined) throw new Error("Postgres is needed: apt-get install postgresql redis-server");
  return join(root, versions[0], "bin");
}

/** Postgres refuses to run as root; then it runs as the user `postgres`, which Debian's package makes. */
async function unprivileged(directory: string, data: string) {
  if (process.getuid?.() !== 0) return (file: string, args: string[]) => ({ file, args });
  const uid = Number(await run({ name: "id", file: "id", args: ["-u", "postgres"] }));
  const gid = Number(await run({ name: "id", file: "id", args: ["-g", "postgres"] }));
  chownSync(data, uid, gid);
  chownSync(directory, uid, gid);
  const identity = [`--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
  return (file: string, args: string[]) => ({ file: "setpriv", args: [...identity, file, ...args] });
}
