import type { ExportRange, RowLine, Stretch } from "../admin/export.ts";
import type { StoredCheckpoint } from "../admin/proofs.ts";
import { isNull, startOf } from "../audit/row/binary-row.ts";
import { EXPORTED_FIELDS, rowLine } from "../audit/row/row-line.ts";
import { type Column, DECISION_COLUMNS, EVENT_COLUMNS } from "../audit/row/record.ts";
import { type Stream, STREAM } from "../audit/log/leaf.ts";
import { type Database, microsOf, timestampOf } from "./database.ts";
import { SqlTreeReader } from "./proofs.ts";

/** A part of an export is read in a few statements; nobody waits for them. */
const TIMEOUT_MS = 60_000;

/** Sealed rows in the order of their leaves. */
export class SqlExportReader extends SqlTreeReader {
  readonly #database: Database;

  constructor(database: Database) {
    super(database);
    this.#database = database;
  }

  async checkpointAfterEpoch(epoch: number): Promise<StoredCheckpoint | null> {
    const [row] = await this.#query<CheckpointRow>(
      "checkpoint_after_epoch",
      `SELECT c.epoch, c.size::text, c.signed_note FROM audit_checkpoints c
       WHERE c.epoch > $1::int ORDER BY c.epoch, c.size DESC LIMIT 1`,
      [epoch],
    );
    return row === undefined ? null : checkpointOf(row);
  }

  async checkpoints(epoch: number, after: number, upTo: number): Promise<StoredCheckpoint[]> {
    const rows = await this.#query<CheckpointRow>(
      "checkpoints_between",
      `SELECT c.epoch, c.size::text, c.signed_note FROM audit_checkpoints c
       WHERE c.epoch = $1::int AND c.size > $2::bigint AND c.size <= $3::bigint ORDER BY c.size`,
      [epoch, after, upTo],
    );
    return rows.map(checkpointOf);
  }

  async stretch(
    { from, to }: ExportRange,
    { epoch, size, at }: { readonly epoch: number; readonly size: number; readonly at: number },
    limit: number,
  ): Promise<Stretch | null> {
    const params = [epoch, at, size, String(from ?? 0), String(to), limit];
    const [found] = await this.#query<StretchRow>("export_stretch", STRETCH, params);
    if (found === undefined || found.rows === 0) return null;
    const { rows, streams, first, last, earliest, latest } = found;
    return {
      rows,
      streams: STREAMS.filter((stream) => streams.includes(STREAM[stream])),
      first: Number(first),
      last: Number(last),
      earliest: Number(earliest),
      latest: Number(latest),
    };
  }

  async rows(epoch: number, stretch: Stretch, payloads: boolean): Promise<RowLine[]> {
    const rows: RowLine[] = [];
    for (const stream of stretch.streams) {
      await this.#database.copy(rowsOf(stream, epoch, stretch, payloads), (fields) => {
        const seq = Number(fields.bytes.readBigInt64BE(startOf(fields, EXPORTED_FIELDS.seq)));
        rows.push({ seq, stream, line: rowLine(stream, fields), payload: !isNull(fields, EXPORTED_FIELDS.salt) });
      });
    }
    return rows.sort((left, right) => left.seq - right.seq);
  }

  async #query<Row>(name: string, text: string, params: Parameters<Database["query"]>[1]): Promise<Row[]> {
    return await this.#database.query<Row>(text, params, { name, timeoutMs: TIMEOUT_MS });
  }
}

interface CheckpointRow {
  readonly epoch: number;
  readonly size: string;
  readonly signed_note: string;
}

/** All but the first two are null where there are no rows. */
interface StretchRow {
  readonly rows: number;
  readonly streams: readonly number[];
  readonly first: string;
  readonly last: string;
  readonly earliest: string;
  readonly latest: string;
}

const STREAMS = Object.keys(STREAM) as Stream[];

const STRETCH = `
SELECT count(*)::int AS rows, array_agg(DISTINCT stream::int) AS streams, min(seq)::text AS first, max(seq)::text AS last,
  ${microsOf("min(recorded_at)")} AS earliest, ${microsOf("max(recorded_at)")} AS latest
FROM (
  SELECT seq, stream, recorded_at FROM audit_seals s
  WHERE s.epoch = $1::int AND s.seq >= $2::bigint AND s.seq < $3::bigint
    AND s.recorded_at >= ${timestampOf("$4::bigint")} AND s.recorded_at < ${timestampOf("$5::bigint")}
  ORDER BY s.seq LIMIT $6::int) found`;

const TABLE = {
  decisions: { name: "audit_decisions", id: "decision_id", columns: namesOf(DECISION_COLUMNS) },
  events: { name: "audit_events", id: "event_id", columns: namesOf(EVENT_COLUMNS) },
} as const;

/**
 * The rows of a stretch, which are all that are sealed between its first and its last leaf and were recorded in its time. Times also
 * as constants, so that partitions of other months are left out. (COPY takes no parameters: all of these are numbers of ours.)
 */
function rowsOf(stream: Stream, epoch: number, { first, last, earliest, latest }: Stretch, payloads: boolean): string {
  const { name, id, columns } = TABLE[stream];
  const inTime = (table: string): string =>
    `${table}.recorded_at >= ${timestampOf(String(earliest))} AND ${table}.recorded_at <= ${timestampOf(String(latest))}`;
  const [salt, canonical, join] =
    payloads && stream === "decisions"
      ? [
          "k.salt",
          "k.canonical",
          `LEFT JOIN audit_payloads k ON k.decision_id = r.decision_id AND k.recorded_at = r.recorded_at AND ${inTime("k")}`,
        ]
      : ["NULL::bytea", "NULL::text", ""];
  return `
SELECT s.seq, r.hash, ${salt}, ${canonical}, ${columns}
FROM audit_seals s
JOIN ${name} r ON r.${id} = s.row_id AND r.recorded_at = s.recorded_at AND ${inTime("r")}
${join}
WHERE s.epoch = ${epoch} AND s.seq >= ${first} AND s.seq <= ${last} AND s.stream = ${STREAM[stream]} AND ${inTime("s")}
ORDER BY s.seq`;
}

function namesOf<Row>(columns: readonly Column<Row>[]): string {
  return columns.map(({ name }) => `r.${name}`).join(", ");
}

function checkpointOf({ epoch, size, signed_note }: CheckpointRow): StoredCheckpoint {
  return { epoch, size: Number(size), note: signed_note };
}
