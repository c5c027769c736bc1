import type { Micros } from "../../core/clock.ts";
import { type Acknowledgement, acknowledgementIn, coversLossOf } from "../seal/acknowledgement.ts";
import { type Finding, KEPT_FINDINGS } from "./findings.ts";
import { CompactRange } from "../log/merkle.ts";
import type { NoteKey } from "../log/note.ts";
import { checkCheckpoint } from "../proof/proof.ts";
import type { CheckpointDirectory, UnverifiedCheckpoint } from "../seal/published.ts";
import { type SegmentStore, type StoredCheckpoint, storedTree, verifyCheckpoints } from "./segment.ts";
import { messageOf } from "../../core/fault.ts";

/** Rows of one epoch's tree, from a checkpoint's size on up to another's. */
export interface Segment {
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
}

/** A place among all rows of the trail, by their ids: after which the search for rows without a seal goes on, and up to where. */
export interface StraySearch {
  readonly after: string;
  /** The search ends after so many rows; null for all. */
  readonly rows: number | null;
}

/** How far a run has come. Plain JSON: it is stored after each piece, and a run that is killed goes on from there. */
export interface Progress {
  readonly segments: readonly Segment[];
  readonly strays: readonly StraySearch[];
  /** Whether checkpoints outside are still to be compared. */
  readonly published: boolean;
  /** Rows that the segments held when the run began, and how many of them have been read. */
  readonly total: number;
  readonly rows: number;
  /** How many things were found wrong; the first of them are kept. */
  readonly problems: number;
  readonly findings: readonly Finding[];
  /** Where the next incremental run begins, if this one finishes. */
  readonly next: NextRun;
}

export interface NextRun {
  /** What has been verified since it was sealed. */
  readonly epoch: number;
  readonly size: number;
  /** How far the rolling part has come, in rows of all epochs one after another. */
  readonly rolling: number;
  readonly strayAfter: string;
}

export interface VerifyStore extends SegmentStore {
  /** Sizes of all epochs, the oldest first: of the newest checkpoint, and the highest place of any seal and one; and what opened them. */
  epochs(): Promise<{ epoch: number; size: number; sealed: number; acknowledgement: string | null }[]>;
  /** Rows by id after `after`: how many were read, the last one's place, and those without a seal that were inserted before `settled`. */
  strays(after: string, limit: number, settled: Micros): Promise<Strays>;
  /** Months whose rows an operator has taken out of the database. */
  retired(): Promise<{ from: Micros; to: Micros }[]>;
}

export interface Strays {
  readonly read: number;
  readonly last: string;
  readonly found: readonly Pick<Required<Finding>, "stream" | "id" | "recordedAt">[];
}

export interface VerificationPorts {
  readonly store: VerifyStore;
  readonly keys: readonly NoteKey[];
  readonly directory: CheckpointDirectory | null;
  /** Every row that was inserted before it has a seal. */
  readonly settled: Micros;
  /** Rows in one piece: what is read and hashed between two pauses. */
  readonly pieceRows: number;
  /**
   * Called after each piece with what is now to be remembered; waits as long as others are to have the processor. False if the
   * run is not ours any more.
   */
  readonly pause: (progress: Progress) => Promise<boolean>;
}

/** The first place of a search for rows without a seal: an id, a time and a table. */
export const FROM_START = "00000000-0000-0000-0000-000000000000 0 0";
/** Every other one begins where an operator has acknowledged a rollback. */
const FIRST_EPOCH = 1;
const CHECKPOINTS_AT_ONCE = 200;
const PUBLISHED_AT_ONCE = 200;

/** Verifies what `progress` says is left: `rows and seals → rows without a seal → checkpoints outside`. Null if the run was lost. */
export async function verify(ports: VerificationPorts, begun: Progress): Promise<Progress | null> {
  const run = new Run(ports, begun, await ports.store.retired());
  for (const segment of begun.segments) if (!(await run.segment(segment))) return null;
  for (const search of begun.strays) if (!(await run.search(search))) return null;
  if (begun.published && !(await run.published())) return null;
  return run.progress;
}

class Run {
  readonly #ports: VerificationPorts;
  readonly #retired: readonly { from: Micros; to: Micros }[];
  #progress: Progress;

  constructor(ports: VerificationPorts, progress: Progress, retired: readonly { from: Micros; to: Micros }[]) {
    this.#ports = ports;
    this.#progress = progress;
    this.#retired = retired;
  }

  get progress(): Progress {
    return this.#progress;
  }

