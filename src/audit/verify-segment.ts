import { type BinaryFields, hashBinaryRow, microsOf, uuidText } from "./binary-row.ts";
import type { Finding } from "./findings.ts";
import { type Stream, STREAM, rowLeaf } from "./leaf.ts";
import { CompactRange, type TreeNode } from "./merkle.ts";
import type { NoteKey } from "./note.ts";
import { checkCheckpoint } from "./proof.ts";
import { isStored } from "./seal.ts";

/** A checkpoint as the database has it. */
export interface StoredCheckpoint {
  readonly epoch: number;
  readonly previousSize: number;
  readonly size: number;
  readonly root: Uint8Array;
  readonly peaks: readonly Uint8Array[];
  readonly note: string;
}

/** A seal with the row that it is for, as {@link SegmentStore.readSealed} sends them: these fields, then the row's columns. */
export const SEALED_FIELDS = {
  seq: 0,
  leafHash: 1,
  id: 2,
  recordedAt: 3,
  storedHash: 4,
  payloadDigest: 5,
  row: 6,
} as const;

export interface SegmentStore {
  /** Checkpoints after that of `size`, the oldest first. */
  checkpointsFrom(epoch: number, size: number, limit: number): Promise<StoredCheckpoint[]>;
  checkpoint(epoch: number, size: number): Promise<StoredCheckpoint | null>;
  /** Sends the seals of `from` up to, not including, `to`, each with its row, or nulls where there is none. */
  readSealed(
    stream: Stream,
    epoch: number,
    from: number,
    to: number,
    each: (fields: BinaryFields) => void,
  ): Promise<void>;
  /** Stored nodes that the leaves of `from` up to `to` complete. */
  nodesBetween(epoch: number, from: number, to: number): Promise<{ node: TreeNode; hash: Uint8Array }[]>;
}

interface Leaf {
  readonly stream: Stream;
  readonly id: string;
  readonly recordedAt: number;
  readonly hash: Buffer;
}

export interface SegmentPorts {
  readonly store: SegmentStore;
  readonly keys: readonly NoteKey[];
  readonly report: (finding: Finding) => void;
  /** Whether rows of that time have been taken out of the database by an operator, with their seals left behind. */
  readonly isRetired: (recordedAt: number) => boolean;
}

/** Where the payload's digest is among the columns of a decision. */
const PAYLOAD_DIGEST = SEALED_FIELDS.row + 13;
/** Names of rows in one finding, at most. */
const NAMED = 16;

/**
 * Verifies the rows of some consecutive checkpoints: `rows → leaves → nodes → roots → signatures`. The tree is rebuilt on top
 * of `tree`, which is that of the checkpoint before; after a mismatch it goes on from what is stored, so that one fault is not
 * reported for all that follows.
 *
 * @returns how many rows were read, and the tree to go on with
 */
export async function verifyCheckpoints(
  ports: SegmentPorts,
  tree: CompactRange,
  checkpoints: readonly StoredCheckpoint[],
): Promise<{ readonly rows: number; readonly tree: CompactRange }> {
  const [first, last] = [checkpoints[0], checkpoints.at(-1)];
  if (first === undefined || last === undefined) return { rows: 0, tree };
  const { epoch } = first;
  const from = tree.size;
  const leaves = await readLeaves(ports, epoch, from, last.size);
  const computed = new Map<string, Buffer>();
  let whole = true;
  let current = tree;
  for (const checkpoint of checkpoints) {
    const grown = grow(current, leaves, from, checkpoint, computed);
    whole &&= grown !== null;
    checkStated(ports, checkpoint, current.size);
    const good = grown !== null && Buffer.compare(grown.root(), checkpoint.root) === 0;
    if (!good && grown !== null) ports.report(rootFinding(checkpoint, leaves, from));
    current = good ? grown : (storedTree(checkpoint) ?? grown ?? new CompactRange());
  }
  if (whole) await checkNodes(ports, epoch, from, last.size, computed, leaves);
  return { rows: leaves.filter((leaf) => leaf !== null).length, tree: current };
}

/** The tree that a checkpoint's stored peaks make; null if they make none. */
export function storedTree({ size, peaks }: StoredCheckpoint): CompactRange | null {
  try {
    return new CompactRange(size, peaks);
  } catch {
    return null;
  }
}

/** Reads and checks every row; the leaves are as the seals have them. */
async function readLeaves(ports: SegmentPorts, epoch: number, from: number, to: number): Promise<(Leaf | null)[]> {
  const leaves = Array.from({ length: to - from }, (): Leaf | null => null);
  for (const stream of Object.keys(STREAM) as Stream[]) {
    await ports.store.readSealed(stream, epoch, from, to, (fields) => {
      const leaf = checkRow(ports, stream, epoch, fields);
      const seq = Number(bytesOf(fields, SEALED_FIELDS.seq).readBigInt64BE(0));
      if (leaves[seq - from] !== null) {
        const { id, recordedAt } = leaf;
        ports.report({
          check: "seal_repeated",
          stream,
          id,
          recordedAt,
          epoch,
          seq,
          detail: "another row has the same place",
        });
        return;
      }
      leaves[seq - from] = leaf;
    });
  }
  for (const [index, leaf] of leaves.entries()) {
    if (leaf !== null) continue;
    ports.report({
      check: "seal_missing",
      epoch,
      seq: from + index,
      detail: "no row has this place: its seal is gone",
    });
  }
  return leaves;
}

