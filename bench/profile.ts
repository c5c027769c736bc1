/**
 * `node bench/profile.ts [SECONDS] [replays] [allocations] [flame]`: where the microseconds of a durable decision, or of a replay, go; or
 * with `allocations` its bytes; `flame` draws the microseconds into docs/images/flame.svg. Runs the service under the bench's load, samples its main thread for SECONDS (8) in the midst of it, and
 * prints its own time, or what it allocated itself, per answer by module and by function. The sampling itself slows the service, by
 * a tenth or so.
 */
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { LoadResult } from "./load.ts";
import { answersPerSecond, load, newPrefix, REPLAYED_KEYS } from "./measure.ts";
import { startDatacrawl } from "./peers/datacrawl.ts";
import { freePort } from "./support/child.ts";
import {
  type Allocations,
  type CallFrame,
  type CpuProfile,
  profileAllocations,
  profileProcess,
} from "./support/inspector.ts";
import { type Flame, flameSvg, newFlame } from "./support/flame.ts";
import { interruptible, runMain } from "./support/signals.ts";
import { startPostgres, startRedis, temporaryDirectory } from "./support/stores.ts";

const FLAME = fileURLToPath(new URL("../docs/images/flame.svg", import.meta.url));
const WARMUP_MS = 4_000;
/** The sampler itself stops the process for longer than this when it starts; that is nobody's self time. */
const SAMPLER_PAUSE_US = 50_000;
const FUNCTIONS_SHOWN = 60;
const FRESH = { keyCycle: 0, expected: "authorize" } as const;
const REPLAYS = { keyCycle: REPLAYED_KEYS, expected: "replay" } as const;

async function main(): Promise<void> {
  const [seconds, ...words] = process.argv.slice(2);
  const sampleMs = Number(seconds ?? 8) * 1000;
  const keys = words.includes("replays") ? REPLAYS : FRESH;
  const isOfBytes = words.includes("allocations");
  if (isOfBytes && words.includes("flame")) throw new Error("flame draws microseconds: leave allocations out");
  await using stack = new AsyncDisposableStack();
  const sample = async (port: number) => {
    if (isOfBytes) return bytesBy(await profileAllocations(port, sampleMs));
    const profile = await profileProcess(port, sampleMs);
    if (words.includes("flame"))
      writeFileSync(
        FLAME,
        flameSvg(flameOf(profile), `The service's main thread, ${keys === REPLAYS ? "replays" : "every key new"}`),
      );
    return microsecondsBy(profile);
  };
  const { sampled, result } = await interruptible(sampleUnderLoad(stack, sampleMs, keys, sample));
  if (result.failed > 0) throw new Error(`not all answers were as expected: ${result.firstFailure}`);
  const answers = (answersPerSecond(result) * sampleMs) / 1000;
  const unit = isOfBytes ? "bytes" : "µs";
  const perAnswer = (nameOf: NameOf): Line[] => linesOf(sampled(nameOf), answers);

  print("CPU per answer by process, µs", toMicroseconds(result.cpuSeconds, result.answered));
  print(`The service's main thread by module, ${unit}`, perAnswer(moduleOf));
  print(`The service's main thread by function, ${unit}`, perAnswer(functionOf).slice(0, FUNCTIONS_SHOWN));
}

async function sampleUnderLoad<T>(
  stack: AsyncDisposableStack,
  sampleMs: number,
  keys: typeof FRESH | typeof REPLAYS,
  sample: (inspectorPort: number) => Promise<T>,
): Promise<{ sampled: T; result: LoadResult }> {
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
  const sampled = await sample(inspectorPort);
  return { sampled, result: await loading };
}

type Line = readonly [name: string, microseconds: number];
type NameOf = (frame: CallFrame) => string;
/** What was sampled under each name, in all. */
type Sampled = (nameOf: NameOf) => ReadonlyMap<string, number>;

function microsecondsBy({ nodes, samples, timeDeltas }: CpuProfile): Sampled {
  return (nameOf) => {
    const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
    const totals = new Map<string, number>();
    for (const [i, id] of samples.entries()) {
      const name = names.get(id)!;
      const delta = timeDeltas[i]!;
      if (delta < SAMPLER_PAUSE_US) totals.set(name, (totals.get(name) ?? 0) + delta);
    }
    return totals;
  };
}

/** What ran, idling left out. */
function flameOf({ nodes, samples, timeDeltas }: CpuProfile): Flame {
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));
  const names = new Map(nodes.map(({ id, callFrame }) => [id, functionOf(callFrame)]));
  const root = newFlame("all");
  for (const [i, id] of samples.entries()) {
    const delta = timeDeltas[i]!;
    if (delta >= SAMPLER_PAUSE_US || names.get(id)!.startsWith("(idle)")) continue;
    const stack: string[] = [];
    for (let node: number | undefined = id; node !== undefined && parents.has(node); node = parents.get(node))
      stack.push(names.get(node)!);
    let flame = root;
    flame.total += delta;
    for (const name of stack.toReversed()) {
      let child = flame.children.get(name);
      if (child === undefined) flame.children.set(name, (child = newFlame(name)));
      child.total += delta;
      flame = child;
    }
  }
  return root;
}

function bytesBy(head: Allocations): Sampled {
  return (nameOf) => {
    const totals = new Map<string, number>();
    const add = ({ callFrame, selfSize, children }: Allocations): void => {
      const name = nameOf(callFrame);
      totals.set(name, (totals.get(name) ?? 0) + selfSize);
      children.forEach(add);
    };
    add(head);
    return totals;
  };
}

/** Per answer, most first. */
function linesOf(totals: ReadonlyMap<string, number>, answers: number): Line[] {
  return [...totals].map(([name, sum]): Line => [name, sum / answers]).toSorted(([, a], [, b]) => b - a);
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
  process.stdout.write(`\n${title}\n`);
  for (const [name, us] of lines) if (us >= 0.1) process.stdout.write(`${us.toFixed(1).padStart(8)}  ${name}\n`);
}

await runMain(main);
