import { type Kysely, sql } from "kysely";
import type { TreeState } from "../audit/seal/seal.ts";
import type { StoredCheckpoint } from "../audit/verify/segment.ts";
import type { Micros } from "../core/clock.ts";
import type { QueryOptions } from "./dialect/database.ts";
import type { Schema } from "./schema.ts";
import { at, prepared, run } from "./dialect/statements.ts";

const HASH_BYTES = 32;

/** Committed checkpoints. */
export class SqlCheckpointReader {
  protected readonly db: Kysely<Schema>;
  readonly #options: QueryOptions;

  constructor(db: Kysely<Schema>, options: QueryOptions = {}) {
    this.db = db;
    this.#options = options;
  }

  /** The tree as its newest checkpoint has it. */
  async state(): Promise<TreeState> {
    const [state] = await STATE.execute(this.db, {});
    if (state === undefined) throw new Error("audit_epochs has no row");
    const { size, peaks, settledAt } = state;
    return { ...state, size: size ?? 0, peaks: peaks === null ? [] : hashesOf(peaks), settledAt: settledAt ?? 0 };
  }

  /** The one of exactly that size; null if there is none. */
  async checkpointAt(epoch: number, size: number): Promise<StoredCheckpoint | null> {
    return await this.#first((all) => all.where("epoch", "=", epoch).where("size", "=", size));
  }

  /** @param epoch null for the newest that has one */
  async newestCheckpoint(epoch: number | null): Promise<StoredCheckpoint | null> {
    return await this.#first((all) => {
      const within = epoch === null ? all : all.where("epoch", "=", epoch);
      return within.orderBy("epoch", "desc").orderBy("size", "desc");
    });
  }

  /** The newest of the first epoch after `epoch` that has one. */
  async checkpointAfterEpoch(epoch: number): Promise<StoredCheckpoint | null> {
    return await this.#first((all) => all.where("epoch", ">", epoch).orderBy("epoch").orderBy("size", "desc"));
  }

  /** Those of all epochs after `after`, the oldest first. */
  async checkpointsAfter(
    after: { readonly epoch: number; readonly size: number },
    limit: number,
  ): Promise<StoredCheckpoint[]> {
    return await this.#read((all) =>
      all
        .where((eb) => eb(eb.refTuple("epoch", "size"), ">", eb.tuple(after.epoch, after.size)))
        .orderBy("epoch")
        .orderBy("size")
        .limit(limit),
    );
  }

  /** Those of `epoch` with more than `size` leaves, the oldest first. */
  async checkpointsFrom(epoch: number, size: number, limit: number): Promise<StoredCheckpoint[]> {
    return await this.#read((all) =>
      all.where("epoch", "=", epoch).where("size", ">", size).orderBy("size").limit(limit),
    );
  }

  /** Those of `epoch` with more than `after` leaves and at most `upTo`, the oldest first. */
  async checkpoints(epoch: number, after: number, upTo: number): Promise<StoredCheckpoint[]> {
    return await this.#read((all) =>
      all.where("epoch", "=", epoch).where("size", ">", after).where("size", "<=", upTo).orderBy("size"),
    );
  }

  /** The size of the newest checkpoint of `epoch` with at most `size` leaves; 0 if there is none. */
  async checkpointAtOrBefore(epoch: number, size: number): Promise<number> {
    return await this.#newestSize(epoch, (all) => all.where("size", "<=", size));
  }

  /** The size of the newest checkpoint of `epoch` that was made before `time`; 0 if there is none. */
  async checkpointBefore(epoch: number, time: Micros): Promise<number> {
    return await this.#newestSize(epoch, (all) => all.where("created_at", "<", at(time)));
  }

  async #read(narrow: (all: Checkpoints) => Checkpoints): Promise<StoredCheckpoint[]> {
    const rows = await run(this.db, narrow(checkpoints(this.db)), this.#options);
    return rows.map((row) => ({ ...row, peaks: hashesOf(row.peaks) }));
  }

  async #first(narrow: (all: Checkpoints) => Checkpoints): Promise<StoredCheckpoint | null> {
    const [checkpoint] = await this.#read((all) => narrow(all).limit(1));
    return checkpoint ?? null;
  }

  async #newestSize(epoch: number, narrow: (all: Checkpoints) => Checkpoints): Promise<number> {
    const newest = await this.#first((all) => narrow(all.where("epoch", "=", epoch)).orderBy("size", "desc"));
    return newest?.size ?? 0;
  }
}

function checkpoints(db: Kysely<Schema>) {
  return db
    .selectFrom("audit_checkpoints")
    .select(["epoch", "previous_size as previousSize", "size", "root", "peaks", "signed_note as note"]);
}

type Checkpoints = ReturnType<typeof checkpoints>;

/** All but the epoch is null before the first checkpoint. */
interface StateRow {
  readonly epoch: number;
  readonly size: number | null;
  readonly peaks: Uint8Array | null;
  readonly note: string | null;
  readonly settledAt: Micros | null;
}

const STATE = prepared<object, StateRow>(
  () => sql`
SELECT e.epoch, c.size, c.peaks, c.signed_note AS note,
  (SELECT settled_at FROM audit_checkpoints ORDER BY epoch DESC, size DESC LIMIT 1) AS "settledAt"
FROM (SELECT max(epoch) AS epoch FROM audit_epochs) e
LEFT JOIN LATERAL (SELECT * FROM audit_checkpoints WHERE epoch = e.epoch ORDER BY size DESC LIMIT 1) c ON true`,
);

/** Hashes of 32 bytes each that were stored one after the other. */
export function hashesOf(bytes: Uint8Array): Uint8Array[] {
  const hashes: Uint8Array[] = [];
  for (let offset = 0; offset < bytes.length; offset += HASH_BYTES)
    hashes.push(bytes.subarray(offset, offset + HASH_BYTES));
  return hashes;
}
