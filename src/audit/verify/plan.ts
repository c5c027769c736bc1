import type { Micros } from "../../core/clock.ts";
import { FROM_START, type NextRun, type Progress, type Segment } from "./verify.ts";

/** What a run is to verify. */
export type Scope =
  | { readonly kind: "full" }
  /** What was sealed at or after a time. */
  | { readonly kind: "since"; readonly since: Micros }
  /** What is new since the last run that finished, and a part of the rest that goes round. */
  | { readonly kind: "incremental" };

export interface PlanPorts {
  epochs(): Promise<{ epoch: number; size: number }[]>;
  /** The size of the newest checkpoint of an epoch that is at most `size`; 0 if there is none. */
  checkpointAtOrBefore(epoch: number, size: number): Promise<number>;
  /** The size of the newest checkpoint of an epoch that was made before `at`; 0 if there is none. */
  checkpointBefore(epoch: number, at: Micros): Promise<number>;
}

export interface Last {
  /** When the last run that finished began. */
  readonly startedAt: Micros;
  readonly next: NextRun;
}

const DAY: Micros = 86_400_000_000;

/** Plans a run. An incremental run with none before it is a full one. */
export async function planRun(
  ports: PlanPorts,
  scope: Scope,
  last: Last | null,
  now: Micros,
  reverifyDays: number,
): Promise<Progress> {
  const epochs = await ports.epochs();
  const newest = epochs.at(-1) ?? { epoch: 1, size: 0 };
  const whole = epochs.map(({ epoch, size }): Segment => ({ epoch, from: 0, to: size }));
  const begun = { published: true, rows: 0, problems: 0, findings: [] };
  const all = [{ after: FROM_START, rows: null }];
  if (scope.kind === "full" || (scope.kind === "incremental" && last === null)) {
    const next = { ...newest, rolling: 0, strayAfter: FROM_START };
    return { ...begun, segments: nonEmpty(whole), strays: all, total: rowsOf(whole), next };
  }
  const kept = last?.next ?? { epoch: 0, size: 0, rolling: 0, strayAfter: FROM_START };
  if (scope.kind === "since") {
    const segments = await Promise.all(
      whole.map(async (one) => ({ ...one, from: await ports.checkpointBefore(one.epoch, scope.since) })),
    );
    const strays = [{ after: placeAt(scope.since), rows: null }];
    return { ...begun, segments: nonEmpty(segments), strays, total: rowsOf(segments), next: kept };
  }
  const fresh = whole.map((one) => {
    if (one.epoch !== kept.epoch) return one.epoch < kept.epoch ? { ...one, from: one.to } : one;
    return { ...one, from: Math.min(kept.size, one.to) };
  });
  const old = whole.map((one, index) => ({ ...one, to: fresh[index]?.from ?? one.to }));
  const elapsed = Math.max(0, now - (last?.startedAt ?? now)) / (reverifyDays * DAY);
  const share = Math.ceil(rowsOf(old) * Math.min(1, elapsed));
  const { segments: rolling, end } = await roll(ports, old, kept.rolling, share);
  const segments = nonEmpty([...fresh, ...rolling]);
  // A day earlier: an id is made before its row is committed.
  const strays = [
    { after: placeAt((last?.startedAt ?? 0) - DAY), rows: null },
    { after: kept.strayAfter, rows: share },
  ];
  return {
    ...begun,
    segments,
    strays,
    total: rowsOf(segments),
    next: { ...newest, rolling: end, strayAfter: kept.strayAfter },
  };
}

/** `share` rows of `old` from the row `at` on, round and round; whole checkpoints, so rather more. */
async function roll(
  ports: PlanPorts,
  old: readonly Segment[],
  at: number,
  share: number,
): Promise<{ segments: Segment[]; end: number }> {
  const total = rowsOf(old);
  if (total === 0 || share === 0) return { segments: [], end: 0 };
  const begin = at % total;
  const parts =
    begin + share <= total
      ? [[begin, begin + share]]
      : [
          [begin, total],
          [0, begin + share - total],
        ];
  const segments: Segment[] = [];
  for (const [first = 0, end = 0] of parts) {
    let before = 0;
    for (const { epoch, from, to } of old) {
      const [low, high] = [Math.max(first - before, 0), Math.min(end - before, to - from)];
      before += to - from;
      if (low >= high) continue;
      segments.push({ epoch, from: await ports.checkpointAtOrBefore(epoch, low), to: high });
    }
  }
  return { segments, end: (begin + share) % total };
}

/** The place before the ids (UUIDs of version 7) that were made at that time or later. */
function placeAt(at: Micros): string {
  const hex = Math.max(0, Math.floor(at / 1000))
    .toString(16)
    .padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000 0 0`;
}

function rowsOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { from, to }) => sum + to - from, 0);
}

function nonEmpty(segments: readonly Segment[]): Segment[] {
  return segments.filter(({ from, to }) => from < to);
}
