import { setImmediate } from "node:timers/promises";
import type { Micros } from "../clock.ts";
import { failpoint } from "../failpoint.ts";
import type { SigningKeys } from "../key-files.ts";
import { epochLine, formatCheckpoint } from "./checkpoint.ts";
import { Horizon, type Observation } from "./horizon.ts";
import { noteKeys, noteSigner } from "./keys.ts";
import { rowLeaf, type Stream } from "./leaf.ts";
import { CompactRange, type TreeNode } from "./merkle.ts";
import { signNote } from "./note.ts";
import { checkCheckpoint } from "./proof.ts";
import { messageOf } from "../fault.ts";

/** A committed row that has no seal yet. */
export interface UnsealedRow {
  readonly stream: Stream;
  readonly id: string;
  readonly recordedAt: Micros;
  /** When the database took it. */
  readonly insertedAt: Micros;
  /** As stored, 32 bytes. */
  readonly hash: Uint8Array;
}

/** The tree as its newest checkpoint has it; size 0 and no note before the first. */
export interface TreeState {
  readonly epoch: number;
  readonly size: number;
  readonly peaks: readonly Uint8Array[];
  readonly note: string | null;
  /** As {@link Horizon.settled} when it was made. */
  readonly settledAt: Micros;
}

/** What is committed together: rows' places in the tree, the subtrees that they complete, and the checkpoint over them. */
export interface Seal {
  readonly epoch: number;
  readonly previousSize: number;
  readonly rows: readonly SealedRow[];
  readonly nodes: readonly { readonly node: TreeNode; readonly hash: Uint8Array }[];
  readonly size: number;
  readonly root: Uint8Array;
  readonly peaks: readonly Uint8Array[];
  readonly note: string;
  /** Eight hex digits. */
  readonly keyId: string;
  readonly settledAt: Micros;
}

export interface SealedRow extends UnsealedRow {
  readonly leafHash: Uint8Array;
}

export interface SealStore {
  observe(): Promise<Observation>;
  state(): Promise<TreeState>;
  /** Rows without a seal that were inserted at or after `since`, in the order of their insertion. */
  unsealed(since: Micros, limit: number): Promise<UnsealedRow[]>;
  /**
   * Commits a seal whole, or nothing of it. False if another one continues the same checkpoint already.
   *
   * @throws if the store failed; whether the seal was committed is then unknown
   */
  commit(seal: Seal): Promise<boolean>;
}

/** Rows under one checkpoint, at most. */
export const SEAL_ROWS = 8192;
/** Leaves are hashed in steps of so many: a seal must not keep decisions waiting for longer than a few milliseconds. */
const STEP = 512;
/** Every fourth level of the tree is stored. */
export const STORED_LEVELS = 4;

/** A trail whose newest checkpoint is not one that we signed over what is stored: nothing is added to it. */
export class BrokenTree extends Error {
  override readonly name = "BrokenTree";
}

export interface SealerOptions {
  readonly store: SealStore;
  readonly origin: string;
  /** Read anew for each seal: a rotation is followed without a restart. */
  readonly keys: () => Promise<SigningKeys>;
}

/** Seals what is committed. Several may be at it at once, in one process or many: each seal is one of them's, whole. */
export class Sealer {
  readonly #options: SealerOptions;
  #horizon: Horizon | null = null;

  constructor(options: SealerOptions) {
    this.#options = options;
  }

  /**
   * Seals everything that is committed now.
   *
   * @returns how many rows it sealed
   * @throws BrokenTree
   */
  async sealAll(): Promise<number> {
    const { store } = this.#options;
    this.#horizon ??= new Horizon((await store.state()).settledAt);
    let since = this.#horizon.observe(await store.observe());
    for (let sealed = 0; ; ) {
      // INVARIANT: the state is read before the rows. What another sealer commits in between then fails our commit.
      const state = await store.state();
      const rows = await store.unsealed(since, SEAL_ROWS);
      const whole = rows.length < SEAL_ROWS;
      if (rows.length > 0 && !(await this.#seal(state, rows, this.#horizon.settled(whole)))) return sealed;
      sealed += rows.length;
      if (!whole) {
        // INVARIANT: what was visible at the observation, up to here in the order of insertion, has a seal now. Beginning anew
        // would read it again for each seal, so that a backlog would cost its square.
        since = rows.at(-1)?.insertedAt ?? since;
        continue;
      }
      this.#horizon.scanned();
      return sealed;
    }
  }

  /** As {@link Horizon.oldestWriter}. */
  get oldestWriter(): Micros {
    return this.#horizon?.oldestWriter ?? 0;
  }

  /** Every row that was inserted before it has a seal, or never commits; 0 before the first turn. */
  get settledAt(): Micros {
    return this.#horizon?.settled(false) ?? 0;
  }

  /** When everything that was committed was last sealed, by the database's clock; 0 before the first time. */
  get sealedAt(): Micros {
    return this.#horizon?.scannedAt ?? 0;
  }

  async #seal(state: TreeState, rows: readonly UnsealedRow[], settledAt: Micros): Promise<boolean> {
    const { store, origin } = this.#options;
    const keys = await this.#options.keys();
    const tree = openTree(state, origin, keys);
    const { sealed, nodes } = await append(tree, rows);
    const root = tree.root();
    const signer = noteSigner(origin, keys);
    const text = formatCheckpoint({ origin, size: tree.size, root, extensions: [epochLine(state.epoch)] });
    failpoint("before-seal");
    // A crash before this line leaves nothing; the rows are sealed in another turn, under another signature that nobody saw.
    const committed = await store.commit({
      epoch: state.epoch,
      previousSize: state.size,
      rows: sealed,
      nodes,
      size: tree.size,
      root,
      peaks: tree.peaks,
      note: signNote(text, [signer]),
      keyId: signer.key.id.toString(16).padStart(8, "0"),
      settledAt,
    });
    failpoint("after-seal");
    return committed;
  }
}

/** @throws BrokenTree if what is stored of the tree's right edge is not what the newest checkpoint says */
function openTree({ epoch, size, peaks, note }: TreeState, origin: string, keys: SigningKeys): CompactRange {
  if (note === null) return new CompactRange();
  try {
    const checkpoint = checkCheckpoint(note, noteKeys(origin, keys));
    const tree = new CompactRange(size, peaks);
    if (checkpoint.epoch !== epoch || checkpoint.size !== size) throw new Error("it is of another tree");
    if (Buffer.compare(checkpoint.root, tree.root()) !== 0) throw new Error("its root is not that of the stored peaks");
    return tree;
  } catch (cause) {
    const why = messageOf(cause);
    throw new BrokenTree(`the newest checkpoint (epoch ${epoch}, size ${size}) cannot be continued: ${why}`, { cause });
  }
}

async function append(
  tree: CompactRange,
  rows: readonly UnsealedRow[],
): Promise<{ sealed: SealedRow[]; nodes: { node: TreeNode; hash: Uint8Array }[] }> {
  const sealed: SealedRow[] = [];
  const nodes: { node: TreeNode; hash: Uint8Array }[] = [];
  for (const row of rows) {
    const leafHash = rowLeaf(row.stream, row.hash);
    tree.append(leafHash, (node, hash) => {
      if (isStored(node)) nodes.push({ node, hash });
    });
    sealed.push({ ...row, leafHash });
    if (sealed.length % STEP === 0) await setImmediate();
  }
  return { sealed, nodes };
}

/** Whether a node has a row of its own. Leaves are with their seals; nodes between stored levels are computed. */
export function isStored({ level }: TreeNode): boolean {
  return level > 0 && level % STORED_LEVELS === 0;
}
