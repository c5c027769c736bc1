import { sha256 } from "../../core/sha256.ts";

/**
 * RFC 6962's Merkle tree (section 2.1), over a store of the hashes of full subtrees. Sizes and indices are whole numbers up to
 * 2⁵³ − 1, and are divided rather than shifted: JavaScript's shifts see 32 bits.
 */

/** A full subtree: its leaves are those from `index` × 2^`level` up to, not including, (`index` + 1) × 2^`level`. */
export interface TreeNode {
  /** 0 for a leaf. */
  readonly level: number;
  readonly index: number;
}

/** The hashes of full subtrees, in the order asked for. All nodes of a proof are asked for at once. */
export type NodeReader = (nodes: readonly TreeNode[]) => Promise<readonly Uint8Array[]>;

/** A run of leaves, without the one at `end`, that begins where a subtree of its size may begin. */
interface Range {
  readonly start: number;
  readonly end: number;
}

const HASH_BYTES = 32;
const LEAF_PREFIX = 0;
const NODE_PREFIX = 1;
const NOTHING = new Uint8Array(0);
/** Hashing is synchronous: what is hashed is put together here, and not in a Buffer of its own. */
const scratch = Buffer.allocUnsafeSlow(128);

/** The root of a tree without leaves. */
export const EMPTY_ROOT: Buffer = sha256(Buffer.alloc(0));

/** The hash of a leaf that holds `data`, and then `more`. */
export function hashLeaf(data: Uint8Array, more: Uint8Array = NOTHING): Buffer {
  return hashParts(LEAF_PREFIX, data, more);
}

/** The hash of the node above `left` and `right`, each of 32 bytes. */
export function hashNode(left: Uint8Array, right: Uint8Array): Buffer {
  return hashParts(NODE_PREFIX, left, right);
}

function hashParts(prefix: number, first: Uint8Array, second: Uint8Array): Buffer {
  const length = 1 + first.length + second.length;
  const bytes = length <= scratch.length ? scratch : Buffer.allocUnsafe(length);
  bytes[0] = prefix;
  bytes.set(first, 1);
  bytes.set(second, 1 + first.length);
  return sha256(bytes.subarray(0, length));
}

/**
 * The full subtrees that make up the leaves from `start` up to, not including, `end`, from left to right: the fewest there
 * are. For `start` 0 they are what a {@link CompactRange} of that size keeps.
 */
export function subtreesOf(start: number, end: number): TreeNode[] {
  const nodes: TreeNode[] = [];
  let at = start;
  while (at < end) {
    let level = 0;
    let width = 1;
    while (at % (2 * width) === 0 && at + 2 * width <= end) {
      level++;
      width *= 2;
    }
    nodes.push({ level, index: at / width });
    at += width;
  }
  return nodes;
}

/** A tree of which only the right edge is kept: leaves and subtrees can be appended, and the root be computed. */
export class CompactRange {
  /** The roots of {@link subtreesOf}(0, size). */
  readonly #peaks: Array<{ level: number; hash: Uint8Array }>;
  #size: number;

  /**
   * @param peaks the hashes of {@link subtreesOf}(0, `size`), in that order
   * @throws RangeError if there are more or fewer
   */
  constructor(size = 0, peaks: readonly Uint8Array[] = []) {
    const nodes = subtreesOf(0, size);
    if (nodes.length !== peaks.length)
      throw new RangeError(`a tree of ${size} leaves has ${nodes.length} peaks, not ${peaks.length}`);
    this.#size = size;
    this.#peaks = nodes.map(({ level }, index) => ({ level, hash: peaks[index] as Uint8Array }));
  }

  /** In leaves. */
  get size(): number {
    return this.#size;
  }

  /** The hashes of {@link subtreesOf}(0, size). */
  get peaks(): readonly Uint8Array[] {
    return this.#peaks.map(({ hash }) => hash);
  }

