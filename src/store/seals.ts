import type { Observation } from "../audit/seal/horizon.ts";
import { hashNode, type NodeReader, type TreeNode } from "../audit/log/merkle.ts";
import { originOf } from "../audit/log/checkpoint.ts";
import type { PublishedCheckpoint } from "../audit/seal/published.ts";
import { type Stream, STREAM } from "../audit/log/leaf.ts";
import { type SealStore, type SealTransaction, STORED_LEVELS, type TreeState } from "../audit/seal/seal.ts";
import { type Micros, systemClock } from "../core/clock.ts";
import type { HashedEvent } from "../audit/row/event.ts";
import { arrayLiteral, type Database, microsOf, timestampOf } from "./database.ts";
import { eventParams, eventText } from "./event-text.ts";
import { sealIn, stateIn, TRAIL_TABLE } from "./seal-transaction.ts";

/** Seals, nodes and checkpoints. Nothing is ever changed in them. */
export class SqlSealStore implements SealStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Which log this database holds. */
  async origin(): Promise<string> {
    const [row] = await this.#database.query<{ log_id: string }>("SELECT log_id FROM audit_log");
    if (row === undefined) throw new Error("audit_log has no row");
    return originOf(row.log_id);
  }

  async observe(): Promise<Observation> {
    const asked = monotonicMicros();
    const [row] = await this.#database.query<{ at: string; writers: string }>(OBSERVE, [], { name: "observe_writers" });
    if (row === undefined) throw new Error("the database did not tell its time");
    const answered = monotonicMicros();
    return { at: Number(row.at), asked, answered, writers: row.writers === "" ? [] : row.writers.split(",") };
  }

  async state(): Promise<TreeState> {
    return await stateIn(this.#database);
  }

  async seal<T>(work: (transaction: SealTransaction) => Promise<T>): Promise<T> {
    return await this.#database.transaction((session) => sealIn(session, work));
  }

  /** Committed checkpoints, the oldest first: those after `after`. */
  async checkpointsAfter(
    after: { readonly epoch: number; readonly size: number },
    limit: number,
  ): Promise<PublishedCheckpoint[]> {
    const rows = await this.#database.query<CheckpointRow>(
      `${CHECKPOINT} WHERE (c.epoch, c.size) > ($1::int, $2::bigint) ORDER BY c.epoch, c.size LIMIT $3`,
      [after.epoch, after.size, limit],
      { name: "checkpoints_after" },
    );
    return rows.map(checkpointOf);
  }

  /** The committed checkpoint of exactly that size; null if there is none. */
  async checkpointAt(epoch: number, size: number): Promise<PublishedCheckpoint | null> {
    const text = `${CHECKPOINT} WHERE c.epoch = $1::int AND c.size = $2::bigint`;
    const [row] = await this.#database.query<CheckpointRow>(text, [epoch, size], { name: "checkpoint_at" });
    return row === undefined ? null : checkpointOf(row);
  }

  /** What operators have acknowledged as lost, as signed notes. */
  async acknowledgements(): Promise<string[]> {
    const rows = await this.#database.query<{ note: string }>(
      "SELECT acknowledgement AS note FROM audit_epochs WHERE acknowledgement IS NOT NULL ORDER BY epoch",
    );
    return rows.map(({ note }) => note);
  }

  /** Opens an epoch, together with the event that tells of it. False if it is open already. */
  async openEpoch(
    { number, by, reason, lostNote, acknowledgement }: OpenedEpoch,
    event: HashedEvent,
  ): Promise<boolean> {
    const params = [number, by, reason, lostNote, acknowledgement, ...eventParams(event)];
    return (await this.#database.query(OPEN_EPOCH, params)).length > 0;
  }

  /**
   * How many rows have no seal, of those that were inserted at or after `since`: the newest `limit` of each stream are looked at.
   * The sealer begins with the oldest, so rows that it has not come to are found without a look at those that it has sealed.
   */
  async countUnsealed(since: Micros, limit: number): Promise<number> {
    const [row] = await this.#database.query<{ n: number }>(COUNT_UNSEALED, [String(since), limit]);
    return row?.n ?? 0;
  }

  /** Reads the hashes of full subtrees of `epoch`'s tree. @throws if the tree has not grown so far */
  nodes(epoch: number): NodeReader {
    return async (nodes) => {
      const ranges = nodes.map(storedBelow);
      const rows = await this.#database.query<{ n: number; hash: Uint8Array }>(NODES, [
        epoch,
        arrayLiteral(ranges.map(({ level }) => level)),
        arrayLiteral(ranges.map(({ first }) => first)),
        arrayLiteral(ranges.map(({ count }) => count)),
      ]);
      const found = nodes.map((): Uint8Array[] => []);
      for (const { n, hash } of rows) found[n - 1]?.push(hash);
      return found.map((hashes, index) => {
        const range = ranges[index];
        if (hashes.length !== range?.count) throw new Error(`${nameOf(nodes[index])} is not stored`);
        return foldPairs(hashes);
      });
    };
  }
}

