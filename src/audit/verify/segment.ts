import { type BinaryFields, hashBinaryRow, isNull, microsAt, startOf, uuidAt } from "../row/binary-row.ts";
import type { Finding } from "./findings.ts";
import { type Stream, STREAM, rowLeaf } from "../log/leaf.ts";
import { Leaves } from "./leaves.ts";
import { CompactRange, type TreeNode } from "../log/merkle.ts";
import type { NoteKey } from "../log/note.ts";
import { checkCheckpoint } from "../proof/proof.ts";
import { isStored } from "../seal/seal.ts";
import { messageOf } from "../../core/fault.ts";

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
  checkpointAt(epoch: number, size: number): Promise<StoredCheckpoint | null>;
  /** Sends the seals of `from` up to, not including, `to`, each with its row, or nulls where there is none. */
  readSealed(
    stream: Stream,
    epoch: number,
    from: number,
    to: number,
    each: (fields: BinaryFields) => void,
  ): Promise<void>;
  /** Of decisions whose payload is gone, those of which no event says that it was erased, and that no other row has kept. */
  lostPayloads(rows: readonly SealedDecision[]): Promise<readonly string[]>;
  /** Stored nodes that the leaves of `from` up to `to` complete. */
  nodesBetween(epoch: number, from: number, to: number): Promise<{ node: TreeNode; hash: Uint8Array }[]>;
}

/** A decision in its place. */
export interface SealedDecision {
  readonly id: string;
  readonly recordedAt: number;
  readonly seq: number;
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
const HASH_BYTES = 32;

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
    const grown = grow(current, leaves, checkpoint, computed);
    whole &&= grown !== null;
    checkStated(ports, checkpoint, current.size);
    const good = grown !== null && Buffer.compare(grown.root(), checkpoint.root) === 0;
    if (!good && grown !== null) ports.report(rootFinding(checkpoint, leaves));
    current = good ? grown : (storedTree(checkpoint) ?? grown ?? new CompactRange());
  }
  if (whole) await checkNodes(ports, epoch, computed, leaves);
  return { rows: leaves.count, tree: current };
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
async function readLeaves(ports: SegmentPorts, epoch: number, from: number, to: number): Promise<Leaves> {
  const leaves = new Leaves(from, to);
  const bare: SealedDecision[] = [];
  for (const stream of Object.keys(STREAM) as Stream[]) {
    await ports.store.readSealed(stream, epoch, from, to, (fields) => {
      const seq = seqOf(fields);
      const report = reporterOf(ports, stream, epoch, fields);
      checkRow(stream, fields, ports.isRetired, report);
      if (stream === "decisions" && lacksPayload(fields) && !ports.isRetired(recordedAtOf(fields)))
        bare.push({
          id: uuidAt(fields.bytes, startOf(fields, SEALED_FIELDS.id)),
          recordedAt: recordedAtOf(fields),
          seq,
        });
      if (leaves.has(seq)) return report("seal_repeated", "another row has the same place");
      leaves.set(seq, fields.bytes, startOf(fields, SEALED_FIELDS.leafHash), startOf(fields, SEALED_FIELDS.id));
    });
  }
  const lost = bare.length === 0 ? new Set() : new Set(await ports.store.lostPayloads(bare));
  for (const row of bare.filter(({ id }) => lost.has(id))) {
    const detail = "its payload is gone, and no event says that it was erased";
    ports.report({ check: "payload", stream: "decisions", ...row, epoch, detail });
  }
  for (let seq = from; seq < to; seq++) {
    if (leaves.has(seq)) continue;
    ports.report({ check: "seal_missing", epoch, seq, detail: "no row has this place: its seal is gone" });
  }
  return leaves;
}

type Report = (check: Finding["check"], detail: string) => void;

/** What is wrong with a row is rare, so its names are only made then. */
function reporterOf(ports: SegmentPorts, stream: Stream, epoch: number, fields: BinaryFields): Report {
  return (check, detail) => {
    const id = uuidAt(fields.bytes, startOf(fields, SEALED_FIELDS.id));
    const recordedAt = recordedAtOf(fields);
    ports.report({ check, stream, id, recordedAt, epoch, seq: seqOf(fields), detail });
  };
}