  /**
   * Appends a leaf, or with `level` a full subtree of 2^`level` leaves.
   *
   * @param completed gets each full subtree that this completes, from the appended one upwards
   * @throws RangeError if a subtree of that size cannot begin here
   */
  append(hash: Uint8Array, completed?: (node: TreeNode, hash: Uint8Array) => void, level = 0): void {
    const width = 2 ** level;
    if (this.#size % width !== 0)
      throw new RangeError(`a subtree of ${width} leaves cannot begin at leaf ${this.#size}`);
    let top = { level, hash };
    let index = this.#size / width;
    completed?.({ level, index }, hash);
    for (let left = this.#peaks.at(-1); left?.level === top.level; left = this.#peaks.at(-1)) {
      this.#peaks.pop();
      top = { level: top.level + 1, hash: hashNode(left.hash, top.hash) };
      index = (index - 1) / 2;
      completed?.({ level: top.level, index }, top.hash);
    }
    this.#peaks.push(top);
    this.#size += width;
  }

  root(): Uint8Array {
    return foldRight(this.peaks) ?? EMPTY_ROOT;
  }
}

/**
 * The audit path of the leaf at `index` in the tree of the first `size` leaves.
 *
 * @throws RangeError if that tree has no such leaf
 */
export async function inclusionProof(index: number, size: number, read: NodeReader): Promise<Uint8Array[]> {
  if (!isCount(index) || !isCount(size) || index >= size)
    throw new RangeError(`a tree of ${size} leaves has no leaf ${index}`);
  return await readRanges(inclusionRanges(index, { start: 0, end: size }), read);
}

/**
 * The proof that the tree of the first `first` leaves is a prefix of that of the first `second`. Empty if it is the same tree
 * or the empty one.
 *
 * @throws RangeError if `first` is the larger
 */
export async function consistencyProof(first: number, second: number, read: NodeReader): Promise<Uint8Array[]> {
  if (!isCount(first) || !isCount(second) || first > second)
    throw new RangeError(`a tree of ${second} leaves does not continue one of ${first}`);
  if (first === 0) return [];
  return await readRanges(consistencyRanges(first, { start: 0, end: second }, true), read);
}

/** Whether `path` proves that `leafHash` is the leaf at `index` of the tree of `size` leaves with `root`. */
export function verifyInclusion(
  claim: {
    readonly leafHash: Uint8Array;
    readonly index: number;
    readonly size: number;
    readonly root: Uint8Array;
  },
  path: readonly Uint8Array[],
): boolean {
  if (!isCount(claim.index) || !isCount(claim.size) || claim.index >= claim.size) return false;
  if (![claim.leafHash, claim.root, ...path].every(isHash)) return false;
  const walk = new Walk(claim.index, claim.size - 1);
  let hash = claim.leafHash;
  for (const sibling of path) {
    const side = walk.next();
    if (side === null) return false;
    hash = side === "left" ? hashNode(sibling, hash) : hashNode(hash, sibling);
  }
  return walk.isAtRoot && sameBytes(hash, claim.root);
}

/** Whether `proof` proves that the tree of `first` leaves is a prefix of that of `second`. */
export function verifyConsistency(
  first: { readonly size: number; readonly root: Uint8Array },
  second: { readonly size: number; readonly root: Uint8Array },
  proof: readonly Uint8Array[],
): boolean {
  if (!isCount(first.size) || !isCount(second.size) || first.size > second.size) return false;
  if (![first.root, second.root, ...proof].every(isHash)) return false;
  if (first.size === second.size) return proof.length === 0 && sameBytes(first.root, second.root);
  if (first.size === 0) return proof.length === 0 && sameBytes(first.root, EMPTY_ROOT);

  const walk = new Walk(first.size - 1, second.size - 1);
  walk.climbWhileRight();
  // The first tree's last full subtree: the whole first tree if its size is a power of two, and then the proof leaves it out.
  const isWhole = subtreesOf(0, first.size).length === 1;
  const [start, ...siblings] = isWhole ? [first.root, ...proof] : proof;
  if (start === undefined) return false;
  let old = start;
  let hash = start;
  for (const sibling of siblings) {
    const side = walk.next();
    if (side === null) return false;
    if (side === "left") old = hashNode(sibling, old);
    hash = side === "left" ? hashNode(sibling, hash) : hashNode(hash, sibling);
  }
  return walk.isAtRoot && sameBytes(old, first.root) && sameBytes(hash, second.root);
}

/** The way from a node up to the root, past the levels at which the tree's right edge has no sibling (RFC 9162, 2.1.3.2). */
class Walk {
  #index: number;
  /** The last node of the level. */
  #last: number;

  constructor(index: number, last: number) {
    this.#index = index;
    this.#last = last;
  }

  get isAtRoot(): boolean {
    return this.#last === 0;
  }

  /** On which side the next sibling is, and up; null above the root. */
  next(): "left" | "right" | null {
    if (this.isAtRoot) return null;
    const isLast = this.#index === this.#last;
    if (isLast) while (this.#index % 2 === 0 && this.#index > 0) this.#up();
    const side = this.#index % 2 === 1 ? "left" : "right";
    this.#up();
    return side;
  }

  climbWhileRight(): void {
    while (this.#index % 2 === 1) this.#up();
  }

  #up(): void {
    this.#index = Math.floor(this.#index / 2);
    this.#last = Math.floor(this.#last / 2);
  }
}

/** RFC 6962's PATH: what is beside the leaf, from its sibling up. */
function inclusionRanges(index: number, tree: Range): Range[] {
  if (tree.end - tree.start === 1) return [];
  const [left, right] = split(tree);
  return index < left.end ? [...inclusionRanges(index, left), right] : [...inclusionRanges(index, right), left];
}

/** RFC 6962's SUBPROOF. @param isOldTree whether `tree` is whole in the old tree if it lies within it, so that it is known */
function consistencyRanges(first: number, tree: Range, isOldTree: boolean): Range[] {
  if (first === tree.end) return isOldTree ? [] : [tree];
  const [left, right] = split(tree);
  return first <= left.end
    ? [...consistencyRanges(first, left, isOldTree), right]
    : [...consistencyRanges(first, right, false), left];
}

/** At the largest power of two that is smaller than the tree. */
function split({ start, end }: Range): [Range, Range] {
  let width = 1;
  while (width * 2 < end - start) width *= 2;
  return [
    { start, end: start + width },
    { start: start + width, end },
  ];
}

async function readRanges(ranges: readonly Range[], read: NodeReader): Promise<Uint8Array[]> {
  const parts = ranges.map(({ start, end }) => subtreesOf(start, end));
  const nodes = parts.flat();
  const hashes = nodes.length === 0 ? [] : await read(nodes);
  let at = 0;
  return parts.map((part) => foldRight(hashes.slice(at, (at += part.length))) as Uint8Array);
}

/** The hash above neighbouring subtrees that shrink to the right; undefined for none. */
function foldRight(hashes: readonly Uint8Array[]): Uint8Array | undefined {
  return hashes.length === 0 ? undefined : hashes.reduceRight((right, left) => hashNode(left, right));
}

function isCount(number: number): boolean {
  return Number.isSafeInteger(number) && number >= 0;
}

function isHash(bytes: Uint8Array): boolean {
  return bytes.length === HASH_BYTES;
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}
