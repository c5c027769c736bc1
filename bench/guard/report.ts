import { cpuUsPerAnswer, type Measurement } from "../measure.ts";
import { type Figure, figureTable, measuredWhere, medianRatio } from "../report.ts";
import { median, quantile } from "../support/statistics.ts";
import type { CallerResult, CallerSpec } from "./caller.ts";
import type { DenyResult } from "./deny.ts";

export interface GuardResults {
  readonly at: string;
  readonly commit: string;
  readonly machine: Readonly<Record<string, string>>;
  readonly pace: string;
  readonly denies: DenyResult;
  /** Echo and sidecar. */
  readonly measurements: readonly Measurement[];
  /** Milliseconds. */
  readonly fleets: readonly number[];
  readonly calls: readonly CallerRound[];
}

export interface CallerRound {
  readonly round: number;
  readonly spec: Pick<CallerSpec, "with" | "inFlight">;
  readonly result: CallerResult;
}

export function guardFigures({ denies, measurements, fleets, calls }: GuardResults): Figure[] {
  const heard = Float64Array.from(fleets).toSorted();
  const latency = ({ p50Us }: { p50Us: number }): number => p50Us;
  const library = (of: (result: CallerResult) => number, inFlight: number): number => callRatio(calls, of, inFlight);
  return [
    { name: "deny with the circuit open, in-process, p50", value: denies.p50Us, unit: "µs", target: null },
    { name: "the same, p99.9", value: denies.p999Us / 1000, unit: "ms", target: { atMost: 1 } },
    { name: `the same, highest of ${denies.calls}`, value: denies.maxUs / 1000, unit: "ms", target: null },
    {
      name: "deny through the sidecar, one at a time, median latency, against echo",
      value: medianRatio(measurements, "denies, one at a time", latency, "sidecar", "echo"),
      unit: "×",
      target: { atMost: 1.3 },
    },
    {
      name: "the same, 128 in flight, CPU per answer",
      value: medianRatio(measurements, "denies", cpuUsPerAnswer, "sidecar", "echo"),
      unit: "×",
      target: { atMost: 1.5 },
    },
    {
      name: "from the last counted failure to the open circuit of another process, median",
      value: quantile(heard, 0.5),
      unit: "ms",
      target: null,
    },
    { name: `the same, p99 of ${heard.length}`, value: quantile(heard, 0.99), unit: "ms", target: { atMost: 200 } },
    {
      name: "healthy call with the library, one at a time, median latency, against a bare stub",
      value: library(latency, 1),
      unit: "×",
      target: { atMost: 1.15 },
    },
    {
      name: "the same, 32 in flight, CPU of the calling process",
      value: library(({ cpuUsPerCall }) => cpuUsPerCall, 32),
      unit: "×",
      target: { atMost: 1.15 },
    },
  ];
}

export function guardMarkdown(results: GuardResults): string {
  return [...measuredWhere(results), ...figureTable(guardFigures(results))].join("\n");
}

function callRatio(rounds: readonly CallerRound[], of: (result: CallerResult) => number, inFlight: number): number {
  const byRound = Map.groupBy(
    rounds.filter(({ spec }) => spec.inFlight === inFlight),
    ({ round }) => round,
  );
  const valueOf = (round: readonly CallerRound[], kind: CallerSpec["with"]): number =>
    of(round.find(({ spec }) => spec.with === kind)!.result);
  return median([...byRound.values()].map((round) => valueOf(round, "library") / valueOf(round, "stub")));
}