  async segment({ epoch, from, to }: Segment): Promise<boolean> {
    const { store } = this.#ports;
    let tree = await this.#treeAt(epoch, from);
    while (tree.size < to) {
      const next = await store.checkpointsFrom(epoch, tree.size, CHECKPOINTS_AT_ONCE);
      const checkpoints = pieceOf(next, tree.size, to, this.#ports.pieceRows);
      if (checkpoints.length === 0) break;
      const verified = await verifyCheckpoints(this.#segmentPorts(), tree, checkpoints);
      tree = verified.tree;
      const rest = tree.size < to ? [{ epoch, from: tree.size, to }] : [];
      this.#update({ rows: this.#progress.rows + verified.rows, segments: [...rest, ...this.#later()] });
      if (!(await this.#ports.pause(this.#progress))) return false;
    }
    return true;
  }

  async search({ after, rows }: StraySearch): Promise<boolean> {
    const { store, settled, pieceRows } = this.#ports;
    const later = this.#progress.strays.slice(1);
    let [at, left] = [after, rows];
    while (left === null || left > 0) {
      const { read, last, found } = await store.strays(at, pieceRows, settled);
      for (const stray of found) this.#report({ check: "row_unsealed", ...stray, detail: "the row has no seal" });
      const ended = read < pieceRows;
      at = ended ? FROM_START : last;
      left = left === null ? null : Math.max(0, left - read);
      const rest = ended || left === 0 ? [] : [{ after: at, rows: left }];
      // Only the part that goes round remembers where it has come to.
      const next = rows === null ? this.#progress.next : { ...this.#progress.next, strayAfter: at };
      this.#update({ strays: [...rest, ...later], next });
      if (!(await this.#ports.pause(this.#progress))) return false;
      if (ended) break;
    }
    return true;
  }

  /** What was published must be what the database says, unless an operator has taken note of its loss. */
  async published(): Promise<boolean> {
    const { directory, store, keys } = this.#ports;
    const epochs = await store.epochs();
    const acknowledged: Acknowledgement[] = [];
    for (const { epoch, size, sealed, acknowledgement } of epochs) {
      if (sealed > size)
        this.#report({
          check: "checkpoint",
          epoch,
          seq: size,
          detail: `${sealed - size} seals after the newest checkpoint: later ones are gone`,
        });
      if (epoch === FIRST_EPOCH) continue;
      const given = acknowledgement === null ? null : acknowledgementIn(acknowledgement, keys);
      if (given?.epoch === epoch) acknowledged.push(given);
      else
        this.#report({ check: "checkpoint", epoch, seq: 0, detail: "no key of this log signed that the epoch begins" });
    }
    if (directory !== null) {
      const isLost = (one: UnverifiedCheckpoint): boolean => acknowledged.some((loss) => coversLossOf(loss, one));
      let read = 0;
      for await (const outside of directory.all()) {
        if (++read % PUBLISHED_AT_ONCE === 0 && !(await this.#ports.pause(this.#progress))) return false;
        if ("unreadable" in outside) {
          this.#report({ check: "published", detail: outside.unreadable });
          continue;
        }
        const problem = await this.#problemWith(outside);
        if (problem !== null && !isLost(outside))
          this.#report({ check: "published", epoch: outside.epoch, seq: outside.size, detail: problem });
      }
    }
    this.#update({ published: false });
    return true;
  }

  async #problemWith(outside: UnverifiedCheckpoint): Promise<string | null> {
    try {
      checkCheckpoint(outside.note, this.#ports.keys);
    } catch (error) {
      return `the published checkpoint: ${messageOf(error)}`;
    }
    const stored = await this.#ports.store.checkpointAt(outside.epoch, outside.size);
    if (stored === null) return "the database does not have this published checkpoint: it was rolled back or truncated";
    if (Buffer.compare(stored.root, outside.root) !== 0) return "the database has another root than was published";
    return null;
  }

  async #treeAt(epoch: number, size: number): Promise<CompactRange> {
    if (size === 0) return new CompactRange();
    const checkpoint = await this.#ports.store.checkpointAt(epoch, size);
    const tree = checkpoint === null ? null : storedTree(checkpoint);
    if (checkpoint !== null && tree !== null && Buffer.compare(tree.root(), checkpoint.root) === 0) return tree;
    this.#report({ check: "checkpoint", epoch, seq: size, detail: "its root is not that of its peaks, or it is gone" });
    // Everything is then to be rebuilt from the first leaf.
    return new CompactRange();
  }

  #segmentPorts() {
    const { store, keys } = this.#ports;
    const isRetired = (at: Micros): boolean => this.#retired.some(({ from, to }) => at >= from && at < to);
    return { store, keys, isRetired, report: (finding: Finding) => this.#report(finding) };
  }

  #later(): readonly Segment[] {
    return this.#progress.segments.slice(1);
  }

  #report(finding: Finding): void {
    const { problems, findings } = this.#progress;
    this.#update({
      problems: problems + 1,
      findings: findings.length < KEPT_FINDINGS ? [...findings, finding] : findings,
    });
  }

  #update(change: Partial<Progress>): void {
    this.#progress = { ...this.#progress, ...change };
  }
}

/** As many checkpoints as make up a piece, and at least one; none beyond `to`. */
function pieceOf(
  checkpoints: readonly StoredCheckpoint[],
  from: number,
  to: number,
  pieceRows: number,
): StoredCheckpoint[] {
  const within = checkpoints.filter(({ size }) => size <= to);
  const fits = within.filter(({ size }) => size - from <= pieceRows);
  return fits.length > 0 ? fits : within.slice(0, 1);
}
