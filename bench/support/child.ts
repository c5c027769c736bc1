import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;
const LOG_TAIL = 4_000;

export interface Command {
  /** For messages. */
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  /** Beside the bench's own environment, from which DataCrawl's variables and the Postgres client's are taken out. */
  readonly env?: Readonly<Record<string, string>>;
  readonly stopSignal?: NodeJS.Signals;
}

/** A process that the bench started. Disposing of it stops it, by force if it will not. */
export interface Child extends AsyncDisposable {
  readonly pid: number;
  /** Resolves once `isReady` does so with true; rejects if the process ends first or a minute has passed. */
  untilReady(isReady: () => Promise<boolean>): Promise<void>;
}

/**
 * Starts `command` until `stack` is disposed of. What it prints goes to `logFile`: reading it would take CPU time from what is
 * measured.
 */
export function start(stack: AsyncDisposableStack, command: Command, logFile: string): Child {
  // Asked before the process is made: nobody would stop it.
  if (stack.disposed) throw new Error("the bench is being stopped");
  return stack.use(spawnLogged(command, logFile));
}

function spawnLogged({ name, file, args, env = {}, stopSignal = "SIGTERM" }: Command, logFile: string): Child {
  const log = openSync(logFile, "a");
  const child = spawn(file, args, { env: { ...cleanEnvironment(), ...env }, stdio: ["ignore", log, log] });
  closeSync(log);
  const exited = once(child, "exit");
  exited.then(
    ([status, signal]) => appendFileSync(logFile, `${name} ended (${String(status ?? signal)})\n`),
    // A command that does not exist. `untilReady` tells.
    (error: unknown) => appendFileSync(logFile, `${String(error)}\n`),
  );
  const ended = () => child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
  const failure = (what: string) =>
    new Error(`${name} (${file}) ${what}:\n${readFileSync(logFile, "utf8").slice(-LOG_TAIL)}`);

  return {
    pid: child.pid ?? 0,
    async untilReady(isReady) {
      for (const giveUpAt = performance.now() + START_TIMEOUT_MS; !(await isReady()); await sleep(5)) {
        if (ended()) throw failure("ended before it was ready");
        if (performance.now() > giveUpAt) throw failure("was not ready after a minute");
      }
    },
    async [Symbol.asyncDispose]() {
      if (ended()) return;
      child.kill(stopSignal);
      const force = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(force);
    },
  };
}

/** Runs `command` to its end and returns its standard output; rejects with its errors unless it exits with 0. */
export async function run({ name, file, args, env = {} }: Command): Promise<string> {
  const child = spawn(file, args, { env: { ...cleanEnvironment(), ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
  const [status]: (number | null)[] = await once(child, "close");
  if (status !== 0) throw new Error(`${name} failed (${status}):\n${out}${err}`);
  return out;
}

/** The last lines of every log in `directory`: what to read when something failed. */
export function logTails(directory: string): string {
  const logs = readdirSync(directory).filter((name) => name.endsWith(".log"));
  return logs.map((name) => `${name}:\n${readFileSync(join(directory, name), "utf8").slice(-LOG_TAIL)}`).join("\n");
}

/** A TCP port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Whether a GET of `url` answers with 200. */
export async function answersHttp(url: string): Promise<boolean> {
  try {
    const response = await fetch(url);
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

function cleanEnvironment(): NodeJS.ProcessEnv {
  const foreign = /^(DATACRAWL_|DATABASE_|REDIS_URL|PG|CERBOS_|NODE_OPTIONS)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
}
