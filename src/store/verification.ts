import type { BinaryFields } from "../audit/row/binary-row.ts";
import { type Stream, STREAM } from "../audit/log/leaf.ts";
import type { TreeNode } from "../audit/log/merkle.ts";
import { type Column, DECISION_COLUMNS, EVENT_COLUMNS } from "../audit/row/record.ts";
import { STORED_LEVELS } from "../audit/seal/seal.ts";
import type { Strays, VerifyStore } from "../audit/verify/verify.ts";
import type { PlanPorts } from "../audit/verify/plan.ts";
import type { SealedDecision, StoredCheckpoint } from "../audit/verify/segment.ts";
import type { Micros } from "../core/clock.ts";
import { arrayLiteral, type Database, microsOf, timestampOf } from "./database.ts";
import { hashesOf, leafOf } from "./seal-transaction.ts";

/** Nobody waits for a verification's reads. */
const PATIENT = { timeoutMs: 120_000 };

/** Reads the trail as verification needs it: in pieces, in the order of the seals or of the ids. */
export class SqlVerifyStore implements VerifyStore, PlanPorts {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async epochs(): Promise<{ epoch: number; size: number; sealed: number; acknowledgement: string | null }[]> {
    const rows = await this.#database.query<EpochRow>(EPOCHS, [], PATIENT);
    return rows.map(({ epoch, size, sealed, acknowledgement }) => {
      return { epoch, size: Number(size), sealed: Number(sealed), acknowledgement };
    });
  }

  async checkpointsFrom(epoch: number, size: number, limit: number): Promise<StoredCheckpoint[]> {
    const text = `${CHECKPOINT} WHERE c.epoch = $1::int AND c.size > $2::bigint ORDER BY c.size LIMIT $3`;
    return (await this.#database.query<CheckpointRow>(text, [epoch, size, limit], PATIENT)).map(checkpointOf);
  }

  async checkpoint(epoch: number, size: number): Promise<StoredCheckpoint | null> {
    const text = `${CHECKPOINT} WHERE c.epoch = $1::int AND c.size = $2::bigint`;
    const [row] = await this.#database.query<CheckpointRow>(text, [epoch, size], PATIENT);
    return row === undefined ? null : checkpointOf(row);
  }

  async checkpointAtOrBefore(epoch: number, size: number): Promise<number> {
    return await this.#greatest("size <= $2::bigint", epoch, String(size));
  }

  async checkpointBefore(epoch: number, at: Micros): Promise<number> {
    return await this.#greatest(`created_at < ${timestampOf("$2::bigint")}`, epoch, String(at));
  }

  async readSealed(
    stream: Stream,
    epoch: number,
    from: number,
    to: number,
    each: (fields: BinaryFields) => void,
  ): Promise<void> {
    await this.#database.copy(sealedRows(stream, epoch, from, to), each);
  }

  async lostPayloads(rows: readonly SealedDecision[]): Promise<string[]> {
    const params = [arrayLiteral(rows.map(({ id }) => id)), arrayLiteral(rows.map(({ recordedAt }) => recordedAt))];
    const lost = await this.#database.query<{ id: string }>(LOST_PAYLOADS, params, PATIENT);
    return lost.map(({ id }) => id);
  }

  async nodesBetween(epoch: number, from: number, to: number): Promise<{ node: TreeNode; hash: Uint8Array }[]> {
    const rows = await this.#database.query<{ level: number; idx: string; hash: Uint8Array }>(
      NODES,
      [epoch, String(from), String(to)],
      PATIENT,
    );
    return rows.map(({ level, idx, hash }) => ({ node: { level, index: Number(idx) }, hash }));
  }

  async strays(after: string, limit: number, settled: Micros): Promise<Strays> {
    const [id = "", recordedAt = "0", stream = "0"] = after.split(" ");
    const params = [id, recordedAt, stream, limit, String(settled)];
    const [row] = await this.#database.query<{ n: number; last: string | null; found: string }>(
      STRAYS,
      params,
      PATIENT,
    );
    const found = JSON.parse(row?.found ?? "[]") as { id: string; at: number; stream: number }[];
    return {
      read: row?.n ?? 0,
      last: row?.last ?? after,
      found: found.map((one) => {
        return { id: one.id, recordedAt: one.at, stream: one.stream === STREAM.decisions ? "decisions" : "events" };
      }),
    };
  }

  /** Months that were retired, as far as a sealed event says so of that month. A row of `audit_retired` alone excuses nothing. */
  async retired(): Promise<{ from: Micros; to: Micros }[]> {
    const months = await this.#database.query<{ lower: string; upper: string }>(RETIRED, [], PATIENT);
    return months.map(({ lower, upper }) => ({ from: Number(lower), to: Number(upper) }));
  }

  async #greatest(condition: string, epoch: number, param: string): Promise<number> {
    const [row] = await this.#database.query<{ size: string | null }>(
      `SELECT max(size)::text AS size FROM audit_checkpoints WHERE epoch = $1::int AND ${condition}`,
      [epoch, param],
      PATIENT,
    );
    return Number(row?.size ?? 0);
  }
}

/** The event itself may be in a month that was retired later; where it is still there, it must be about this month. */
const RETIRED = `
SELECT ${microsOf("a.month::timestamp AT TIME ZONE 'UTC'")} AS lower,
  ${microsOf("(a.month + interval '1 month') AT TIME ZONE 'UTC'")} AS upper
FROM audit_retired a
WHERE EXISTS (
    SELECT FROM audit_seals s WHERE s.row_id = a.event_id AND s.recorded_at = a.recorded_at AND s.stream = ${STREAM.events}
      AND s.leaf_hash = ${leafOf("events", "a.event_hash")})
  AND NOT EXISTS (
    SELECT FROM audit_events e WHERE e.event_id = a.event_id AND e.recorded_at = a.recorded_at
      AND (e.kind, e.subject) IS DISTINCT FROM ('audit.month_retired', to_char(a.month, 'YYYY-MM-DD')))`;

