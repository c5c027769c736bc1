import { type RawBuilder, sql } from "kysely";
import type { BinaryFields } from "../audit/row/binary-row.ts";
import { type Stream, STREAM } from "../audit/log/leaf.ts";
import type { TreeNode } from "../audit/log/merkle.ts";
import { STORED_LEVELS } from "../audit/seal/seal.ts";
import type { Strays, VerifyStore } from "../audit/verify/verify.ts";
import type { PlanPorts } from "../audit/verify/plan.ts";
import type { SealedDecision } from "../audit/verify/segment.ts";
import type { Micros } from "../core/clock.ts";
import { SqlCheckpointReader } from "./checkpoints.ts";
import type { Database } from "./dialect/database.ts";
import { arrayLiteral, at, atColumn, micros, run } from "./dialect/statements.ts";
import { leafOf, TRAIL } from "./trail.ts";

/** Nobody waits for a verification's reads. */
const PATIENT = { timeoutMs: 120_000 };

/** Reads the trail as verification needs it: in pieces, in the order of the seals or of the ids. */
export class SqlVerifyStore extends SqlCheckpointReader implements VerifyStore, PlanPorts {
  readonly #database: Database;

  constructor(database: Database) {
    super(database.kysely, PATIENT);
    this.#database = database;
  }

  async epochs(): Promise<Epoch[]> {
    return await run(this.db, EPOCHS, PATIENT);
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
    const lost = await run(this.db, lostAmong(rows), PATIENT);
    return lost.map(({ id }) => id);
  }

  async nodesBetween(epoch: number, from: number, to: number): Promise<{ node: TreeNode; hash: Uint8Array }[]> {
    const rows = await run(this.db, nodesEndingIn(epoch, from, to), PATIENT);
    return rows.map(({ level, index, hash }) => ({ node: { level, index }, hash }));
  }

  async strays(after: string, limit: number, settled: Micros): Promise<Strays> {
    const [id = "", recordedAt = "0", stream = "0"] = after.split(" ");
    const place = { id, recordedAt: Number(recordedAt), stream: Number(stream) };
    const [piece] = await run(this.db, straysAfter(place, limit, settled), PATIENT);
    const { read, last, found } = piece ?? { read: 0, last: null, found: [] };
    return {
      read,
      last: last ?? after,
      found: found.map((row) => ({ ...row, stream: row.stream === STREAM.decisions ? "decisions" : "events" })),
    };
  }

  /** Months that were retired, as far as a sealed event says so of that month. A row of `audit_retired` alone excuses nothing. */
  async retired(): Promise<{ from: Micros; to: Micros }[]> {
    return await run(this.db, RETIRED, PATIENT);
  }
}

/** The event itself may be in a month that was retired later; where it is still there, it must be about this month. */
const RETIRED = sql<{ from: Micros; to: Micros }>`
SELECT a.month::timestamp AT TIME ZONE 'UTC' AS "from", (a.month + interval '1 month') AT TIME ZONE 'UTC' AS "to"
FROM audit_retired a
WHERE EXISTS (
    SELECT FROM audit_seals s WHERE s.row_id = a.event_id AND s.recorded_at = a.recorded_at
      AND s.stream = ${TRAIL.events.stream} AND s.leaf_hash = ${leafOf("events", sql`a.event_hash`)})
  AND NOT EXISTS (
    SELECT FROM audit_events e WHERE e.event_id = a.event_id AND e.recorded_at = a.recorded_at
      AND (e.kind, e.subject) IS DISTINCT FROM ('audit.month_retired', to_char(a.month, 'YYYY-MM-DD')))`;

type Epoch = Awaited<ReturnType<VerifyStore["epochs"]>>[number];

const EPOCHS = sql<Epoch>`
SELECT e.epoch, e.acknowledgement,
  coalesce((SELECT max(c.size) FROM audit_checkpoints c WHERE c.epoch = e.epoch), 0) AS size,
  coalesce((SELECT max(s.seq) + 1 FROM audit_seals s WHERE s.epoch = e.epoch), 0) AS sealed
FROM audit_epochs e ORDER BY e.epoch`;

