import type { ChildProcess } from "node:child_process";
import { rmSync } from "node:fs";
import type { Readable } from "node:stream";

/** Processes and directories that a test file has made, and that must not outlive it, whatever fails in it. */
const processes = new Map<ChildProcess, NodeJS.Signals>();
const directories = new Set<string>();

/** How long a process may take to end by the signal of its kind before it is killed, and to be gone after that. */
const GRACE_MS = 5_000;

/**
 * Has a process ended when the test file ends. No test starts one that is not owned (test/support/processes.test.ts).
 *
 * @param signal what ends it; a database needs to stop its own processes
 */
export function ownProcess<Child extends ChildProcess>(child: Child, signal: NodeJS.Signals = "SIGKILL"): Child {
  processes.set(child, signal);
  child.once("exit", () => processes.delete(child));
  child.once("error", () => child.pid === undefined && processes.delete(child));
  return child;
}

/**
 * Shows what a process prints to stderr. To let it inherit ours would keep the test run waiting for it: vitest does not end before
 * each worker's output is closed, and a process that inherited it holds it open.
 */
export function showErrors<Child extends ChildProcess & { readonly stderr: Readable }>(child: Child): Child {
  child.stderr.on("data", (chunk: Buffer) => process.stderr.write(chunk));
  return child;
}

/** Has a directory removed when the test file ends. */
export function ownDirectory(path: string): string {
  directories.add(path);
  return path;
}

/** Ends a process, also one that is stopped or has ended already, and waits until it is gone. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<true>((resolve) => child.once("exit", () => resolve(true)));
  const grace = (): Promise<false> => new Promise((resolve) => setTimeout(() => resolve(false), GRACE_MS).unref());
  child.kill(signal);
  // One that is stopped takes no other signal than this and SIGKILL.
  child.kill("SIGCONT");
  if (await Promise.race([exited, grace()])) return;
  child.kill("SIGKILL");
  if (await Promise.race([exited, grace()])) return;
  console.error(`process ${child.pid} (${child.spawnargs.join(" ")}) does not end by SIGKILL and was left behind`);
}

/** Ends what is left, and waits until it is gone. `setup.ts` calls it after the last test of each file. */
export async function releaseOwned(): Promise<void> {
  await Promise.all([...processes].map(([child, signal]) => endProcess(child, signal)));
  for (const path of directories) rmSync(path, { recursive: true, force: true });
  directories.clear();
}

/** For a worker that ends in mid-file, and for vitest itself: no hook runs then. */
process.once("exit", () => {
  for (const [child, signal] of processes) {
    child.kill(signal);
    child.kill("SIGCONT");
  }
});
// Without a listener a signal ends the process before it has an `exit`.
for (const [signal, status] of [
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const) {
  process.once(signal, () => process.exit(status));
}
