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
import { cpuSecondsOf } from "./support/procfs.ts";
import { progress, runProgram } from "./support/program.ts";
import { median, quantile } from "./support/statistics.ts";
import { startPostgres, startRedis } from "./support/stores.ts";

const USAGE = `Usage: npm run bench:executions -- [--quick] [--json] [--write]

  --quick   few calls of each: half a minute, to see that all works
  --json    the results with every round on stdout instead of the tables
  --write   put the tables into docs/benchmarks.md
`;

const IN_FLIGHT = [1, 128] as const;
type Work = "authorize" | "begin" | "begin, long after" | "authorize, begin, report";

/** In which what goes on after an answer ends, above all the sealer, which runs each second. */
const SETTLES_MS = 1_500;
/** Rounds until the compilers are done. */
const WARM_UP = 1;
/** How many of its newest decisions the service remembers for a start. */
const REMEMBERED = 2_048;

interface Round {
  readonly work: Work;
  readonly inFlight: number;
  readonly round: number;
  /** Of the service, Postgres and Redis together. */
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
  /** How many waves a round has of each work. */
  readonly waves: number;
  /** How many calls a wave has; with 128 in flight four times as many: fewer than the service remembers. */
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
  const rounds: Round[] = [];
  for (let round = 1 - WARM_UP; round <= pace.rounds; round++)
    for (const inFlight of IN_FLIGHT)
      for (const tally of await measureRound(dc, peer, inFlight, pace)) {
        const one = { ...tally.result(), inFlight, round };
        progress(
          `${one.work}, ${inFlight} in flight, round ${round}: ${one.cpuUs.toFixed(0)} µs CPU, p50 ${one.p50Us.toFixed(0)} µs`,
        );
        if (round > 0) rounds.push(one);
      }
  const { waves, calls } = pace;
  return {
    at,
    commit: await commit(),
    machine: await describeMachine(),
    pace: `Medians of ${pace.rounds} rounds, each of ${waves} waves of ${calls} calls one at a time, and of ${waves} waves of ${calls * 4} with 128 in flight.`,
    rounds,
  };
}

/** Decisions and their starts take turns, so that both see the same machine, and each bears as much of what goes on after the other. */
async function measureRound(
  dc: DataCrawl,
  { processes }: Peer,
  inFlight: number,
  { waves, calls }: Pace,
): Promise<Tally[]> {
  const wave = calls * (inFlight === 1 ? 1 : 4);
  const tallyOf = (work: Work): Tally => new Tally(work, processes, inFlight);
  const authorize = tallyOf("authorize");
  const begin = tallyOf("begin");
  const longAfter = tallyOf("begin, long after");
  const all = tallyOf("authorize, begin, report");

  await sleep(SETTLES_MS);
  for (let count = 0; count < waves; count++) {
    const decided: Verdict[] = [];
    await authorize.add(wave, async () => void decided.push(await allow(dc)));
    await begin.add(wave, async (n) => await execute(dc, decided[n]!, false));
  }

  const decided: Verdict[] = [];
  await each(wave * waves, 128, async () => void decided.push(await allow(dc)));
  await forget(dc);
  await sleep(SETTLES_MS);
  await longAfter.add(wave * waves, async (n) => await execute(dc, decided[n]!, false));

  await sleep(SETTLES_MS);
  await all.add(wave * waves, async () => await execute(dc, await allow(dc), true));
  return [authorize, begin, longAfter, all];
}

/** What was measured of one work. */
class Tally {
  readonly #work: Work;
  readonly #processes: Peer["processes"];
  readonly #inFlight: number;
  readonly #latenciesMs: number[] = [];
  readonly #cpuSeconds: Record<string, number> = {};
  #seconds = 0;

  constructor(work: Work, processes: Peer["processes"], inFlight: number) {
    this.#work = work;
    this.#processes = processes;
    this.#inFlight = inFlight;
  }

  /** Calls `call` so many times, and counts what that takes. */
  async add(calls: number, call: (n: number) => Promise<void>): Promise<void> {
    const cpuBefore = cpuSecondsOf(this.#processes);
    const startedAt = performance.now();
    await each(calls, this.#inFlight, async (n) => {
      const callAt = performance.now();
      await call(n);
      this.#latenciesMs.push(performance.now() - callAt);
    });
    this.#seconds += (performance.now() - startedAt) / 1000;
    for (const [name, after] of Object.entries(cpuSecondsOf(this.#processes)))
      this.#cpuSeconds[name] = (this.#cpuSeconds[name] ?? 0) + after - cpuBefore[name]!;
  }

  result(): Omit<Round, "inFlight" | "round"> {
    const sorted = Float64Array.from(this.#latenciesMs).toSorted();
    const calls = sorted.length;
    const cpuUsOf = Object.entries(this.#cpuSeconds).map(([name, seconds]) => [name, (seconds / calls) * 1e6] as const);
    return {
      work: this.#work,
      cpuUs: cpuUsOf.reduce((sum, [, us]) => sum + us, 0),
      cpuUsOf: Object.fromEntries(cpuUsOf),
      p50Us: quantile(sorted, 0.5) * 1000,
      p99Us: quantile(sorted, 0.99) * 1000,
      perSecond: calls / this.#seconds,
    };
  }
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
    measureAll(stack, directory, quick ? { rounds: 1, waves: 1, calls: 200 } : { rounds: 9, waves: 10, calls: 250 }),
  figures,
  markdown,
  problem: () => null,
});
