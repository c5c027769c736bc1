/**
 * `npm run bench:executions`: what it costs to run each action once. Authorize, begin and report against authorize alone, and begin
 * alone against a decision, with the client library as the caller. Starts and stops all it needs. See docs/benchmarks.md.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { DataCrawl, type Verdict } from "@datacrawl/client";
import { isoMicros, systemClock } from "../src/core/clock.ts";
import { startDatacrawl } from "./peers/datacrawl.ts";
import type { Peer } from "./peers/peer.ts";
import { QUESTION } from "./peers/question.ts";
import { type Figure, figureTable, measuredWhere, table } from "./report.ts";
import { commit, describeMachine } from "./support/machine.ts";
import { cpuSecondsOfTree } from "./support/procfs.ts";
import { progress, runProgram } from "./support/program.ts";
import { median, quantile } from "./support/statistics.ts";
import { startPostgres, startRedis } from "./support/stores.ts";

const USAGE = `Usage: npm run bench:executions -- [--quick] [--json] [--write]

  --quick   few calls of each: half a minute, to see that all works
  --json    the results with every round on stdout instead of the tables
  --write   put the tables into docs/benchmarks.md
`;

const IN_FLIGHT = [1, 128] as const;
const WORKS = ["authorize", "authorize, begin, report", "begin", "begin, long after"] as const;
type Work = (typeof WORKS)[number];

/** In which what goes on after an answer ends, above all the sealer, which runs each second. */
const SETTLES_MS = 1_500;
/** For so long the processes are watched while nobody asks anything. */
const IDLE_MS = 10_000;
/** So many of each work in a round: fewer decisions than the service remembers. */
const CALLS = 1_000;
/** Rounds until the compilers are done. */
const WARM_UP = 2;
/** How many of its newest decisions the service remembers for a start. */
const REMEMBERED = 2_048;

interface Round {
  readonly work: Work;
  readonly inFlight: number;
  readonly round: number;
  /** Of the service, Postgres and Redis together, less what they take when idle. */
  readonly cpuUs: number;
  /** The same by process. */
  readonly cpuUsOf: Readonly<Record<string, number>>;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly perSecond: number;
}

interface Results {
  readonly at: string;
  readonly commit: string;
  readonly machine: Readonly<Record<string, string>>;
  readonly pace: string;
  readonly rounds: readonly Round[];
}

interface Pace {
  readonly rounds: number;
  /** Of each work in a round. */
  readonly calls: number;
}

async function measureAll(stack: AsyncDisposableStack, directory: string, pace: Pace): Promise<Results> {
  const at = isoMicros(systemClock.now());
  const stores = { postgres: await startPostgres(stack, directory), redis: await startRedis(stack, directory) };
  const peer = await startDatacrawl(stack, directory, stores, { name: "datacrawl", rules: 10 });
  const apiKey = (peer.metadata["authorization"] ?? "").replace("Bearer ", "");
  const dc = new DataCrawl({ url: `http://127.0.0.1:${peer.port}`, apiKey });
  stack.defer(() => dc.close());
  await dc.ready();
  const measureRound = async (round: number, idle: Cpu | null): Promise<Round[]> => {
    const all: Round[] = [];
    for (const inFlight of IN_FLIGHT)
      for (const work of round % 2 === 0 ? WORKS : WORKS.toReversed()) {
        const one = await measure(dc, peer, idle, work, inFlight, pace.calls);
        progress(
          `${work}, ${inFlight} in flight, round ${round}: ${one.cpuUs.toFixed(0)} µs CPU, p50 ${one.p50Us.toFixed(0)} µs`,
        );
        all.push({ ...one, round });
      }
    return all;
  };
  for (let round = 1 - WARM_UP; round <= 0; round++) await measureRound(round, null);
  const idle = await idlePerSecond(peer);
  const rounds: Round[] = [];
  for (let round = 1; round <= pace.rounds; round++) rounds.push(...(await measureRound(round, idle)));
  return {
    at,
    commit: await commit(),
    machine: await describeMachine(),
    pace: `Medians of ${pace.rounds} interleaved rounds of ${pace.calls} calls. The CPU is counted until what follows an answer is done too, less what the processes take when idle.`,
    rounds,
  };
}

/** CPU seconds by process. */
type Cpu = Readonly<Record<string, number>>;

async function idlePerSecond({ processes }: Peer): Promise<Cpu> {
  const before = cpuOf(processes);
  await sleep(IDLE_MS);
  const after = Object.entries(cpuOf(processes));
  return Object.fromEntries(after.map(([name, seconds]) => [name, (seconds - before[name]!) / (IDLE_MS / 1000)]));
}

