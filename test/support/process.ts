import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { cleanEnv, type Env } from "./service.ts";
import { ownProcess } from "./owned.ts";

const BIN = join(import.meta.dirname, "../../bin/datacrawl.js");

/** Where what a command prints goes: to the test, to a device that is full, or into a pipe that nobody reads. */
export type Sink = "pipe" | "full" | "closed";

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProcessOptions {
  readonly env?: Env;
  readonly stdout?: Sink;
  readonly stderr?: Sink;
  /** What the command reads: text or bytes, or a pipe that stays open behind them. Default: nothing. */
  readonly input?: string | Buffer | { readonly open: string };
  /** Modules to load first. */
  readonly imports?: readonly string[];
  /** Called with each part of stdout, and with how to send a signal. */
  readonly onOut?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
}

/** Runs `datacrawl` as it is installed, in a process of its own, to its end. */
export async function runBin(args: readonly string[], options: ProcessOptions = {}): Promise<Ended> {
  const { env, stdout = "pipe", stderr = "pipe", imports = [], input } = options;
  const full = openSync("/dev/full", "w");
  const target = (sink: Sink): "pipe" | number => (sink === "full" ? full : "pipe");
  const child = ownProcess(
    spawn(process.execPath, [...imports.flatMap((url) => ["--import", url]), BIN, ...args], {
      env: cleanEnv(env),
      stdio: [input === undefined ? "ignore" : "pipe", target(stdout), target(stderr)],
      // A command that does not end fails its test.
      timeout: 60_000,
      killSignal: "SIGKILL",
    }),
  );
  // A command may end before it has read everything.
  child.stdin?.on("error", () => {});
  if (typeof input === "object" && "open" in input) child.stdin?.write(input.open);
  else child.stdin?.end(input);
  const printed = { stdout: "", stderr: "" };
  if (stdout === "closed") child.stdout?.destroy();
  else
    child.stdout?.on("data", (chunk: Buffer) => {
      printed.stdout += chunk.toString();
      options.onOut?.(chunk.toString(), (signal) => child.kill(signal));
    });
  if (stderr === "closed") child.stderr?.destroy();
  else child.stderr?.on("data", (chunk: Buffer) => (printed.stderr += chunk.toString()));
  const [status] = (await once(child, "close")) as [number | null];
  closeSync(full);
  return { status, ...printed };
}
