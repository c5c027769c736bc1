import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { KEY_PREFIX_LENGTH, type LoadResult, type LoadSpec } from "./load.ts";
import type { Peer } from "./peers/peer.ts";
import { run } from "./support/child.ts";

/** A way of asking, and whom. The peers take turns, back and forth, so that the machine's moods hit all alike. */
export interface Scenario {
  readonly name: ScenarioName;
  readonly connections: number;
  readonly streams: number;
  readonly keys: "fresh" | "replayed";
  readonly peers: readonly Peer[];
}

export type ScenarioName =
  | "decisions"
  | "replays"
  | "one at a time"
  | "processes"
  | "denies"
  | "denies, one at a time"
  | "decisions, by trail";

export interface Pace {
  /** Measured rounds. One more goes before them and is thrown away: by then the compilers are done. */
  readonly rounds: number;
  readonly firstRoundMs: number;
  readonly warmupMs: number;
  readonly measureMs: number;
}

export interface Measurement {
  readonly scenario: ScenarioName;
  readonly peer: string;
  readonly round: number;
  readonly result: LoadResult;
}

const LOAD = fileURLToPath(new URL("load.ts", import.meta.url));
/** Distinct keys among which replays go round: more than are in flight, so that no two calls in flight share one. */
export const REPLAYED_KEYS = 1024;

/** Measures `scenario`, telling `progress` about each round. */
export async function measure(
  scenario: Scenario,
  pace: Pace,
  progress: (line: string) => void,
): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  const keysOfRound = keySequences(scenario.keys);
  for (let round = 0; round <= pace.rounds; round++) {
    for (const peer of round % 2 === 0 ? scenario.peers : scenario.peers.toReversed()) {
      const measureMs = round === 0 ? pace.firstRoundMs : pace.measureMs;
      const settings = { ...scenario, ...pace, ...keysOfRound(peer, round), measureMs };
      await using _ = await peer.beside?.();
      const result = await load(peer, settings);
      progress(`${scenario.name}, round ${round} of ${pace.rounds}: ${peer.name} ${brief(result)}`);
      if (round > 0) measurements.push({ scenario: scenario.name, peer: peer.name, round, result });
    }
  }
  return measurements;
}

type Keys = Pick<LoadSpec, "keyPrefix" | "keyCycle" | "expected">;

/** Every key new in every round; or the same keys in all rounds, which the service sees as replays from the second on. */
function keySequences(keys: Scenario["keys"]): (peer: Peer, round: number) => Keys {
  if (keys === "fresh") return ({ expected }) => ({ keyPrefix: newPrefix(), keyCycle: 0, expected });
  const keyPrefix = newPrefix();
  return ({ expected }, round) => ({
    keyPrefix,
    keyCycle: REPLAYED_KEYS,
    expected: expected === "authorize" && round > 0 ? "replay" : expected,
  });
}

/** One run of the generator, in a process of its own. */
export async function load(peer: Peer, settings: Keys & LoadSettings): Promise<LoadResult> {
  const { keyPrefix, keyCycle, expected, connections, streams, warmupMs, measureMs } = settings;
  const spec: LoadSpec = {
    ports: [peer.port, ...(peer.otherPorts ?? [])],
    path: peer.path,
    metadata: peer.metadata,
    message: peer.request.message.toString("base64"),
    keyAt: peer.request.keyAt,
    keyPrefix,
    keyCycle,
    expected,
    connections,
    streams,
    warmupMs,
    measureMs,
    processes: peer.processes,
  };
  const args = [LOAD, JSON.stringify(spec)];
  const result: LoadResult = JSON.parse(await run({ name: `load on ${peer.name}`, file: process.execPath, args }));
  return result;
}

type LoadSettings = Pick<LoadSpec, "connections" | "streams" | "warmupMs" | "measureMs">;

/** Service, Postgres and Redis together. */
export function cpuUsPerAnswer({ cpuSeconds, answered }: LoadResult): number {
  return (Object.values(cpuSeconds).reduce((sum, seconds) => sum + seconds, 0) / answered) * 1e6;
}

export function answersPerSecond({ answered, seconds }: LoadResult): number {
  return answered / seconds;
}

/** Null if every answer was the expected one. */
export function unexpectedAnswers({ measurements }: { readonly measurements: readonly Measurement[] }): string | null {
  const failed = measurements.some(({ result }) => result.failed > 0);
  return failed ? "some answers were not as expected, and are not counted" : null;
}

export function newPrefix(): string {
  return randomBytes(KEY_PREFIX_LENGTH / 2).toString("hex");
}

function brief(result: LoadResult): string {
  const rate = `${Math.round(answersPerSecond(result))}/s, ${cpuUsPerAnswer(result).toFixed(0)} µs CPU each`;
  return result.failed === 0 ? rate : `${rate}, ${result.failed} FAILED: ${result.firstFailure}`;
}