interface EpochRow {
  readonly epoch: number;
  readonly size: string;
  readonly sealed: string;
  readonly acknowledgement: string | null;
}

interface CheckpointRow {
  readonly epoch: number;
  readonly previous_size: string;
  readonly size: string;
  readonly root: Uint8Array;
  readonly peaks: Uint8Array;
  readonly signed_note: string;
}

const TABLE = {
  decisions: { name: "audit_decisions", id: "decision_id", columns: namesOf(DECISION_COLUMNS) },
  events: { name: "audit_events", id: "event_id", columns: namesOf(EVENT_COLUMNS) },
} as const;

const EPOCHS = `
SELECT e.epoch, e.acknowledgement,
  coalesce((SELECT max(c.size) FROM audit_checkpoints c WHERE c.epoch = e.epoch), 0)::text AS size,
  coalesce((SELECT max(s.seq) + 1 FROM audit_seals s WHERE s.epoch = e.epoch), 0)::text AS sealed
FROM audit_epochs e ORDER BY e.epoch`;

const CHECKPOINT =
  "SELECT c.epoch, c.previous_size::text, c.size::text, c.root, c.peaks, c.signed_note FROM audit_checkpoints c";

/** Of each stored level, the nodes that end in the range. The deepest level has one node for four billion leaves. */
const NODES = `
SELECT n.level, n.idx::text, n.hash FROM generate_series(${STORED_LEVELS}, 52, ${STORED_LEVELS}) AS l(level)
JOIN audit_nodes n ON n.epoch = $1::int AND n.level = l.level
  AND n.idx >= $2::bigint >> l.level AND n.idx < $3::bigint >> l.level`;

/** Payloads are digested where they are: they may be large, and only their digests are compared. */
const PAYLOAD_DIGEST = "pg_catalog.sha256(p.salt || pg_catalog.convert_to(p.canonical, 'UTF8'))";
const PAYLOAD_JOIN = "LEFT JOIN audit_payloads p ON p.decision_id = r.decision_id AND p.recorded_at = r.recorded_at";

/** A later row about a decision has its payload's digest, and no payload of its own: then the first row has it. */
const LOST_PAYLOADS = `
SELECT r.decision_id::text AS id
FROM unnest($1::text::uuid[], $2::text::bigint[]) AS t(id, at)
JOIN audit_decisions r ON r.decision_id = t.id AND r.recorded_at = ${timestampOf("t.at")}
WHERE NOT EXISTS (SELECT FROM audit_events e WHERE e.decision_id = r.decision_id AND e.kind = 'payload.erased')
  AND (r.linked_decision_id IS NULL OR EXISTS (
    SELECT FROM audit_decisions f WHERE f.decision_id = r.linked_decision_id AND f.payload_digest <> r.payload_digest))`;

/** COPY takes no parameters: all of these are numbers of ours. */
function sealedRows(stream: Stream, epoch: number, from: number, to: number): string {
  const { name, id, columns } = TABLE[stream];
  const withPayload = stream === "decisions";
  return `
SELECT s.seq, s.leaf_hash, s.row_id, s.recorded_at, r.hash, ${withPayload ? PAYLOAD_DIGEST : "NULL::bytea"}, ${columns}
FROM audit_seals s
LEFT JOIN ${name} r ON r.${id} = s.row_id AND r.recorded_at = s.recorded_at
${withPayload ? PAYLOAD_JOIN : ""}
WHERE s.epoch = ${epoch} AND s.seq >= ${from} AND s.seq < ${to} AND s.stream = ${STREAM[stream]} ORDER BY s.seq`;
}

function placesIn(stream: Stream): string {
  const { name, id } = TABLE[stream];
  return `
(SELECT r.${id} AS id, r.recorded_at, ${STREAM[stream]} AS stream, r.inserted_at FROM ${name} r
WHERE (r.${id}, r.recorded_at) >= ($1::text::uuid, ${timestampOf("$2::bigint")})
  AND (r.${id}, r.recorded_at, ${STREAM[stream]}) > ($1::text::uuid, ${timestampOf("$2::bigint")}, $3::int)
ORDER BY r.${id}, r.recorded_at LIMIT $4::int)`;
}

const STRAYS = `
WITH piece AS MATERIALIZED (
  SELECT * FROM (${placesIn("decisions")} UNION ALL ${placesIn("events")}) places
  ORDER BY id, recorded_at, stream LIMIT $4::int
)
SELECT count(*)::int AS n,
  (SELECT id::text || ' ' || ${microsOf("recorded_at")} || ' ' || stream FROM piece
   ORDER BY piece.id DESC, piece.recorded_at DESC, piece.stream DESC LIMIT 1) AS last,
  coalesce(json_agg(json_build_object('id', id, 'at', ${microsOf("recorded_at")}::bigint, 'stream', stream)) FILTER (WHERE
    inserted_at < ${timestampOf("$5::bigint")} AND NOT EXISTS (
      SELECT FROM audit_seals s WHERE s.row_id = piece.id AND s.recorded_at = piece.recorded_at AND s.stream = piece.stream)
  ), '[]')::text AS found
FROM piece`;

function namesOf<Row>(columns: readonly Column<Row>[]): string {
  return columns.map(({ name }) => `r.${name}`).join(", ");
}

function checkpointOf(row: CheckpointRow): StoredCheckpoint {
  const peaks = hashesOf(row.peaks);
  const { epoch, root, signed_note: note } = row;
  return { epoch, previousSize: Number(row.previous_size), size: Number(row.size), root, peaks, note };
}