function checkRow(stream: Stream, fields: BinaryFields, isRetired: SegmentPorts["isRetired"], report: Report): void {
  const { storedHash, leafHash, payloadDigest, row } = SEALED_FIELDS;
  if (fields.lengths[leafHash] !== HASH_BYTES) report("leaf", "the seal's hash has not 32 bytes");
  if (isNull(fields, storedHash)) {
    if (!isRetired(recordedAtOf(fields))) report("row_missing", "the row that was sealed is gone");
    return;
  }
  if (!holds(fields, storedHash, hashBinaryRow(stream, fields, row)))
    report("row_hash", "the row's columns do not have the stored hash");
  if (!holds(fields, leafHash, rowLeaf(stream, bytesOf(fields, storedHash))))
    report("leaf", "the row's stored hash is not the one that was sealed");
  if (!isNull(fields, payloadDigest) && !holds(fields, PAYLOAD_DIGEST, bytesOf(fields, payloadDigest)))
    report("payload", "the kept payload does not have the row's payload digest");
}

function lacksPayload(fields: BinaryFields): boolean {
  const { storedHash, payloadDigest } = SEALED_FIELDS;
  return !isNull(fields, storedHash) && !isNull(fields, PAYLOAD_DIGEST) && isNull(fields, payloadDigest);
}

/** `tree` with the leaves up to the checkpoint's size; null if one is missing. */
function grow(
  tree: CompactRange,
  leaves: Leaves,
  { size }: StoredCheckpoint,
  computed: Map<string, Uint8Array>,
): CompactRange | null {
  const grown = new CompactRange(tree.size, tree.peaks);
  for (let seq = tree.size; seq < size; seq++) {
    const hash = leaves.hashAt(seq);
    if (hash === null) return null;
    grown.append(hash, (node, above) => {
      if (isStored(node)) computed.set(keyOf(node), above);
    });
  }
  return grown;
}

/** Checks a checkpoint alone: its signature, its columns, and that it continues the one before it. */
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
    problem(messageOf(error));
  }
}

async function checkNodes(
  ports: SegmentPorts,
  epoch: number,
  computed: ReadonlyMap<string, Uint8Array>,
  leaves: Leaves,
): Promise<void> {
  const stored = await ports.store.nodesBetween(epoch, leaves.from, leaves.end);
  for (const { node, hash } of stored) {
    const own = computed.get(keyOf(node));
    if (own !== undefined && Buffer.compare(own, hash) === 0) continue;
    const width = 2 ** node.level;
    const [first, end] = [Math.max(leaves.from, node.index * width), (node.index + 1) * width];
    const detail = `the stored hash above ${named(leaves, first, end)} is not theirs`;
    ports.report({ check: "node", epoch, seq: node.index * width, detail });
  }
  if (stored.length < computed.size) {
    const have = new Set(stored.map(({ node }) => keyOf(node)));
    const missing = [...computed.keys()].filter((key) => !have.has(key));
    ports.report({
      check: "node",
      epoch,
      seq: leaves.from,
      detail: `${missing.length} stored hashes of the tree are gone: ${missing[0]}`,
    });
  }
}

function rootFinding({ epoch, previousSize, size }: StoredCheckpoint, leaves: Leaves): Finding {
  const detail = `the signed root is not that of ${named(leaves, Math.max(previousSize, leaves.from), size)}`;
  return { check: "root", epoch, seq: size, detail };
}

/** The rows of a run of leaves, by id where they are few. */
function named(leaves: Leaves, first: number, end: number): string {
  const count = Math.min(end, leaves.end) - first;
  const ids = Array.from({ length: Math.min(NAMED, count) }, (_, index) => leaves.idAt(first + index) ?? "(missing)");
  return `${count} rows from place ${first} on: ${ids.join(", ")}${count > NAMED ? ", …" : ""}`;
}

function keyOf({ level, index }: TreeNode): string {
  return `${level}/${index}`;
}

function seqOf(fields: BinaryFields): number {
  return Number(fields.bytes.readBigInt64BE(startOf(fields, SEALED_FIELDS.seq)));
}

function recordedAtOf(fields: BinaryFields): number {
  return Number(microsAt(fields.bytes, startOf(fields, SEALED_FIELDS.recordedAt)));
}

/** Whether a field is exactly these bytes. (For 32 of them a loop is faster than a call out of JavaScript.) */
function holds({ bytes, starts, lengths }: BinaryFields, index: number, expected: Buffer): boolean {
  const start = starts[index] as number;
  if (lengths[index] !== expected.length) return false;
  for (let at = 0; at < expected.length; at++) if (bytes[start + at] !== expected[at]) return false;
  return true;
}

function bytesOf(fields: BinaryFields, index: number): Buffer {
  const start = startOf(fields, index);
  return fields.bytes.subarray(start, start + (fields.lengths[index] as number));
}
