import type { ChildProcess } from "node:child_process";
import { rmSync } from "node:fs";

/** Processes and directories that a test file has made, and that must not outlive it, whatever fails in it. */
const processes = new Map<ChildProcess, NodeJS.Signals>();
const directories = new Set<string>();

/** Has a process ended when the test file ends. @param signal what ends it; a database needs to stop its own processes */
export function ownProcess<Child extends ChildProcess>(child: Child, signal: NodeJS.Signals = "SIGKILL"): Child {
  processes.set(child, signal);
  child.once("exit", () => processes.delete(child));
  return child;
}

/** Has a directory removed when the test file ends. */
export function ownDirectory(path: string): string {
  directories.add(path);
  return path;
}

/** Ends what is left, and waits until it is gone. `cleanup.ts` calls it after the last test of each file. */
export async function releaseOwned(): Promise<void> {
  const exits = [...processes].map(([child, signal]) => {
    const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill(signal);
    return exited;
  });
  await Promise.all(exits);
  for (const path of directories) rmSync(path, { recursive: true, force: true });
  directories.clear();
}

// A worker that ends in mid-file runs no hooks.
process.once("exit", () => {
  for (const [child, signal] of processes) child.kill(signal);
});
