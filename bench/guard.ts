/**
 * `npm run bench:guard`: what the guard costs and how fast it is when the service is dead, beside a bare echo and a bare stub.
 * Starts and stops all it needs. See docs/benchmarks.md.
 */
import { join } from "node:path";
import { isoMicros, systemClock } from "../src/core/clock.ts";
import type { CallerResult, CallerSpec } from "./guard/caller.ts";
import type { DenyResult, DenySpec } from "./guard/deny.ts";
import { timeFleets } from "./guard/fleet.ts";
import { runPart } from "./guard/parts.ts";
import { type CallerRound, guardFigures, guardMarkdown, type GuardResults } from "./guard/report.ts";
import { startOpenSidecar } from "./guard/sidecar.ts";
import { measure, type Pace, unexpectedAnswers } from "./measure.ts";
import { startAnswering, startEcho } from "./peers/node-peers.ts";
import { freePort } from "./support/child.ts";
import { commit, describeGuardMachine } from "./support/machine.ts";
import { progress, runProgram } from "./support/program.ts";
import { startRedis } from "./support/stores.ts";

const USAGE = `Usage: npm run bench:guard -- [--quick] [--json] [--write]

  --quick   few calls and one short round of each: half a minute, to see that all works
  --json    the results with every round on stdout instead of the table
  --write   put the table into docs/benchmarks.md
`;

interface GuardPace extends Pace {
  readonly denies: number;
  readonly agents: number;
}

const DEFAULT_PACE: GuardPace = {
  rounds: 5,
  firstRoundMs: 8_000,
  warmupMs: 1_000,
  measureMs: 4_000,
  denies: 1_000_000,
  agents: 200,
};
const QUICK_PACE: GuardPace = {
  rounds: 1,
  firstRoundMs: 2_000,
  warmupMs: 500,
  measureMs: 1_000,
  denies: 50_000,
  agents: 10,
};

async function measureAll(stack: AsyncDisposableStack, directory: string, pace: GuardPace): Promise<GuardResults> {
  const at = isoMicros(systemClock.now());
  // Of a service that has died: connections are refused.
  const deadUrl = `http://127.0.0.1:${await freePort()}`;

  progress(`${pace.denies} denies in one process`);
  const denies = await measureDenies(stack, directory, deadUrl, pace.denies);

  const echo = await startEcho(stack, directory);
  const sidecar = await startOpenSidecar(stack, directory, deadUrl);
  const peers = [echo, sidecar];
  const one = { name: "denies, one at a time", connections: 1, streams: 1, keys: "fresh", peers } as const;
  const many = { name: "denies", connections: 4, streams: 32, keys: "fresh", peers } as const;
  const measurements = [...(await measure(one, pace, progress)), ...(await measure(many, pace, progress))];

  progress(`${pace.agents} fleets whose service dies`);
  const redis = await startRedis(stack, directory);
  const fleets = await timeFleets({ agents: pace.agents, deadUrl, redisUrl: redis.url });

  const { port } = await startAnswering(stack, directory);
  const calls = await measureCalls(port, directory, pace);
  return {
    at,
    commit: await commit(),
    machine: await describeGuardMachine(),
    pace: `Medians of ${pace.rounds} interleaved rounds of ${pace.measureMs / 1000} s after ${pace.warmupMs / 1000} s of warm-up.`,
    denies,
    measurements,
    fleets,
    calls,
  };
}

async function measureDenies(
  outer: AsyncDisposableStack,
  directory: string,
  deadUrl: string,
  calls: number,
): Promise<DenyResult> {
  await using stack = outer.use(new AsyncDisposableStack());
  const redis = await startRedis(stack, directory);
  // It was stopped, and a stopped process does not hear that it shall end.
  stack.defer(() => void process.kill(redis.pid, "SIGCONT"));
  const journalDir = join(directory, "denies");
  const spec: DenySpec = { calls, deadUrl, redisUrl: redis.url, redisPid: redis.pid, journalDir };
  return await runPart<DenyResult>("deny", spec);
}

async function measureCalls(port: number, directory: string, pace: GuardPace): Promise<CallerRound[]> {
  const rounds: CallerRound[] = [];
  for (let round = 1; round <= pace.rounds; round++) {
    for (const inFlight of [1, 32]) {
      for (const kind of ["stub", "library"] as const) {
        const journalDir = join(directory, "calls");
        // Each is a process of its own, which the first part of its window warms up.
        const window = { warmupMs: pace.warmupMs * 3, measureMs: pace.measureMs };
        const spec: CallerSpec = { with: kind, port, inFlight, journalDir, ...window };
        const result = await runPart<CallerResult>("caller", spec);
        const brief = `p50 ${result.p50Us.toFixed(0)} µs, ${result.cpuUsPerCall.toFixed(0)} µs CPU each`;
        progress(`healthy calls, round ${round} of ${pace.rounds}, ${inFlight} in flight: ${kind} ${brief}`);
        rounds.push({ round, spec: { with: kind, inFlight }, result });
      }
    }
  }
  return rounds;
}

await runProgram<GuardResults>({
  usage: USAGE,
  marker: "guard measured",
  filePrefix: "guard-",
  measure: (stack, directory, { quick }) => measureAll(stack, directory, quick ? QUICK_PACE : DEFAULT_PACE),
  figures: guardFigures,
  markdown: guardMarkdown,
  problem: unexpectedAnswers,
});
