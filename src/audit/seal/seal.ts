import { setImmediate } from "node:timers/promises";
import type { Micros } from "../../core/clock.ts";
import { failpoint } from "../../core/failpoint.ts";
import type { SigningKeys } from "../../keys/key-files.ts";
import { epochLine, formatCheckpoint } from "../log/checkpoint.ts";
import { Horizon, type Observation } from "./horizon.ts";
import { noteKeys, noteSigner } from "../log/keys.ts";
import { CompactRange, type TreeNode } from "../log/merkle.ts";
import { signNote } from "../log/note.ts";
import { checkCheckpoint } from "../proof/proof.ts";
import { messageOf } from "../../core/fault.ts";

/** The tree as its newest checkpoint has it; size 0 and no note before the first. */
export interface TreeState {
  readonly epoch: number;
  readonly size: number;
  readonly peaks: readonly Uint8Array[];
  readonly note: string | null;
  /** As {@link Horizon.settled} when it was made. */
  readonly settledAt: Micros;
}

/** Which rows to seal, and where they come in the tree. */
export interface SealStretch {
  readonly epoch: number;
  /** The first row's place. */
  readonly from: number;
  /** Rows that were inserted before are not looked at. */
  readonly since: Micros;
  readonly limit: number;
}

export interface SealedRows {
  /** Their leaf hashes, in the order of the tree. */
  readonly leaves: readonly Uint8Array[];
  /** When the database took the last of them; null if there are none. */
  readonly lastInsertedAt: Micros | null;
}

/** A checkpoint over sealed rows, and the subtrees that they complete. */
export interface NewCheckpoint {
  readonly epoch: number;
  readonly previousSize: number;
  readonly size: number;
  readonly nodes: readonly { readonly node: TreeNode; readonly hash: Uint8Array }[];
  readonly root: Uint8Array;
  readonly peaks: readonly Uint8Array[];
  readonly note: string;
  /** Eight hex digits. */
  readonly keyId: string;
  readonly settledAt: Micros;
}

/** A seal in the making. */
export interface SealTransaction {
  state(): Promise<TreeState>;
  /** Gives the rows that have no seal theirs, the oldest by insertion first. */
  sealRows(stretch: SealStretch): Promise<SealedRows>;
  addCheckpoint(checkpoint: NewCheckpoint): Promise<void>;
}

export interface SealStore {
  observe(): Promise<Observation>;
  state(): Promise<TreeState>;
  /**
   * Runs `work` while no other sealer is at it, and commits what it did whole, or nothing of it.
   *
   * @throws if the store failed; whether the seal was committed is then unknown. Or what `work` rejects with.
   */
  seal<T>(work: (transaction: SealTransaction) => Promise<T>): Promise<T>;
}

/** Rows under one checkpoint, at most. */
export const SEAL_ROWS = 8192;
/** Leaves are hashed in steps of so many: a seal must not keep decisions waiting for longer than a few milliseconds. */
const STEP = 512;
/** Every fourth level of the tree is stored. */
export const STORED_LEVELS = 4;

/** A trail whose newest checkpoint is not one that we signed over what is stored: nothing is added to it. */
export class BrokenTreeError extends Error {
  override readonly name = "BrokenTreeError";
}

export interface SealerOptions {
  readonly store: SealStore;
  readonly origin: string;
  /** Read for each seal, so that a rotation needs no restart. */
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
   * @throws BrokenTreeError
   */
  async sealAll(): Promise<number> {
    const { store } = this.#options;
    this.#horizon ??= new Horizon((await store.state()).settledAt);
    let since = this.#horizon.observe(await store.observe());
    for (let sealed = 0; ; ) {
      const { leaves, lastInsertedAt } = await this.#seal(since, this.#horizon);
      sealed += leaves.length;
      if (leaves.length < SEAL_ROWS) {
        this.#horizon.scanned();
        return sealed;
      }
      // INVARIANT: what was visible at the observation, up to here in the order of insertion, has a seal now. Starting again
      // would read it again for each seal, so that a backlog would cost its square.
      since = lastInsertedAt ?? since;
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

  async #seal(since: Micros, horizon: Horizon): Promise<SealedRows> {
    const { store, origin } = this.#options;
    const keys = await this.#options.keys();
    // A crash within leaves nothing; the rows are sealed in another turn, under another signature that nobody saw.
    const sealed = await store.seal(async (transaction) => {
      const state = await transaction.state();
      const { epoch, size: previousSize } = state;
      const tree = openTree(state, origin, keys);
      const rows = await transaction.sealRows({ epoch, from: previousSize, since, limit: SEAL_ROWS });
      if (rows.leaves.length === 0) return rows;
      const nodes = await append(tree, rows.leaves);
      const [size, root] = [tree.size, tree.root()];
      const signer = noteSigner(origin, keys);
      const text = formatCheckpoint({ origin, size, root, extensions: [epochLine(epoch)] });
      failpoint("before-seal");
      await transaction.addCheckpoint({
        epoch,
        previousSize,
        size,
        nodes,
        root,
        peaks: tree.peaks,
        note: signNote(text, [signer]),
        keyId: signer.key.id.toString(16).padStart(8, "0"),
        settledAt: horizon.settled(rows.leaves.length < SEAL_ROWS),
      });
      return rows;
    });
    failpoint("after-seal");
    return sealed;
  }
}

/** @throws BrokenTreeError if what is stored of the tree's right edge is not what the newest checkpoint says */
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
    throw new BrokenTreeError(`the newest checkpoint (epoch ${epoch}, size ${size}) cannot be continued: ${why}`, {
      cause,
    });
  }
}

/** @returns the stored nodes that the leaves complete */
async function append(tree: CompactRange, leaves: readonly Uint8Array[]): Promise<NewCheckpoint["nodes"]> {
  const nodes: { node: TreeNode; hash: Uint8Array }[] = [];
  for (const [index, leaf] of leaves.entries()) {
    if (index % STEP === STEP - 1) await setImmediate();
    tree.append(leaf, (node, hash) => {
      if (isStored(node)) nodes.push({ node, hash });
    });
  }
  return nodes;
}

/** Whether a node has a row of its own. Leaves are with their seals; nodes between stored levels are computed. */
export function isStored({ level }: TreeNode): boolean {
  return level > 0 && level % STORED_LEVELS === 0;
}
