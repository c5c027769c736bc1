/**
 * `npm run bench`: what a durable decision costs, beside a bare echo and beside Cerbos with its decision log, in one run on
 * one machine with one generator. Starts and stops all it needs. See docs/benchmarks.md.
 */
import { isoMicros, systemClock } from "../src/core/clock.ts";
import { measure, type Pace, type Scenario, unexpectedAnswers } from "./measure.ts";
import { startCerbos } from "./peers/cerbos.ts";
import { startDatacrawl, startReplicas, startTimes } from "./peers/datacrawl.ts";
import { startEcho, startFloor } from "./peers/node-peers.ts";
import type { Peer } from "./peers/peer.ts";
import { figures, markdown, type Results } from "./report.ts";
import { commit, describeMachine } from "./support/machine.ts";
import { peakMemoryMiB } from "./support/procfs.ts";
import { progress, runProgram } from "./support/program.ts";
import { startPostgres, startRedis } from "./support/stores.ts";

const USAGE = `Usage: npm run bench -- [--quick] [--json] [--write]

  --quick   one short round of each: about a minute, to see that all works
  --json    the results with every round on stdout instead of the tables
  --write   put the tables into docs/benchmarks.md
`;
const DEFAULT_PACE: Pace = { rounds: 5, firstRoundMs: 10_000, warmupMs: 1_000, measureMs: 4_000 };
const QUICK_PACE: Pace = { rounds: 1, firstRoundMs: 3_000, warmupMs: 500, measureMs: 1_500 };

async function measureAll(stack: AsyncDisposableStack, directory: string, pace: Pace): Promise<Results> {
  const at = isoMicros(systemClock.now());
  const machine = await describeMachine();

  progress("starting embedded, twice");
  const startSeconds = await startTimes(stack, directory);

  progress("starting Postgres, Redis and the peers");
  const stores = { postgres: await startPostgres(stack, directory), redis: await startRedis(stack, directory) };
  const echo = await startEcho(stack, directory);
  const floor = await startFloor(stack, directory, stores.postgres, stores.redis);
  const cerbos = await startCerbos(stack, directory, 10);
  const datacrawl = await startDatacrawl(stack, directory, stores, { name: "datacrawl", rules: 10 });
  // What one service seals after its turn would be counted as the other's CPU.
  const stores10k = { ...stores, postgres: await startPostgres(stack, directory, "postgres_10k") };
  const datacrawl10k = await startDatacrawl(stack, directory, stores10k, { name: "datacrawl_10k", rules: 10_000 });
  const replicas = await startReplicas(stack, directory, stores10k, { name: "replicas", rules: 10 });

  const many = { connections: 4, streams: 32 };
  const one = { connections: 1, streams: 1 };
  const scenarios: Scenario[] = [
    { name: "decisions", ...many, keys: "fresh", peers: [echo, cerbos, datacrawl, datacrawl10k] },
    { name: "replays", ...many, keys: "replayed", peers: [echo, datacrawl] },
    { name: "one at a time", ...one, keys: "fresh", peers: [echo, floor, cerbos, datacrawl] },
    { name: "processes", ...many, keys: "fresh", peers: replicas },
  ];
  const measurements = [];
  for (const scenario of scenarios) measurements.push(...(await measure(scenario, pace, progress)));
  return {
    at,
    commit: await commit(),
    machine,
    pace: `Medians of ${pace.rounds} interleaved rounds of ${pace.measureMs / 1000} s after ${pace.warmupMs / 1000} s of warm-up.`,
    measurements,
    peakMemoryMiB: memoryOf([echo, floor, cerbos, datacrawl, datacrawl10k, ...replicas]),
    startSeconds,
  };
}

function memoryOf(peers: readonly Peer[]): Record<string, number> {
  return Object.fromEntries(peers.map(({ name, processes }) => [name, peakMemoryMiB(processes.service)]));
}

await runProgram<Results>({
  usage: USAGE,
  marker: "measured",
  filePrefix: "",
  measure: (stack, directory, { quick }) => measureAll(stack, directory, quick ? QUICK_PACE : DEFAULT_PACE),
  figures,
  markdown,
  problem: unexpectedAnswers,
});
