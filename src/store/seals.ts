import type { Observation } from "../audit/horizon.ts";
import { hashNode, type NodeReader, type TreeNode } from "../audit/merkle.ts";
import { originOf } from "../audit/checkpoint.ts";
import type { PublishedCheckpoint } from "../audit/published.ts";
import { type Stream, STREAM } from "../audit/leaf.ts";
import {
  type Checkpoint,
  type SealedRows,
  type SealStore,
  type SealTransaction,
  STORED_LEVELS,
  type Stretch,
  type TreeState,
} from "../audit/seal.ts";
import { type Micros, systemClock } from "../clock.ts";
import type { HashedEvent } from "./agents.ts";
import { arrayLiteral, type Database, microsOf, type Session, timestampOf } from "./database.ts";
import { eventParams, insertEvent } from "./events.ts";

/** Two sealers wait for one another here; who comes second finds that the first was there. */
const SEAL_LOCK = 0x6461_7461_63_02;
const LOCK = `SELECT pg_advisory_xact_lock(${SEAL_LOCK})`;
/** A seal of thousands of rows is a large statement, and nobody waits for it. */
const PATIENT = { timeoutMs: 60_000 };
const HASH_BYTES = 32;

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
    return await this.#database.transaction(async (session) => {
      await session.query(LOCK, [], { name: "lock_seals", ...PATIENT });
      return await work({
        state: () => stateIn(session),
        sealRows: (stretch) => sealRows(session, stretch),
        addCheckpoint: (checkpoint) => addCheckpoint(session, checkpoint),
      });
    });
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

interface StateRow {
  readonly epoch: number;
  readonly size: string | null;
  readonly peaks: Uint8Array | null;
  readonly signed_note: string | null;
  readonly settled_at: string | null;
}

/** Null if there are none. */
interface SealedRow {
  readonly leaves: Uint8Array | null;
  readonly last_inserted_at: string | null;
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

const STATE = `
SELECT e.epoch, c.size::text, c.peaks, c.signed_note,
  (SELECT ${microsOf("settled_at")} FROM audit_checkpoints ORDER BY epoch DESC, size DESC LIMIT 1) AS settled_at
FROM (SELECT max(epoch) AS epoch FROM audit_epochs) e
LEFT JOIN LATERAL (SELECT * FROM audit_checkpoints WHERE epoch = e.epoch ORDER BY size DESC LIMIT 1) c ON true`;

const TABLE = {
  decisions: { table: "audit_decisions", id: "decision_id" },
  events: { table: "audit_events", id: "event_id" },
} as const;

/** SQL for the leaf hash of a row whose hash is the SQL `hash`, as `rowLeaf` makes it. */
export function leafOf(stream: Stream, hash: string): string {
  return `pg_catalog.sha256('\\x000${STREAM[stream]}'::bytea || ${hash})`;
}

/** A row is unsealed if it has no seal, and only then. (As a subquery, the seal is looked up by its key, row by row.) */
function unsealedIn(stream: Stream): string {
  const { table, id } = TABLE[stream];
  const number = STREAM[stream];
  return `
(SELECT ${number} AS stream, r.${id} AS id, r.recorded_at, r.inserted_at, ${leafOf(stream, "r.hash")} AS leaf
FROM ${table} r
WHERE r.inserted_at >= ${timestampOf("$1::bigint")}
  AND (SELECT 1 FROM audit_seals s WHERE s.row_id = r.${id} AND s.recorded_at = r.recorded_at AND s.stream = ${number}) IS NULL
ORDER BY r.inserted_at LIMIT $2::int)`;
}

/** The rows never leave the database: that would cost both sides more than the rest of their seal. */
const SEAL_ROWS = `
WITH found AS MATERIALIZED (
  SELECT row_number() OVER (ORDER BY inserted_at, stream, id) - 1 AS n, stream, id, recorded_at, inserted_at, leaf
  FROM (${unsealedIn("decisions")} UNION ALL ${unsealedIn("events")}) unsealed
  ORDER BY inserted_at, stream, id LIMIT $2::int
), sealed AS (
  INSERT INTO audit_seals (row_id, recorded_at, stream, epoch, seq, leaf_hash)
  SELECT id, recorded_at, stream, $3::int, $4::bigint + n, leaf FROM found
)
SELECT string_agg(leaf, ''::bytea ORDER BY n) AS leaves, ${microsOf("max(inserted_at)")} AS last_inserted_at FROM found`;

function countUnsealedIn(stream: Stream): string {
  const { table, id } = TABLE[stream];
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
), told AS (${insertEvent(6, "FROM opened")})
SELECT epoch FROM opened`;

const ADD_CHECKPOINT = `
WITH made AS (
  INSERT INTO audit_checkpoints (epoch, previous_size, size, root, peaks, signed_note, key_id, settled_at)
  VALUES ($1::int, $2::bigint, $3::bigint, $4::bytea, $5::bytea, $6::text, $7::text, ${timestampOf("$8::bigint")})
)
INSERT INTO audit_nodes (epoch, level, idx, hash)
SELECT $1::int, t.level, t.idx, t.hash
FROM unnest($9::text::smallint[], $10::text::bigint[], $11::text::bytea[]) AS t(level, idx, hash)`;

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

async function stateIn(session: Session): Promise<TreeState> {
  const [row] = await session.query<StateRow>(STATE, [], { name: "tree_state" });
  if (row === undefined) throw new Error("audit_epochs has no row");
  const settledAt = Number(row.settled_at ?? 0);
  if (row.size === null || row.peaks === null) return { epoch: row.epoch, size: 0, peaks: [], note: null, settledAt };
  return { epoch: row.epoch, size: Number(row.size), peaks: hashesOf(row.peaks), note: row.signed_note, settledAt };
}

async function sealRows(session: Session, { epoch, from, since, limit }: Stretch): Promise<SealedRows> {
  const params = [String(since), limit, epoch, String(from)];
  const [sealed] = await session.query<SealedRow>(SEAL_ROWS, params, { name: "seal_rows", ...PATIENT });
  if (sealed === undefined || sealed.leaves === null) return { leaves: [], lastInsertedAt: null };
  return { leaves: hashesOf(sealed.leaves), lastInsertedAt: Number(sealed.last_inserted_at) };
}

async function addCheckpoint(session: Session, { nodes, ...checkpoint }: Checkpoint): Promise<void> {
  const params = [
    checkpoint.epoch,
    checkpoint.previousSize,
    checkpoint.size,
    checkpoint.root,
    Buffer.concat(checkpoint.peaks),
    checkpoint.note,
    checkpoint.keyId,
    String(checkpoint.settledAt),
    arrayLiteral(nodes.map(({ node }) => node.level)),
    arrayLiteral(nodes.map(({ node }) => node.index)),
    arrayLiteral(nodes.map(({ hash }) => hash)),
  ];
  await session.query(ADD_CHECKPOINT, params, { name: "add_checkpoint", ...PATIENT });
}

function checkpointOf({ epoch, size, root, signed_note }: CheckpointRow): PublishedCheckpoint {
  return { epoch, size: Number(size), root, note: signed_note };
}

function hashesOf(bytes: Uint8Array): Uint8Array[] {
  const hashes: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += HASH_BYTES) hashes.push(bytes.subarray(at, at + HASH_BYTES));
  return hashes;
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
