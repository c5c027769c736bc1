import { type RawBuilder, sql } from "kysely";
import { isNull, startOf } from "../audit/row/binary-row.ts";
import { type Stream, STREAM } from "../audit/log/leaf.ts";
import { EXPORTED_FIELDS, rowLine } from "../audit/row/row-line.ts";
import type { Micros } from "../core/clock.ts";
import type { Database } from "./dialect/database.ts";
import { SqlTreeReader } from "./proofs.ts";
import { at, atColumn, prepared } from "./dialect/statements.ts";
import { TRAIL } from "./trail.ts";

/** Which rows: recorded from when (null for all from the beginning) to before when. */
export interface ExportRange {
  readonly from: Micros | null;
  readonly to: Micros;
  readonly payloads: boolean;
}

/** Some sealed rows that follow one another, without the rows. */
export interface Stretch {
  /** How many they are by their seals. */
  readonly rows: number;
  readonly streams: readonly Stream[];
  /** The leaves of the first and of the last one. */
  readonly first: number;
  readonly last: number;
  /** When they were recorded: they are sealed in another order. */
  readonly earliest: Micros;
  readonly latest: Micros;
}

/** A row's line, and what is to be known of it. */
export interface RowLine {
  readonly seq: number;
  readonly stream: Stream;
  /** With its newline. */
  readonly line: Buffer;
  readonly payload: boolean;
}

/** Sealed rows in the order of their leaves. */
export class SqlExportReader extends SqlTreeReader {
  readonly #database: Database;

  constructor(database: Database) {
    super(database.kysely);
    this.#database = database;
  }

  /** Of the leaves of `epoch` from `at` to before `size`, the first `limit` of rows of the time; null if there are none. */
  async stretch(
    { from, to }: ExportRange,
    leaves: { readonly epoch: number; readonly size: number; readonly at: number },
    limit: number,
  ): Promise<Stretch | null> {
    const [found] = await STRETCH.execute(this.db, { ...leaves, from: from ?? 0, to, limit });
    if (found === undefined || found.rows === 0) return null;
    return { ...found, streams: STREAMS.filter((stream) => found.streams.includes(STREAM[stream])) };
  }

  /** The rows of a stretch of `epoch`, in order; without those that no longer exist. */
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
}

const STREAMS = Object.keys(STREAM) as Stream[];

/** All but their number is null where there are no rows. */
type FoundStretch = Omit<Stretch, "streams"> & { readonly streams: readonly number[] };

const STRETCH = prepared<
  { epoch: number; at: number; size: number; from: Micros; to: Micros; limit: number },
  FoundStretch
>(
  (leaves) => sql`
SELECT count(*) AS rows, json_agg(DISTINCT stream) AS streams, min(seq) AS first, max(seq) AS last,
  min(recorded_at) AS earliest, max(recorded_at) AS latest
FROM (
  SELECT seq, stream, recorded_at FROM audit_seals s
  WHERE s.epoch = ${leaves.epoch}::int AND s.seq >= ${leaves.at}::bigint AND s.seq < ${leaves.size}::bigint
    AND s.recorded_at >= ${at(leaves.from)} AND s.recorded_at < ${at(leaves.to)}
  ORDER BY s.seq LIMIT ${leaves.limit}::int) found`,
  // A part of an export is read in a few statements; nobody waits for them.
  { timeoutMs: 60_000 },
);

/**
 * The rows of a stretch, which are all that are sealed between its first and its last leaf and were recorded in its time. Times also
 * as constants, so that partitions of other months are left out.
 */
function rowsOf(
  stream: Stream,
  epoch: number,
  { first, last, earliest, latest }: Stretch,
  payloads: boolean,
): RawBuilder<unknown> {
  const row = TRAIL[stream];
  const inTime = (table: string): RawBuilder<boolean> => {
    const time = sql.ref(`${table}.recorded_at`);
    return sql`${time} >= ${atColumn(sql.lit(earliest))} AND ${time} <= ${atColumn(sql.lit(latest))}`;
  };
  const [payload, join] =
    payloads && stream === "decisions"
      ? [
          sql`k.salt, k.canonical`,
          sql`LEFT JOIN audit_payloads k ON k.decision_id = r.decision_id AND k.recorded_at = r.recorded_at AND ${inTime("k")}`,
        ]
      : [sql`NULL::bytea, NULL::text`, sql``];
  return sql`
SELECT s.seq, r.hash, ${payload}, ${row.columns}
FROM audit_seals s
JOIN ${row.table} r ON ${row.id} = s.row_id AND r.recorded_at = s.recorded_at AND ${inTime("r")}
${join}
WHERE s.epoch = ${sql.lit(epoch)} AND s.seq >= ${sql.lit(first)} AND s.seq <= ${sql.lit(last)} AND s.stream = ${row.stream}
  AND ${inTime("s")}
ORDER BY s.seq`;
}
