/**
 * `node bench/profile.ts [SECONDS] [replays]`: where the microseconds of a durable decision, or of a replay, go. Runs the service
 * under the bench's load, samples its main thread for SECONDS (8) in the midst of it, and prints its own time per answer by
 * module and by function. The sampling itself slows the service, by a tenth or so.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadResult } from "./load.ts";
import { answersPerSecond, load, newPrefix, REPLAYED_KEYS } from "./measure.ts";
import { startDatacrawl } from "./peers/datacrawl.ts";
import { freePort } from "./support/child.ts";
import { type CpuProfile, profileProcess } from "./support/inspector.ts";
import { interruptible, runMain } from "./support/signals.ts";
import { startPostgres, startRedis, temporaryDirectory } from "./support/stores.ts";

const WARMUP_MS = 4_000;
/** The sampler itself stops the process for longer than this when it starts; that is nobody's self time. */
const SAMPLER_PAUSE_US = 50_000;
const FUNCTIONS_SHOWN = 60;
const FRESH = { keyCycle: 0, expected: "authorize" } as const;
const REPLAYS = { keyCycle: REPLAYED_KEYS, expected: "replay" } as const;

async function main(): Promise<void> {
  const sampleMs = Number(process.argv[2] ?? 8) * 1000;
  await using stack = new AsyncDisposableStack();
  const keys = process.argv[3] === "replays" ? REPLAYS : FRESH;
  const { profile, result } = await interruptible(profileUnderLoad(stack, sampleMs, keys));
  if (result.failed > 0) throw new Error(`not all answers were as expected: ${result.firstFailure}`);
  const decisions = (answersPerSecond(result) * (profile.endTime - profile.startTime)) / 1e6;

  print("CPU per answer by process", toMicroseconds(result.cpuSeconds, result.answered));
  print("The service's main thread by module", selfTime(profile, decisions, moduleOf));
  print("The service's main thread by function", selfTime(profile, decisions, functionOf).slice(0, FUNCTIONS_SHOWN));
}

async function profileUnderLoad(
  stack: AsyncDisposableStack,
  sampleMs: number,
  keys: typeof FRESH | typeof REPLAYS,
): Promise<{ profile: CpuProfile; result: LoadResult }> {
  const directory = temporaryDirectory(stack);
  const stores = { postgres: await startPostgres(stack, directory), redis: await startRedis(stack, directory) };
  const inspectorPort = await freePort();
  const nodeArguments = [`--inspect=127.0.0.1:${inspectorPort}`];
  const peer = await startDatacrawl(stack, directory, stores, { name: "datacrawl", rules: 10, nodeArguments });

  const spec = { connections: 4, streams: 32, keyPrefix: newPrefix(), ...keys };
  // Also decides the keys that are to be replayed.
  await load(peer, { ...spec, expected: "authorize", warmupMs: 0, measureMs: WARMUP_MS });
  const loading = load(peer, { ...spec, warmupMs: WARMUP_MS, measureMs: sampleMs + 2_000 });
  await sleep(WARMUP_MS + 1_000);
  const profile = await profileProcess(inspectorPort, sampleMs);
  return { profile, result: await loading };
}

type Line = readonly [name: string, microseconds: number];
type CallFrame = CpuProfile["nodes"][number]["callFrame"];

/** Self time per decision under each name, most first. */
function selfTime(profile: CpuProfile, decisions: number, nameOf: (frame: CallFrame) => string): Line[] {
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const totals = new Map<string, number>();
  for (const [i, id] of profile.samples.entries()) {
    const name = names.get(id)!;
    const delta = profile.timeDeltas[i]!;
    if (delta < SAMPLER_PAUSE_US) totals.set(name, (totals.get(name) ?? 0) + delta);
  }
  return [...totals].map(([name, us]): Line => [name, us / decisions]).toSorted(([, a], [, b]) => b - a);
}

function functionOf(frame: CallFrame): string {
  const name = frame.functionName === "" ? `(anonymous:${frame.lineNumber + 1})` : frame.functionName;
  return `${name}  ${moduleOf(frame)}`;
}

/** `src/audit/write/writer.ts`, a package's name, a part of Node, or what V8 names in brackets. */
function moduleOf({ url, functionName }: CallFrame): string {
  const inPackage = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url);
  if (inPackage !== null) return inPackage[1]!;
  const inSource = /\/((?:src|gen)\/.*)$/.exec(url);
  if (inSource !== null) return inSource[1]!;
  if (url !== "") return url;
  return functionName.startsWith("(") ? functionName : "(native function)";
}

function toMicroseconds(cpuSeconds: Readonly<Record<string, number>>, answered: number): Line[] {
  return Object.entries(cpuSeconds).map(([name, seconds]): Line => [name, (seconds / answered) * 1e6]);
}

function print(title: string, lines: readonly Line[]): void {
  process.stdout.write(`\n${title}, µs\n`);
  for (const [name, us] of lines) if (us >= 0.1) process.stdout.write(`${us.toFixed(1).padStart(8)}  ${name}\n`);
}

await runMain(main);