export interface OpenedEpoch {
  readonly number: number;
  readonly by: string;
  readonly reason: string;
  /** The checkpoint outside that this database does not continue. */
  readonly lostNote: string;
  /** A signed note. */
  readonly acknowledgement: string;
}

interface CheckpointRow {
  readonly epoch: number;
  readonly size: string;
  readonly root: Uint8Array;
  readonly signed_note: string;
}

/** INVARIANT: statement_timestamp() is before the locks are looked at, and each writer holds its lock before its first row. */
const OBSERVE = `
SELECT ${microsOf("statement_timestamp()")} AS at, coalesce((
  SELECT string_agg(DISTINCT virtualtransaction, ',') FROM pg_locks
  WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND relation = ANY (ARRAY(
      SELECT inhrelid FROM pg_inherits WHERE inhparent IN ('audit_decisions'::regclass, 'audit_events'::regclass)
      UNION ALL VALUES ('audit_decisions'::regclass::oid), ('audit_events'::regclass::oid)))
), '') AS writers`;

function countUnsealedIn(stream: Stream): string {
  const { table, id } = TRAIL_TABLE[stream];
  return `
(SELECT count(*) FROM (
  SELECT ${id} AS id, recorded_at FROM ${table}
  WHERE inserted_at >= ${timestampOf("$1::bigint")} ORDER BY inserted_at DESC LIMIT $2
) r
WHERE (SELECT 1 FROM audit_seals s
  WHERE s.row_id = r.id AND s.recorded_at = r.recorded_at AND s.stream = ${STREAM[stream]}) IS NULL)`;
}

const COUNT_UNSEALED = `SELECT (${countUnsealedIn("decisions")} + ${countUnsealedIn("events")})::int AS n`;

const OPEN_EPOCH = `
WITH opened AS (
  INSERT INTO audit_epochs (epoch, opened_by, reason, lost_note, acknowledgement)
  VALUES ($1::int, $2::text, $3::text, $4::text, $5::text)
  ON CONFLICT DO NOTHING RETURNING epoch
), told AS (${eventText(6, "FROM opened")})
SELECT epoch FROM opened`;

const CHECKPOINT = "SELECT c.epoch, c.size::text, c.root, c.signed_note FROM audit_checkpoints c";

const NODES = `
SELECT t.n::int AS n, found.hash
FROM unnest($2::text::smallint[], $3::text::bigint[], $4::text::bigint[]) WITH ORDINALITY AS t(level, first, count, n),
LATERAL (
  SELECT seq AS place, leaf_hash AS hash FROM audit_seals
  WHERE t.level = 0 AND epoch = $1::int AND seq >= t.first AND seq < t.first + t.count
  UNION ALL
  SELECT idx, hash FROM audit_nodes
  WHERE t.level > 0 AND epoch = $1::int AND level = t.level AND idx >= t.first AND idx < t.first + t.count
) found
ORDER BY t.n, found.place`;

function monotonicMicros(): Micros {
  return Math.round(systemClock.monotonic() * 1000);
}

function checkpointOf({ epoch, size, root, signed_note }: CheckpointRow): PublishedCheckpoint {
  return { epoch, size: Number(size), root, note: signed_note };
}

/** The stored nodes from which `node` is made: itself, or two, four or eight of the stored level below. */
function storedBelow({ level, index }: TreeNode): { level: number; first: number; count: number } {
  const above = level % STORED_LEVELS;
  const count = 2 ** above;
  return { level: level - above, first: index * count, count };
}

/** The hash above two to the power of n neighbours. */
function foldPairs(hashes: readonly Uint8Array[]): Uint8Array {
  if (hashes.length === 1) return hashes[0] as Uint8Array;
  const half = hashes.length / 2;
  return hashNode(foldPairs(hashes.slice(0, half)), foldPairs(hashes.slice(half)));
}

function nameOf(node: TreeNode | undefined): string {
  return `the node ${node?.index} of level ${node?.level}`;
}