function checkRow(ports: SegmentPorts, stream: Stream, epoch: number, fields: BinaryFields): Leaf {
  const id = uuidText(bytesOf(fields, SEALED_FIELDS.id));
  const recordedAt = microsOf(bytesOf(fields, SEALED_FIELDS.recordedAt));
  const hash = Buffer.from(bytesOf(fields, SEALED_FIELDS.leafHash));
  const stored = fields[SEALED_FIELDS.storedHash] ?? null;
  const report = (check: Finding["check"], detail: string): void => {
    const seq = Number(bytesOf(fields, SEALED_FIELDS.seq).readBigInt64BE(0));
    ports.report({ check, stream, id, recordedAt, epoch, seq, detail });
  };
  if (stored === null) {
    if (!ports.isRetired(recordedAt)) report("row_missing", "the row that was sealed is gone");
    return { stream, id, recordedAt, hash };
  }
  if (hashBinaryRow(stream, fields, SEALED_FIELDS.row).compare(stored) !== 0)
    report("row_hash", "the row's columns do not have the stored hash");
  if (rowLeaf(stream, stored).compare(hash) !== 0)
    report("leaf", "the row's stored hash is not the one that was sealed");
  const payload = fields[SEALED_FIELDS.payloadDigest] ?? null;
  if (payload !== null && payload.compare(fields[PAYLOAD_DIGEST] ?? Buffer.alloc(0)) !== 0)
    report("payload", "the kept payload does not have the row's payload digest");
  return { stream, id, recordedAt, hash };
}

/** `tree` with the leaves up to the checkpoint's size; null if one is missing. */
function grow(
  tree: CompactRange,
  leaves: readonly (Leaf | null)[],
  from: number,
  { size }: StoredCheckpoint,
  computed: Map<string, Buffer>,
): CompactRange | null {
  const grown = new CompactRange(tree.size, tree.peaks);
  for (let seq = tree.size; seq < size; seq++) {
    const leaf = leaves[seq - from] ?? null;
    if (leaf === null) return null;
    grown.append(leaf.hash, (node, hash) => {
      if (isStored(node)) computed.set(keyOf(node), Buffer.from(hash));
    });
  }
  return grown;
}

/** What a checkpoint says of itself: its signature, its columns, and that it continues the one before it. */
function checkStated({ keys, report }: SegmentPorts, checkpoint: StoredCheckpoint, previousSize: number): void {
  const { epoch, size } = checkpoint;
  const problem = (detail: string): void => report({ check: "checkpoint", epoch, seq: size, detail });
  if (checkpoint.previousSize !== previousSize)
    problem(`it continues size ${checkpoint.previousSize}, and not ${previousSize}`);
  try {
    const signed = checkCheckpoint(checkpoint.note, keys);
    const same = signed.epoch === epoch && signed.size === size && Buffer.compare(signed.root, checkpoint.root) === 0;
    if (!same) problem("its columns are not what was signed");
  } catch (error) {
    problem(error instanceof Error ? error.message : String(error));
  }
}

async function checkNodes(
  ports: SegmentPorts,
  epoch: number,
  from: number,
  to: number,
  computed: ReadonlyMap<string, Buffer>,
  leaves: readonly (Leaf | null)[],
): Promise<void> {
  const stored = await ports.store.nodesBetween(epoch, from, to);
  for (const { node, hash } of stored) {
    if (computed.get(keyOf(node))?.compare(hash) === 0) continue;
    const width = 2 ** node.level;
    const [first, end] = [Math.max(from, node.index * width), (node.index + 1) * width];
    const detail = `the stored hash above ${named(leaves, from, first, end)} is not theirs`;
    ports.report({ check: "node", epoch, seq: node.index * width, detail });
  }
  if (stored.length < computed.size) {
    const have = new Set(stored.map(({ node }) => keyOf(node)));
    const missing = [...computed.keys()].filter((key) => !have.has(key));
    ports.report({
      check: "node",
      epoch,
      seq: from,
      detail: `${missing.length} stored hashes of the tree are gone: ${missing[0]}`,
    });
  }
}

function rootFinding(
  { epoch, previousSize, size }: StoredCheckpoint,
  leaves: readonly (Leaf | null)[],
  from: number,
): Finding {
  const detail = `the signed root is not that of ${named(leaves, from, Math.max(previousSize, from), size)}`;
  return { check: "root", epoch, seq: size, detail };
}

/** The rows of a run of leaves, by id where they are few. */
function named(leaves: readonly (Leaf | null)[], from: number, first: number, end: number): string {
  const rows = leaves.slice(first - from, end - from);
  const ids = rows.slice(0, NAMED).map((leaf) => leaf?.id ?? "(missing)");
  return `${rows.length} rows from place ${first} on: ${ids.join(", ")}${rows.length > NAMED ? ", …" : ""}`;
}

function keyOf({ level, index }: TreeNode): string {
  return `${level}/${index}`;
}

function bytesOf(fields: BinaryFields, index: number): Buffer {
  const bytes = fields[index];
  if (bytes === null || bytes === undefined) throw new TypeError(`the database sent no field ${index}`);
  return bytes;
}
