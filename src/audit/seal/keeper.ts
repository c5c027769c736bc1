import type { Micros } from "../../core/clock.ts";
import { type Acknowledgement, acknowledgementIn, type Place, signAcknowledgement } from "./acknowledgement.ts";
import { noteKeys } from "../log/keys.ts";
import { checkCheckpoint } from "../proof/proof.ts";
import {
  type CheckpointDirectory,
  ForkError,
  type PublishedCheckpoint,
  type UnverifiedCheckpoint,
} from "./published.ts";
import type { Sealer, SealerOptions, SealStore } from "./seal.ts";
import type { ChangePublisher, PublishedChanges } from "./change-publisher.ts";
import { messageOf } from "../../core/fault.ts";

/** How the database differs from what it said before, as checkpoints outside it show. */
export interface Rollback {
  /** `rolled_back`: it lacks what it had; `forked`: it has something else in its place. */
  readonly kind: "rolled_back" | "forked";
  /** The newest checkpoint outside. Signed by a key of ours. */
  readonly outside: PublishedCheckpoint;
  /** Where the database is. */
  readonly inside: { readonly epoch: number; readonly size: number };
}

export interface KeeperStore extends SealStore {
  checkpointsAfter(after: { epoch: number; size: number }, limit: number): Promise<PublishedCheckpoint[]>;
  checkpointAt(epoch: number, size: number): Promise<PublishedCheckpoint | null>;
  /** Signed notes, one for each epoch that was opened after a rollback. */
  acknowledgements(): Promise<string[]>;
}

export interface KeeperOptions extends SealerOptions {
  readonly store: KeeperStore;
  readonly sealer: Sealer;
  /** Null where checkpoints are kept in the database alone. */
  readonly directory: CheckpointDirectory | null;
  /** Null as the directory is. */
  readonly changes: ChangePublisher | null;
  /** Called once for each rollback that is noticed, by each process that notices it. */
  readonly onRollback: (rollback: Rollback) => Promise<void>;
}

/** A transaction that has been writing to the trail for so long is worth an operator's attention. */
const LONG_WRITER: Micros = 60_000_000;
const PUBLISH_AT_ONCE = 100;