/** Of each stored level, the nodes that end in the range. The deepest level has one node for four billion leaves. */
function nodesEndingIn(epoch: number, from: number, to: number) {
  return sql<TreeNode & { hash: Uint8Array }>`
SELECT n.level, n.idx AS index, n.hash
FROM generate_series(${sql.lit(STORED_LEVELS)}, 52, ${sql.lit(STORED_LEVELS)}) AS l(level)
JOIN audit_nodes n ON n.epoch = ${epoch}::int AND n.level = l.level
  AND n.idx >= ${from}::bigint >> l.level AND n.idx < ${to}::bigint >> l.level`;
}

/** Payloads are digested where they are: they may be large, and only their digests are compared. */
const PAYLOAD_DIGEST = sql`pg_catalog.sha256(p.salt || pg_catalog.convert_to(p.canonical, 'UTF8'))`;
const PAYLOAD_JOIN = sql`LEFT JOIN audit_payloads p ON p.decision_id = r.decision_id AND p.recorded_at = r.recorded_at`;

/** A later row about a decision has its payload's digest, and no payload of its own: then the first row has it. */
function lostAmong(rows: readonly SealedDecision[]) {
  const ids = arrayLiteral(rows.map(({ id }) => id));
  const times = arrayLiteral(rows.map(({ recordedAt }) => recordedAt));
  return sql<{ id: string }>`
SELECT r.decision_id AS id
FROM unnest(${ids}::text::uuid[], ${times}::text::bigint[]) AS t(id, at)
JOIN audit_decisions r ON r.decision_id = t.id AND r.recorded_at = ${atColumn(sql`t.at`)}
WHERE NOT EXISTS (SELECT FROM audit_events e WHERE e.decision_id = r.decision_id AND e.kind = 'payload.erased')
  AND (r.linked_decision_id IS NULL OR EXISTS (
    SELECT FROM audit_decisions f WHERE f.decision_id = r.linked_decision_id AND f.payload_digest <> r.payload_digest))`;
}

function sealedRows(stream: Stream, epoch: number, from: number, to: number): RawBuilder<unknown> {
  const { table, id, columns, stream: number } = TRAIL[stream];
  const [digest, join] = stream === "decisions" ? [PAYLOAD_DIGEST, PAYLOAD_JOIN] : [sql`NULL::bytea`, sql``];
  return sql`
SELECT s.seq, s.leaf_hash, s.row_id, s.recorded_at, r.hash, ${digest}, ${columns}
FROM audit_seals s
LEFT JOIN ${table} r ON ${id} = s.row_id AND r.recorded_at = s.recorded_at
${join}
WHERE s.epoch = ${sql.lit(epoch)} AND s.seq >= ${sql.lit(from)} AND s.seq < ${sql.lit(to)} AND s.stream = ${number}
ORDER BY s.seq`;
}

interface RowPlace {
  readonly id: string;
  readonly recordedAt: Micros;
  readonly stream: number;
}

function straysAfter(after: RowPlace, limit: number, settled: Micros) {
  const time = at(after.recordedAt);
  const placesIn = ({ table, id, stream }: (typeof TRAIL)[Stream]) => sql`
(SELECT ${id} AS id, r.recorded_at, ${stream} AS stream, r.inserted_at FROM ${table} r
WHERE (${id}, r.recorded_at) >= (${after.id}::uuid, ${time})
  AND (${id}, r.recorded_at, ${stream}) > (${after.id}::uuid, ${time}, ${after.stream}::int)
ORDER BY ${id}, r.recorded_at LIMIT ${limit}::int)`;
  return sql<{ read: number; last: string | null; found: RowPlace[] }>`
WITH piece AS MATERIALIZED (
  SELECT * FROM (${placesIn(TRAIL.decisions)} UNION ALL ${placesIn(TRAIL.events)}) places
  ORDER BY id, recorded_at, stream LIMIT ${limit}::int
)
SELECT count(*) AS read,
  (SELECT id::text || ' ' || ${micros("recorded_at")} || ' ' || stream FROM piece
   ORDER BY piece.id DESC, piece.recorded_at DESC, piece.stream DESC LIMIT 1) AS last,
  coalesce(json_agg(json_build_object('id', id, 'recordedAt', ${micros("recorded_at")}, 'stream', stream)) FILTER (WHERE
    inserted_at < ${at(settled)} AND NOT EXISTS (
      SELECT FROM audit_seals s WHERE s.row_id = piece.id AND s.recorded_at = piece.recorded_at AND s.stream = piece.stream)
  ), '[]') AS found
FROM piece`;
}
