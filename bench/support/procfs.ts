/**
 * What Linux knows about processes (proc(5)).
 */
import { readdirSync, readFileSync } from "node:fs";

/** /proc counts CPU time in ticks of 10 ms on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

/** User and system time of `root` and all its descendants, those that have ended and were waited for included. */
export function cpuSecondsOfTree(root: number): number {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readStat(Number(name)));
  const tree = new Set([root]);
  for (let size = 0; size !== tree.size; ) {
    size = tree.size;
    for (const { pid, parent } of all) if (tree.has(parent)) tree.add(pid);
  }
  return all.filter(({ pid }) => tree.has(pid)).reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_PER_SECOND;
}

/** The same for each of several processes, by name. */
export function cpuSecondsOf(processes: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(processes).map(([name, pid]) => [name, cpuSecondsOfTree(pid)]));
}

/** The highest resident memory that `pid` has ever had, in MiB. */
export function peakMemoryMiB(pid: number): number {
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1]) / 1024;
}

/** Empty if the process has just ended. */
function readStat(pid: number): Stat[] {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return [];
  }
  // The name, in brackets, may hold anything; after it: state, parent, …, and as 12th to 15th our and our children's time.
  const fields = text
    .slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  const ticks = fields.slice(11, 15).reduce((sum, ticks) => sum + ticks, 0);
  return [{ pid, parent: fields[1]!, ticks }];
}
