/**
 * From measurements to figures. A ratio is taken within each round, between runs that stood side by side, and then the
 * median of the rounds.
 */
import type { LoadResult } from "./load.ts";
import { answersPerSecond, cpuUsPerAnswer, type Measurement, type ScenarioName } from "./measure.ts";
import { median } from "./support/statistics.ts";

export interface Results {
  readonly at: string;
  readonly commit: string;
  readonly machine: Readonly<Record<string, string>>;
  readonly pace: string;
  readonly measurements: readonly Measurement[];
  readonly peakMemoryMiB: Readonly<Record<string, number>>;
  readonly startSeconds: { readonly first: number; readonly second: number };
}

/** One line of the table of figures. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: "×" | "MiB" | "s" | "ms" | "µs" | "/s" | "bytes";
  /** What is aimed at; null: only told. */
  readonly target: { readonly atMost: number } | { readonly atLeast: number } | null;
}

export function figures(results: Results): Figure[] {
  const ratio = (scenario: ScenarioName, of: (result: LoadResult) => number, peer: string, base: string): number =>
    medianRatio(results.measurements, scenario, of, peer, base);
  const figure = (name: string, value: number, target: Figure["target"], unit: Figure["unit"] = "×"): Figure => ({
    name,
    value,
    unit,
    target,
  });
  return [
    figure("CPU per durable decision, against Cerbos", ratio("decisions", cpuUsPerAnswer, "datacrawl", "cerbos"), {
      atMost: 0.8,
    }),
    figure("CPU per durable decision, against echo", ratio("decisions", cpuUsPerAnswer, "datacrawl", "echo"), {
      atMost: 3.8,
    }),
    figure("durable decisions/s, against Cerbos", ratio("decisions", answersPerSecond, "datacrawl", "cerbos"), {
      atLeast: 1.1,
    }),
    figure("replays/s, against echo", ratio("replays", answersPerSecond, "datacrawl", "echo"), { atLeast: 0.55 }),
    figure("CPU per replay, against echo", ratio("replays", cpuUsPerAnswer, "datacrawl", "echo"), null),
    figure(
      "one at a time, median latency, against floor",
      ratio("one at a time", medianLatency, "datacrawl", "floor"),
      {
        atMost: 1.3,
      },
    ),
    figure("the same against echo", ratio("one at a time", medianLatency, "datacrawl", "echo"), null),
    figure("the same against Cerbos", ratio("one at a time", medianLatency, "datacrawl", "cerbos"), null),
    figure(
      "CPU with 10,000 other rules, against 10",
      ratio("decisions", cpuUsPerAnswer, "datacrawl_10k", "datacrawl"),
      { atMost: 1.05 },
    ),
    figure(
      "peak resident memory of the service",
      results.peakMemoryMiB.datacrawl ?? Number.NaN,
      { atMost: 220 },
      "MiB",
    ),
    figure(
      "decisions/s of two processes, against one",
      ratio("processes", answersPerSecond, "two processes", "one process"),
      null,
    ),
    figure("CPU per decision, the same", ratio("processes", cpuUsPerAnswer, "two processes", "one process"), null),
    figure("first start on an empty data directory to ready", results.startSeconds.first, null, "s"),
    figure("second start to ready", results.startSeconds.second, null, "s"),
  ];
}

function medianLatency({ p50Us }: LoadResult): number {
  return p50Us;
}

/** Whether the target is met; null where there is none. A figure that could not be measured (NaN) is missed. */
function isMet({ value, target }: Figure): boolean | null {
  if (target === null) return null;
  return "atMost" in target ? value <= target.atMost : value >= target.atLeast;
}

export function markdown(results: Results): string {
  return [
    ...measuredWhere(results),
    ...figureTable(figures(results)),
    "",
    ...table(
      ["in flight", "peer", "answers/s", "CPU µs per answer", "of which", "generator", "p50 µs", "p99 µs", "peak MiB"],
      peerRows(results),
    ),
  ].join("\n");
}

interface Measured {
  readonly at: string;
  readonly commit: string;
  readonly machine: object;
  readonly pace: string;
}

/** What stands above the tables: when, of what, on which machine and how it was measured. */
export function measuredWhere({ at, commit, machine, pace }: Measured): string[] {
  const about = Object.entries(machine).map(([what, value]) => `${what} ${value}`);
  return [`Measured ${at}, commit ${commit}: ${about.join("; ")}. ${pace}`, ""];
}

/** The lines of a table that holds each figure against its target. */
export function figureTable(lines: readonly Figure[]): string[] {
  return table(["figure", "measured", "target", ""], lines.map(figureCells));
}

function figureCells(figure: Figure): string[] {
  const { name, value, unit, target } = figure;
  const aim = target === null ? "" : "atMost" in target ? `≤ ${target.atMost}` : `≥ ${target.atLeast}`;
  const met = isMet(figure);
  return [
    name,
    `${value.toFixed(unit === "MiB" || unit === "/s" || unit === "bytes" ? 0 : 2)} ${unit}`,
    aim,
    met === null ? "" : met ? "met" : "**missed**",
  ];
}

function peerRows({ measurements, peakMemoryMiB }: Results): string[][] {
  const groups = Map.groupBy(measurements, ({ scenario, peer }) => `${scenario}/${peer}`);
  return [...groups.values()].map((group) => {
    const { scenario, peer } = group[0]!;
    const middle = (of: (result: LoadResult) => number) => median(group.map(({ result }) => of(result)));
    const split = Object.keys(group[0]!.result.cpuSeconds).map((name) => {
      const us = middle(({ cpuSeconds, answered }) => (cpuSeconds[name]! / answered) * 1e6);
      return `${name} ${us.toFixed(0)}`;
    });
    return [
      scenario,
      peer,
      middle(answersPerSecond).toFixed(0),
      middle(cpuUsPerAnswer).toFixed(0),
      split.join(", "),
      middle(({ generatorCpuSeconds, answered }) => (generatorCpuSeconds / answered) * 1e6).toFixed(0),
      middle(({ p50Us }) => p50Us).toFixed(0),
      middle(({ p99Us }) => p99Us).toFixed(0),
      peakMemoryMiB[peer]?.toFixed(0) ?? "",
    ];
  });
}

/** The median of the rounds' ratios of `peer` to `base`. */
export function medianRatio(
  measurements: readonly Measurement[],
  scenario: ScenarioName,
  of: (result: LoadResult) => number,
  peer: string,
  base: string,
): number {
  const rounds = Map.groupBy(
    measurements.filter((one) => one.scenario === scenario),
    ({ round }) => round,
  );
  const valueOf = (round: readonly Measurement[], name: string): number => {
    const one = round.find((measurement) => measurement.peer === name);
    return one === undefined ? Number.NaN : of(one.result);
  };
  return median([...rounds.values()].map((round) => valueOf(round, peer) / valueOf(round, base)));
}

/** A Markdown table with its columns aligned, so that it can be read as plain text too. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)];
}
