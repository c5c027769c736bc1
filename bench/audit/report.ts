import { answersPerSecond, cpuUsPerAnswer, type Measurement } from "../measure.ts";
import { type Figure, figureTable, measuredWhere, medianRatio, table } from "../report.ts";
import { median } from "../support/statistics.ts";
import type { CommandResult } from "./commands.ts";
import type { Storage } from "./fill.ts";
import type { ProofResults } from "./proofs.ts";

export interface AuditResults {
  readonly at: string;
  readonly commit: string;
  readonly machine: Readonly<Record<string, string>>;
  readonly pace: string;
  /** The smaller first. */
  readonly sizes: readonly SizeResult[];
  readonly proofs: ProofResults;
  readonly measurements: readonly Measurement[];
  /** How many rows each verification beside decisions had read. */
  readonly verifiedBeside: readonly number[];
  /** How many rows had no seal at the end of each round without sealing. */
  readonly leftUnsealed: readonly number[];
}

export interface SizeResult {
  readonly rows: number;
  readonly verification: CommandResult;
  readonly exported: CommandResult;
  readonly storage: readonly Storage[];
  readonly sealedPerSecond: number;
}

const ROWS_PER_SECOND = { atLeast: 50_000 };
const A_FEW_PER_CENT = { atLeast: 0.95 };
/** Of memory that does not grow with the rows. */
const CONSTANT = { atMost: 1.2 };

export function auditFigures({ sizes, proofs, measurements }: AuditResults): Figure[] {
  const [small, large] = [sizes[0]!, sizes.at(-1)!];
  const ratio = (of: (result: Measurement["result"]) => number, peer: string, base: string): number =>
    medianRatio(measurements, "decisions, by trail", of, peer, base);
  const commandFigures = (what: string, of: (size: SizeResult) => CommandResult): Figure[] => {
    const [less, more] = [of(small), of(large)];
    const cpu = more.cpuSeconds - less.cpuSeconds;
    const postgres = more.postgresCpuSeconds - less.postgresCpuSeconds;
    const rows = more.rows - less.rows;
    return [
      { name: `rows ${what} per second of its process' CPU`, value: rows / cpu, unit: "/s", target: ROWS_PER_SECOND },
      { name: "the same, with Postgres' CPU", value: rows / (cpu + postgres), unit: "/s", target: null },
      { name: "the same, by the clock", value: rows / (more.seconds - less.seconds), unit: "/s", target: null },
      {
        name: `peak memory, ${large.rows} rows against ${small.rows}`,
        value: more.peakMemoryMiB / less.peakMemoryMiB,
        unit: "×",
        target: CONSTANT,
      },
    ];
  };
  return [
    ...commandFigures("verified", ({ verification }) => verification),
    ...commandFigures("exported", ({ exported }) => exported),
    { name: "rows sealed per second, by the clock", value: large.sealedPerSecond, unit: "/s", target: null },
    {
      name: "decisions/s, sealing on against off",
      value: ratio(answersPerSecond, "empty", "empty, unsealed"),
      unit: "×",
      target: A_FEW_PER_CENT,
    },
    {
      name: "the same, CPU per decision",
      value: ratio(cpuUsPerAnswer, "empty", "empty, unsealed"),
      unit: "×",
      target: null,
    },
    {
      name: `decisions/s with ${large.rows} rows, against an empty table`,
      value: ratio(answersPerSecond, "long", "empty"),
      unit: "×",
      target: { atLeast: 0.9 },
    },
    { name: "the same, CPU per decision", value: ratio(cpuUsPerAnswer, "long", "empty"), unit: "×", target: null },
    {
      name: "decisions/s while a verification runs, against none",
      value: ratio(answersPerSecond, "long, verifying", "long"),
      unit: "×",
      target: A_FEW_PER_CENT,
    },
    {
      name: "the same, p99",
      value: ratio(({ p99Us }) => p99Us, "long, verifying", "long"),
      unit: "×",
      target: null,
    },
    ...(["inclusion", "consistency"] as const).flatMap((kind): Figure[] => {
      const proof = proofs[kind];
      return [
        { name: `${kind} proof in ${proofs.size} leaves, as JSON`, value: proof.bytes, unit: "bytes", target: null },
        { name: "the same, to make", value: proof.makeMs, unit: "ms", target: null },
        { name: "the same, to check", value: proof.checkMs, unit: "ms", target: null },
      ];
    }),
  ];
}

export function auditMarkdown(results: AuditResults): string {
  return [
    ...measuredWhere(results),
    ...figureTable(auditFigures(results)),
    "",
    ...table(
      ["command", "rows", "seconds", "its CPU s", "Postgres' CPU s", "peak MiB", "file MB"],
      results.sizes.flatMap((size) => [
        commandRow("audit verify --full", size.verification),
        commandRow("audit export --payloads", size.exported),
      ]),
    ),
    "",
    ...table(
      ["trail", "decisions/s", "CPU µs per decision", "p50 µs", "p99 µs"],
      ["empty, unsealed", "empty", "long", "long, verifying"].map((peer) => peerRow(results.measurements, peer)),
    ),
    "",
    ...table(["table", "bytes a row", "of which indexes"], storageRows(results.sizes.at(-1)!)),
  ].join("\n");
}

function commandRow(name: string, result: CommandResult): string[] {
  const { rows, seconds, cpuSeconds, postgresCpuSeconds, peakMemoryMiB, fileBytes } = result;
  const numbers = [seconds, cpuSeconds, postgresCpuSeconds].map((value) => value.toFixed(1));
  const file = fileBytes === 0 ? "" : (fileBytes / 1e6).toFixed(0);
  return [name, String(rows), ...numbers, peakMemoryMiB.toFixed(0), file];
}

function peerRow(measurements: readonly Measurement[], peer: string): string[] {
  const own = measurements.filter((one) => one.peer === peer).map(({ result }) => result);
  const of = [answersPerSecond, cpuUsPerAnswer, ({ p50Us }: { p50Us: number }) => p50Us];
  const values = [...of, ({ p99Us }: { p99Us: number }) => p99Us].map((one) =>
    median(own.map((result) => one(result))),
  );
  return [peer, ...values.map((value) => value.toFixed(0))];
}

function storageRows({ rows, storage }: SizeResult): string[][] {
  const perRow = (bytes: number): string => (bytes / rows).toFixed(0);
  const sum = (of: (one: Storage) => number): string => perRow(storage.reduce((total, one) => total + of(one), 0));
  const lines = storage.map(({ table, bytes, indexBytes }) => [table, perRow(bytes), perRow(indexBytes)]);
  return [...lines, ["all", sum(({ bytes }) => bytes), sum(({ indexBytes }) => indexBytes)]];
}
