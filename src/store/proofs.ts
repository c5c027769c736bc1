import type { LeafPlace, StoredCheckpoint } from "../admin/proofs.ts";
import type { NodeReader } from "../audit/log/merkle.ts";
import { STREAM } from "../audit/log/leaf.ts";
import type { Database } from "./database.ts";
import { SqlSealStore } from "./seals.ts";

/** The tree as proofs need it. */
export class SqlTreeReader {
  readonly #database: Database;
  readonly #seals: SqlSealStore;

  constructor(database: Database) {
    this.#database = database;
    this.#seals = new SqlSealStore(database);
  }

  async placeOf(decisionId: string): Promise<LeafPlace | null> {
    const [row] = await this.#database.query<{ epoch: number; seq: string }>(
      "SELECT epoch, seq::text FROM audit_seals WHERE row_id = $1::text::uuid AND stream = $2::int",
      [decisionId, STREAM.decisions],
    );
    return row === undefined ? null : { epoch: row.epoch, seq: Number(row.seq) };
  }

  /** @param epoch null for the newest that has one */
  async newestCheckpoint(epoch: number | null): Promise<StoredCheckpoint | null> {
    const [row] = await this.#database.query<{ epoch: number; size: string; signed_note: string }>(
      `SELECT c.epoch, c.size::text, c.signed_note FROM audit_checkpoints c
       WHERE $1::int IS NULL OR c.epoch = $1::int ORDER BY c.epoch DESC, c.size DESC LIMIT 1`,
      [epoch],
    );
    return row === undefined ? null : { epoch: row.epoch, size: Number(row.size), note: row.signed_note };
  }

  async checkpointAt(epoch: number, size: number): Promise<StoredCheckpoint | null> {
    return await this.#seals.checkpointAt(epoch, size);
  }

  nodes(epoch: number): NodeReader {
    return this.#seals.nodes(epoch);
  }
}