/** @param idle what the processes take in a second without work; null if it is not known yet */
async function measure(
  dc: DataCrawl,
  { processes }: Peer,
  idle: Cpu | null,
  work: Work,
  inFlight: number,
  calls: number,
): Promise<Omit<Round, "round">> {
  const isBeginAlone = work === "begin" || work === "begin, long after";
  const decided: Verdict[] = [];
  if (isBeginAlone) await each(calls, 128, async () => void decided.push(await allow(dc)));
  if (work === "begin, long after") await forget(dc);
  // What was done to prepare is not counted.
  await sleep(SETTLES_MS);
  const latencies: number[] = [];
  const cpuBefore = cpuOf(processes);
  const startedAt = performance.now();
  await each(calls, inFlight, async (n) => {
    const callAt = performance.now();
    const verdict = decided[n] ?? (await allow(dc));
    if (work !== "authorize") await execute(dc, verdict, !isBeginAlone);
    latencies.push(performance.now() - callAt);
  });
  const seconds = (performance.now() - startedAt) / 1000;
  await sleep(SETTLES_MS);
  const watched = seconds + SETTLES_MS / 1000;
  const cpuUsOf = Object.entries(cpuOf(processes)).map(([name, after]) => {
    const spent = after - cpuBefore[name]! - (idle?.[name] ?? 0) * watched;
    return [name, (spent / calls) * 1e6] as const;
  });
  const sorted = Float64Array.from(latencies).toSorted();
  return {
    work,
    inFlight,
    cpuUs: cpuUsOf.reduce((sum, [, us]) => sum + us, 0),
    cpuUsOf: Object.fromEntries(cpuUsOf),
    p50Us: quantile(sorted, 0.5) * 1000,
    p99Us: quantile(sorted, 0.99) * 1000,
    perSecond: calls / seconds,
  };
}

/** Decides so much that the service remembers nothing of what came before. */
async function forget(dc: DataCrawl): Promise<void> {
  await each(REMEMBERED, 128, async () => void (await allow(dc)));
}

async function allow(dc: DataCrawl): Promise<Verdict> {
  const verdict = await dc.authorize({ ...QUESTION, idempotencyKey: randomUUID() });
  if (!verdict.allowed) throw new Error(`the bench's request was not allowed: ${verdict.message}`);
  return verdict;
}

async function execute(dc: DataCrawl, verdict: Verdict, reports: boolean): Promise<void> {
  const start = await dc.begin(verdict);
  if (start.state !== "started") throw new Error(`the bench's decision was not started: ${start.message}`);
  if (!reports) return;
  const reported = await dc.report(start, "succeeded");
  if (reported.state !== "recorded") throw new Error(`the bench's report was not recorded: ${reported.message}`);
}

/** Runs `work` for each number below `count`, so many at once. */
async function each(count: number, atOnce: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

function cpuOf(processes: Peer["processes"]): Cpu {
  return Object.fromEntries(Object.entries(processes).map(([name, pid]) => [name, cpuSecondsOfTree(pid)]));
}

function figures({ rounds }: Results): Figure[] {
  const ratio = (work: Work, inFlight: number, of: (round: Round) => number): number => {
    const valuesOf = (one: Work) => rounds.filter((round) => round.work === one && round.inFlight === inFlight);
    const base = new Map(valuesOf("authorize").map((round) => [round.round, of(round)]));
    return median(valuesOf(work).map((round) => of(round) / (base.get(round.round) ?? Number.NaN)));
  };
  const cpu = ({ cpuUs }: Round) => cpuUs;
  const latency = ({ p50Us }: Round) => p50Us;
  return IN_FLIGHT.flatMap((inFlight) => {
    const figure = (name: string, value: number, target: Figure["target"] = null): Figure => {
      return { name: `${name}, ${inFlight} in flight`, value, unit: "×", target };
    };
    const full = "authorize, begin, report";
    return [
      figure("CPU of begin, against a decision", ratio("begin", inFlight, cpu), { atMost: 0.7 }),
      figure("CPU of begin long after, against a decision", ratio("begin, long after", inFlight, cpu)),
      figure(`CPU of ${full}, against authorize`, ratio(full, inFlight, cpu)),
      figure(`median latency of ${full}, against authorize`, ratio(full, inFlight, latency)),
    ];
  });
}

function markdown(results: Results): string {
  const groups = Map.groupBy(results.rounds, ({ work, inFlight }) => `${inFlight}/${work}`);
  const rows = [...groups.values()].map((group) => {
    const middle = (of: (round: Round) => number) => median(group.map(of)).toFixed(0);
    const { inFlight, work } = group[0] as Round;
    const [cpu, rate] = [middle(({ cpuUs }) => cpuUs), middle(({ perSecond }) => perSecond)];
    const names = Object.keys((group[0] as Round).cpuUsOf);
    const split = names.map((name) => `${name} ${middle(({ cpuUsOf }) => cpuUsOf[name]!)}`).join(", ");
    return [String(inFlight), work, rate, cpu, split, middle(({ p50Us }) => p50Us), middle(({ p99Us }) => p99Us)];
  });
  return [
    ...measuredWhere(results),
    ...figureTable(figures(results)),
    "",
    ...table(["in flight", "work", "per second", "CPU µs", "of which", "p50 µs", "p99 µs"], rows),
  ].join("\n");
}

await runProgram<Results>({
  usage: USAGE,
  marker: "executions measured",
  filePrefix: "executions-",
  measure: (stack, directory, { quick }) =>
    measureAll(stack, directory, quick ? { rounds: 1, calls: 200 } : { rounds: 15, calls: CALLS }),
  figures,
  markdown,
  problem: () => null,
});
