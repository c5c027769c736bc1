import { checkpointLine, epochLine, gapLine, headerLine } from "../audit/proof/export-lines.ts";
import { type NodeReader, subtreesOf, type TreeNode } from "../audit/log/merkle.ts";
import type { Micros } from "../core/clock.ts";
import { invalid } from "./checks.ts";
import type { StoredCheckpoint } from "./proofs.ts";
import type { ExportRange, RowLine, SqlExportReader } from "../store/export.ts";

/** Where a part begins: the tree of `epoch` under its checkpoint of `size` leaves has been written up to before leaf `at`. */
interface Position {
  readonly epoch: number;
  readonly size: number;
  readonly at: number;
  /** As `at`, when a checkpoint was last written. */
  readonly noted: number;
}

export interface ExportPart {
  readonly lines: Buffer;
  readonly decisions: number;
  readonly events: number;
  readonly payloads: number;
  readonly missing: number;
  /** When its latest row was recorded; 0 if it has none. */
  readonly reached: Micros;
}

export interface ExportPorts {
  readonly log: string;
  readonly verifierKeys: () => Promise<readonly string[]>;
  readonly trail: SqlExportReader;
}

/** Rows in one part: some megabytes, which is what an export needs of memory. */
const ROWS = 2000;
/** A checkpoint is written after so many leaves, if there is one: each costs a line and its reader a signature. */
const CHECKPOINT_EVERY = 500;
const NO_ROWS = { decisions: 0, events: 0, payloads: 0, missing: 0, reached: 0 } as const;

/** Exports sealed rows, part by part; one part is in memory at a time. */
export class ExportOperations {
  readonly #ports: ExportPorts;

  constructor(ports: ExportPorts) {
    this.#ports = ports;
  }

  /** @throws Fault FIELD_INVALID */
  async *parts(range: ExportRange): AsyncGenerator<ExportPart> {
    const { from, to, payloads } = range;
    if (from !== null && from >= to) throw invalid("from_us", "must be before to_us");
    const { log, trail, verifierKeys } = this.#ports;
    yield {
      ...NO_ROWS,
      lines: Buffer.from(headerLine({ log, from, to, payloads, verifierKeys: await verifierKeys() })),
    };
    let epoch = 0;
    for (;;) {
      const checkpoint = await trail.checkpointAfterEpoch(epoch);
      if (checkpoint === null) return;
      yield { ...NO_ROWS, lines: Buffer.from(epochLine(checkpoint.epoch)) };
      yield* this.#epoch(range, checkpoint);
      epoch = checkpoint.epoch;
    }
  }

  /** The leaves under `checkpoint`. What is sealed meanwhile is not in the file. */
  async *#epoch(range: ExportRange, { epoch, size }: StoredCheckpoint): AsyncGenerator<ExportPart> {
    const { trail } = this.#ports;
    let position: Position = { epoch, size, at: 0, noted: 0 };
    while (position.at < size) {
      const stretch = await trail.stretch(range, position, ROWS);
      const rows = stretch === null ? [] : await trail.rows(epoch, stretch, range.payloads);
      const end = stretch === null || stretch.rows < ROWS ? size : stretch.last + 1;
      const { lines, noted } = await this.#lines(position, rows, end);
      const missing = (stretch?.rows ?? 0) - rows.length;
      yield { lines, ...totalsOf(rows), missing, reached: stretch?.latest ?? 0 };
      position = { ...position, at: end, noted };
    }
  }

  /** Rows, what is between them, and checkpoints, up to before leaf `end`. */
  async #lines(
    { epoch, size, at: start, noted: notedBefore }: Position,
    rows: readonly RowLine[],
    end: number,
  ): Promise<{ lines: Buffer; noted: number }> {
    const { trail } = this.#ports;
    const gaps = gapsOf(start, rows, end);
    const nodes = await readGaps(gaps, trail.nodes(epoch));
    const checkpoints = await trail.checkpoints(epoch, notedBefore, end);
    const notes = new Map(checkpoints.map((checkpoint) => [checkpoint.size, checkpoint.note]));
    const lines: Buffer[] = [];
    let noted = notedBefore;
    const mayNote = (at: number): void => {
      const note = notes.get(at);
      if (note === undefined || (at < size && at - noted < CHECKPOINT_EVERY)) return;
      lines.push(Buffer.from(checkpointLine(note)));
      noted = at;
    };
    for (const [index, gap] of gaps.entries()) {
      if (gap.from < gap.end) lines.push(Buffer.from(gapLine(gap.end, nodes[index] ?? [])));
      if (gap.from < gap.end) mayNote(gap.end);
      const row = rows[index];
      if (row === undefined) break;
      lines.push(row.line);
      mayNote(row.seq + 1);
    }
    return { lines: Buffer.concat(lines), noted };
  }
}

interface Gap {
  readonly from: number;
  /** The leaf after. */
  readonly end: number;
}

/** What is before each row, and after the last; most are empty. */
function gapsOf(start: number, rows: readonly RowLine[], end: number): Gap[] {
  const before = rows.map(({ seq }, index) => ({
    from: index === 0 ? start : (rows[index - 1]?.seq ?? 0) + 1,
    end: seq,
  }));
  const last = rows.at(-1);
  return [...before, { from: last === undefined ? start : last.seq + 1, end }];
}

async function readGaps(gaps: readonly Gap[], read: NodeReader): Promise<Uint8Array[][]> {
  const subtrees = gaps.map(({ from, end }) => subtreesOf(from, end));
  const wanted: TreeNode[] = subtrees.flat();
  const hashes = wanted.length === 0 ? [] : await read(wanted);
  let at = 0;
  return subtrees.map(({ length }) => hashes.slice(at, (at += length)));
}

function totalsOf(rows: readonly RowLine[]): { decisions: number; events: number; payloads: number } {
  const decisions = rows.filter(({ stream }) => stream === "decisions").length;
  const payloads = rows.filter(({ payload }) => payload).length;
  return { decisions, events: rows.length - decisions, payloads };
}
