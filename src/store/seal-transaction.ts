import { STREAM, type Stream } from "../audit/log/leaf.ts";
import type { NewCheckpoint, SealedRows, SealStretch, SealTransaction, TreeState } from "../audit/seal/seal.ts";
import { arrayLiteral, microsOf, type Session, timestampOf } from "./database.ts";

/** Two sealers wait for one another here; who comes second finds that the first was there. */
const SEAL_LOCK = 0x6461_7461_63_02;
const LOCK = `SELECT pg_advisory_xact_lock(${SEAL_LOCK})`;
/** A seal of thousands of rows is a large statement, and nobody waits for it. */
const PATIENT = { timeoutMs: 60_000 };
const HASH_BYTES = 32;

/** Runs `work` in a transaction's session, while no other sealer is at it. */
export async function sealIn<T>(session: Session, work: (transaction: SealTransaction) => Promise<T>): Promise<T> {
  await session.query(LOCK, [], { name: "lock_seals", ...PATIENT });
  return await work({
    state: () => stateIn(session),
    sealRows: (stretch) => sealRows(session, stretch),
    addCheckpoint: (checkpoint) => addCheckpoint(session, checkpoint),
  });
}

/** The tree as it stands. */
export async function stateIn(session: Session): Promise<TreeState> {
  const [row] = await session.query<StateRow>(STATE, [], { name: "tree_state" });
  if (row === undefined) throw new Error("audit_epochs has no row");
  const settledAt = Number(row.settled_at ?? 0);
  if (row.size === null || row.peaks === null) return { epoch: row.epoch, size: 0, peaks: [], note: null, settledAt };
  return { epoch: row.epoch, size: Number(row.size), peaks: hashesOf(row.peaks), note: row.signed_note, settledAt };
}

async function sealRows(session: Session, { epoch, from, since, limit }: SealStretch): Promise<SealedRows> {
  const params = [String(since), limit, epoch, String(from)];
  const [sealed] = await session.query<GivenSeals>(GIVE_SEALS, params, { name: "seal_rows", ...PATIENT });
  if (sealed === undefined || sealed.leaves === null) return { leaves: [], lastInsertedAt: null };
  return { leaves: hashesOf(sealed.leaves), lastInsertedAt: Number(sealed.last_inserted_at) };
}

async function addCheckpoint(session: Session, { nodes, ...checkpoint }: NewCheckpoint): Promise<void> {
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

/** Hashes of 32 bytes each that were stored one after the other. */
export function hashesOf(bytes: Uint8Array): Uint8Array[] {
  const hashes: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += HASH_BYTES) hashes.push(bytes.subarray(at, at + HASH_BYTES));
  return hashes;
}

interface StateRow {
  readonly epoch: number;
  readonly size: string | null;
  readonly peaks: Uint8Array | null;
  readonly signed_note: string | null;
  readonly settled_at: string | null;
}

/** Null if there are none. */
interface GivenSeals {
  readonly leaves: Uint8Array | null;
  readonly last_inserted_at: string | null;
}

/** Where a stream's rows are. */
export const TRAIL_TABLE = {
  decisions: { table: "audit_decisions", id: "decision_id" },
  events: { table: "audit_events", id: "event_id" },
} as const;

const STATE = `
SELECT e.epoch, c.size::text, c.peaks, c.signed_note,
  (SELECT ${microsOf("settled_at")} FROM audit_checkpoints ORDER BY epoch DESC, size DESC LIMIT 1) AS settled_at
FROM (SELECT max(epoch) AS epoch FROM audit_epochs) e
LEFT JOIN LATERAL (SELECT * FROM audit_checkpoints WHERE epoch = e.epoch ORDER BY size DESC LIMIT 1) c ON true`;

/** SQL for the leaf hash of a row whose hash is the SQL `hash`, as `rowLeaf` makes it. */
export function leafOf(stream: Stream, hash: string): string {
  return `pg_catalog.sha256('\\x000${STREAM[stream]}'::bytea || ${hash})`;
}

/** A row is unsealed if it has no seal, and only then. (As a subquery, the seal is looked up by its key, row by row.) */
function unsealedIn(stream: Stream): string {
  const { table, id } = TRAIL_TABLE[stream];
  const number = STREAM[stream];
  return `
(SELECT ${number} AS stream, r.${id} AS id, r.recorded_at, r.inserted_at, ${leafOf(stream, "r.hash")} AS leaf
FROM ${table} r
WHERE r.inserted_at >= ${timestampOf("$1::bigint")}
  AND (SELECT 1 FROM audit_seals s WHERE s.row_id = r.${id} AND s.recorded_at = r.recorded_at AND s.stream = ${number}) IS NULL
ORDER BY r.inserted_at LIMIT $2::int)`;
}

/** The rows never leave the database: that would cost both sides more than the rest of their seal. */
const GIVE_SEALS = `
WITH found AS MATERIALIZED (
  SELECT row_number() OVER (ORDER BY inserted_at, stream, id) - 1 AS n, stream, id, recorded_at, inserted_at, leaf
  FROM (${unsealedIn("decisions")} UNION ALL ${unsealedIn("events")}) unsealed
  ORDER BY inserted_at, stream, id LIMIT $2::int
), sealed AS (
  INSERT INTO audit_seals (row_id, recorded_at, stream, epoch, seq, leaf_hash)
  SELECT id, recorded_at, stream, $3::int, $4::bigint + n, leaf FROM found
)
SELECT string_agg(leaf, ''::bytea ORDER BY n) AS leaves, ${microsOf("max(inserted_at)")} AS last_inserted_at FROM found`;

const ADD_CHECKPOINT = `
WITH made AS (
  INSERT INTO audit_checkpoints (epoch, previous_size, size, root, peaks, signed_note, key_id, settled_at)
  VALUES ($1::int, $2::bigint, $3::bigint, $4::bytea, $5::bytea, $6::text, $7::text, ${timestampOf("$8::bigint")})
)
INSERT INTO audit_nodes (epoch, level, idx, hash)
SELECT $1::int, t.level, t.idx, t.hash
FROM unnest($9::text::smallint[], $10::text::bigint[], $11::text::bytea[]) AS t(level, idx, hash)`;