/** Keeps the trail sealed, and its checkpoints outside the database: `compare → seal → publish`, turn after turn. */
export class TrailKeeper {
  readonly #options: KeeperOptions;
  #last: Promise<unknown> = Promise.resolve();
  #rollback: Rollback | null = null;
  #reported: string | null = null;
  #directory: string | null = null;
  #publishing: string | null = null;
  #sealing: string | null = null;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** What is known to be wrong, for an operator; empty if nothing is. */
  get problems(): string[] {
    const seconds = Math.round(this.#options.sealer.oldestWriter / 1_000_000);
    const long = `a transaction has been writing to the audit trail for ${seconds} s: its rows have no seal until it ends (pg_prepared_xacts, pg_stat_activity)`;
    const writer = this.#options.sealer.oldestWriter >= LONG_WRITER ? long : null;
    const rollback = this.#rollback === null ? null : rollbackText(this.#rollback);
    return [rollback, this.#sealing, this.#directory, this.#publishing, writer].filter((problem) => problem !== null);
  }

  get oldestWriter(): Micros {
    return this.#options.sealer.oldestWriter;
  }

  /** Every row that was inserted before it has a seal, as far as this process knows; 0 if it does not know. */
  get settledAt(): Micros {
    return this.#options.sealer.settledAt;
  }

  /** When all that was committed was last known to be sealed, by the database's clock; 0 if not yet. */
  get sealedAt(): Micros {
    return this.#options.sealer.sealedAt;
  }

  /** Null while the database continues what is published. */
  get rollback(): Rollback | null {
    return this.#rollback;
  }

  /**
   * One turn. Nothing is sealed while the database is known to be rolled back.
   *
   * @returns how many rows were sealed
   * @throws what kept it from sealing; what only kept it from publishing is among the {@link TrailKeeper.problems}
   */
  turn(): Promise<number> {
    // One after another: a turn's scan belongs to its own observation.
    const turn = this.#last.then(() => this.#turn());
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /** Finds out whether the database was rolled back, and changes nothing. */
  async check(): Promise<void> {
    await this.#compare();
  }

  /** The rollback to acknowledge, and the signed acknowledgement. Null if there is none. */
  async acknowledgement(): Promise<{ readonly of: Acknowledgement; readonly note: string } | null> {
    const { directory, origin } = this.#options;
    if (this.#rollback === null || directory === null) return null;
    const { outside, inside } = this.#rollback;
    const of = {
      epoch: Math.max(outside.epoch, inside.epoch) + 1,
      kept: await this.#newestKept(directory),
      lost: outside,
    };
    return { of, note: signAcknowledgement(origin, of, await this.#options.keys()) };
  }

  /** What the rollback has lost of who may do what, as far as it was published. Null if there is no rollback. */
  async lostChanges(): Promise<PublishedChanges | null> {
    const { directory, changes } = this.#options;
    if (this.#rollback === null || directory === null || changes === null) return null;
    return await changes.changesAfter(await this.#newestKept(directory), this.#rollback.outside);
  }

  async #newestKept(directory: CheckpointDirectory): Promise<Place> {
    for await (const outside of directory.newestFirst()) {
      if ("unreadable" in outside) continue;
      const stored = await this.#options.store.checkpointAt(outside.epoch, outside.size);
      if (stored !== null && Buffer.compare(stored.root, outside.root) === 0)
        return { epoch: outside.epoch, size: outside.size };
    }
    return { epoch: 0, size: 0 };
  }

  async #isAcknowledged({ epoch, size, root }: UnverifiedCheckpoint): Promise<boolean> {
    const { store, origin } = this.#options;
    const trusted = noteKeys(origin, await this.#options.keys());
    const lost = (await store.acknowledgements()).map((note) => acknowledgementIn(note, trusted)?.lost);
    return lost.some((one) => one?.epoch === epoch && one.size === size && Buffer.compare(one.root, root) === 0);
  }

  async #turn(): Promise<number> {
    await this.#compare();
    if (this.#rollback !== null) return 0;
    try {
      const sealed = await this.#options.sealer.sealAll();
      this.#sealing = null;
      return sealed;
    } catch (error) {
      this.#sealing = `the audit trail cannot be sealed: ${messageOf(error)}`;
      throw error;
    } finally {
      await this.#publish();
    }
  }

  /** Whether the database has all that is published. A directory that cannot be read shows nothing, and stops nothing. */
  async #compare(): Promise<void> {
    const { store, directory, onRollback } = this.#options;
    if (directory === null) return;
    const outside = await this.#newestOutside(directory);
    if (outside === null) return;
    // Read after what is outside: what is published was committed before.
    const { epoch, size } = await store.state();
    const inside = { epoch, size };
    const stored = await store.checkpointAt(outside.epoch, outside.size);
    if (stored !== null && Buffer.compare(stored.root, outside.root) === 0) {
      this.#rollback = null;
      return;
    }
    // An acknowledged loss is of an epoch before this one.
    if (outside.epoch < epoch && (await this.#isAcknowledged(outside))) {
      this.#rollback = null;
      return;
    }
    const ahead = outside.epoch > epoch || (outside.epoch === epoch && outside.size > size);
    this.#rollback = { kind: ahead ? "rolled_back" : "forked", outside, inside };
    if (this.#reported === outside.note) return;
    await onRollback(this.#rollback);
    this.#reported = outside.note;
  }

  async #newestOutside(directory: CheckpointDirectory): Promise<UnverifiedCheckpoint | null> {
    try {
      const outside = await directory.latest();
      if (outside === null) return (this.#directory = null);
      if (outside.origin !== this.#options.origin)
        throw new Error(`it holds checkpoints of another log, ${outside.origin}`);
      checkCheckpoint(outside.note, noteKeys(this.#options.origin, await this.#options.keys()));
      this.#directory = null;
      return outside;
    } catch (error) {
      this.#directory = `the checkpoint directory ${directory.path} is not usable: ${messageOf(error)}`;
      return null;
    }
  }

  /** Writes what is committed and not yet outside: this process's seals, and those of one that was killed before it could. */
  async #publish(): Promise<void> {
    const { store, directory, changes, origin } = this.#options;
    if (directory === null) return;
    try {
      const outside = await directory.latest();
      if (outside !== null && outside.origin !== origin) return;
      for (let at = outside ?? { epoch: 0, size: 0 }; ; ) {
        const checkpoints = await store.checkpointsAfter(at, PUBLISH_AT_ONCE);
        const last = checkpoints.at(-1);
        if (last !== undefined) await changes?.publish(at, last);
        for (const checkpoint of checkpoints) await directory.publish(checkpoint);
        if (last === undefined || checkpoints.length < PUBLISH_AT_ONCE) break;
        at = last;
      }
      await directory.copyLatest();
      this.#publishing = null;
    } catch (error) {
      const what = error instanceof ForkError ? "the audit trail has forked" : "checkpoints cannot be published";
      this.#publishing = `${what}: ${messageOf(error)}`;
    }
  }
}

function rollbackText({ kind, outside, inside }: Rollback): string {
  const found = `checkpoint ${outside.size} of epoch ${outside.epoch} is published`;
  const but =
    kind === "rolled_back"
      ? `the database ends at ${inside.size} of epoch ${inside.epoch}: it was rolled back (a restored backup, or a failover that lost rows)`
      : "the database contradicts it: it was rolled back and has continued";
  return `${found}, but ${but}. The service is in recovery: agents are allowed nothing, and nothing is sealed, until \`datacrawl audit acknowledge-rollback\``;
}
