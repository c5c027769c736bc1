import { type Kysely, sql, type Transaction } from "kysely";
import type { Stream } from "../audit/log/leaf.ts";
import type { NewCheckpoint, SealedRows, SealStretch, SealTransaction } from "../audit/seal/seal.ts";
import type { Micros } from "../core/clock.ts";
import { hashesOf, SqlCheckpointReader } from "./checkpoints.ts";
import { arrayLiteral, at, prepared } from "./dialect/statements.ts";
import type { Schema } from "./schema.ts";
import { isUnsealed, leafOf, TRAIL } from "./trail.ts";

/** Two sealers wait for one another here; who comes second finds that the first was there. */
const SEAL_LOCK = 0x6461_7461_63_02;
/** A seal of thousands of rows is a large statement, and nobody waits for it. */
const PATIENT = { timeoutMs: 60_000 };

/** Runs `work` in `transaction`, while no other sealer is at it. */
export async function sealIn<T>(
  transaction: Transaction<Schema>,
  work: (transaction: SealTransaction) => Promise<T>,
): Promise<T> {
  await LOCK.execute(transaction, {});
  const checkpoints = new SqlCheckpointReader(transaction);
  return await work({
    state: () => checkpoints.state(),
    sealRows: (stretch) => sealRows(transaction, stretch),
    addCheckpoint: (checkpoint) => addCheckpoint(transaction, checkpoint),
  });
}

async function sealRows(db: Kysely<Schema>, stretch: SealStretch): Promise<SealedRows> {
  const [sealed] = await GIVE_SEALS.execute(db, stretch);
  const { leaves = null, lastInsertedAt = null } = sealed ?? {};
  return { leaves: leaves === null ? [] : hashesOf(leaves), lastInsertedAt };
}

async function addCheckpoint(db: Kysely<Schema>, { nodes, peaks, ...checkpoint }: NewCheckpoint): Promise<void> {
  await ADD_CHECKPOINT.execute(db, {
    ...checkpoint,
    peaks: Buffer.concat(peaks),
    levels: arrayLiteral(nodes.map(({ node }) => node.level)),
    indexes: arrayLiteral(nodes.map(({ node }) => node.index)),
    hashes: arrayLiteral(nodes.map(({ hash }) => hash)),
  });
}

const LOCK = prepared<object, object>(() => sql`SELECT pg_advisory_xact_lock(${sql.lit(SEAL_LOCK)})`, PATIENT);

function unsealedIn(stream: Stream, { since, limit }: SealStretch) {
  const table = TRAIL[stream];
  return sql`
(SELECT ${table.stream} AS stream, ${table.id} AS id, r.recorded_at, r.inserted_at, ${leafOf(stream, sql`r.hash`)} AS leaf
FROM ${table.table} r
WHERE r.inserted_at >= ${at(since)} AND ${isUnsealed(table)}
ORDER BY r.inserted_at LIMIT ${limit}::int)`;
}

/** Null if there are none. */
interface GivenSeals {
  readonly leaves: Uint8Array | null;
  readonly lastInsertedAt: Micros | null;
}

/** The rows never leave the database: that would cost both sides more than the rest of their seal. */
const GIVE_SEALS = prepared<SealStretch, GivenSeals>(
  (stretch) => sql`
WITH found AS MATERIALIZED (
  SELECT row_number() OVER (ORDER BY inserted_at, stream, id) - 1 AS n, stream, id, recorded_at, inserted_at, leaf
  FROM (${unsealedIn("decisions", stretch)} UNION ALL ${unsealedIn("events", stretch)}) unsealed
  ORDER BY inserted_at, stream, id LIMIT ${stretch.limit}::int
), sealed AS (
  INSERT INTO audit_seals (row_id, recorded_at, stream, epoch, seq, leaf_hash)
  SELECT id, recorded_at, stream, ${stretch.epoch}::int, ${stretch.from}::bigint + n, leaf FROM found
)
SELECT string_agg(leaf, ''::bytea ORDER BY n) AS leaves, max(inserted_at) AS "lastInsertedAt" FROM found`,
  PATIENT,
);

/** Nodes as array literals. */
interface StoredCheckpoint extends Omit<NewCheckpoint, "nodes" | "peaks"> {
  readonly peaks: Uint8Array;
  readonly levels: string;
  readonly indexes: string;
  readonly hashes: string;
}

const ADD_CHECKPOINT = prepared<StoredCheckpoint, object>(
  (checkpoint, db) =>
    db
      .with("made", (db) =>
        db.insertInto("audit_checkpoints").values({
          epoch: checkpoint.epoch,
          previous_size: checkpoint.previousSize,
          size: checkpoint.size,
          root: checkpoint.root,
          peaks: checkpoint.peaks,
          signed_note: checkpoint.note,
          key_id: checkpoint.keyId,
          settled_at: at(checkpoint.settledAt),
        }),
      )
      .insertInto("audit_nodes")
      .columns(["epoch", "level", "idx", "hash"])
      .expression(sql`
SELECT ${checkpoint.epoch}::int, t.level, t.idx, t.hash
FROM unnest(${checkpoint.levels}::text::smallint[], ${checkpoint.indexes}::text::bigint[], ${checkpoint.hashes}::text::bytea[])
  AS t(level, idx, hash)`),
  PATIENT,
);
