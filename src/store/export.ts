import type { ExportRange, SealPlace } from "../admin/export.ts";
import type { StoredCheckpoint } from "../admin/proofs.ts";
import type { SealedRow } from "../audit/export-lines.ts";
import type { KeptPayload } from "../audit/proof.ts";
import { type Column, DECISION_COLUMNS, type DecisionRow, EVENT_COLUMNS, type EventRow } from "../audit/record.ts";
import { STREAM } from "../audit/leaf.ts";
import { arrayLiteral, type Database, microsOf, timestampOf } from "./database.ts";
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

  async places(
    { from, to }: ExportRange,
    { epoch, size, at }: { readonly epoch: number; readonly size: number; readonly at: number },
    limit: number,
  ): Promise<SealPlace[]> {
    const params = [epoch, at, size, String(from ?? 0), String(to), limit];
    const rows = await this.#query<PlaceRow>("export_places", PLACES, params);
    return rows.map(({ seq, stream, row_id, recorded_at }) => {
      const name = stream === STREAM.decisions ? "decisions" : "events";
      return { seq: Number(seq), stream: name, rowId: row_id, recordedAt: Number(recorded_at) };
    });
  }

  async rows(places: readonly SealPlace[], payloads: boolean): Promise<SealedRow[]> {
    const decisions = await this.#rowsOf(places, "decisions", payloads ? DECISIONS_WITH_PAYLOADS : DECISIONS);
    const events = await this.#rowsOf(places, "events", EVENTS);
    const rows: SealedRow[] = [
      ...decisions.map((found): SealedRow => {
        const row = rowOf<DecisionRow>(DECISION_COLUMNS, found);
        return {
          stream: "decisions",
          seq: Number(found["seq"]),
          hash: found["hash"] as Uint8Array,
          row,
          payload: payloadOf(found),
        };
      }),
      ...events.map((found): SealedRow => {
        const row = rowOf<EventRow>(EVENT_COLUMNS, found);
        return { stream: "events", seq: Number(found["seq"]), hash: found["hash"] as Uint8Array, row };
      }),
    ];
    return rows.sort((left, right) => left.seq - right.seq);
  }

  async #rowsOf(places: readonly SealPlace[], stream: SealPlace["stream"], text: string): Promise<Found[]> {
    const wanted = places.filter((place) => place.stream === stream);
    if (wanted.length === 0) return [];
    const times = wanted.map(({ recordedAt }) => recordedAt);
    return await this.#query<Found>(null, text, [
      arrayLiteral(wanted.map(({ rowId }) => rowId)),
      arrayLiteral(times),
      arrayLiteral(wanted.map(({ seq }) => seq)),
      String(times.reduce((least, time) => Math.min(least, time))),
      String(times.reduce((most, time) => Math.max(most, time))),
    ]);
  }

  async #query<Row>(name: string | null, text: string, params: Parameters<Database["query"]>[1]): Promise<Row[]> {
    return await this.#database.query<Row>(text, params, {
      ...(name === null ? {} : { name }),
      timeoutMs: TIMEOUT_MS,
    });
  }
}

type Found = Readonly<Record<string, unknown>>;

interface CheckpointRow {
  readonly epoch: number;
  readonly size: string;
  readonly signed_note: string;
}

interface PlaceRow {
  readonly seq: string;
  readonly stream: number;
  readonly row_id: string;
  readonly recorded_at: string;
}

const PLACES = `
SELECT seq::text, stream::int, row_id::text, ${microsOf("recorded_at")} AS recorded_at FROM audit_seals s
WHERE s.epoch = $1::int AND s.seq >= $2::bigint AND s.seq < $3::bigint
  AND s.recorded_at >= ${timestampOf("$4::bigint")} AND s.recorded_at < ${timestampOf("$5::bigint")}
ORDER BY s.seq LIMIT $6::int`;

/** Times also as constants of the statement, so that partitions of other months are left out when it is planned. */
function rowsAt(table: string, id: string, columns: readonly Column<never>[], more = "", join = ""): string {
  const names = columns.map(({ name, kind }) =>
    kind === "micros" ? `${microsOf(`r.${name}`)} AS ${name}` : `r.${name}`,
  );
  return `
SELECT p.seq::text, ${names.join(", ")}, r.hash${more}
FROM unnest($1::text::uuid[], $2::text::bigint[], $3::text::bigint[]) AS p(row_id, recorded_at, seq)
JOIN ${table} r ON r.${id} = p.row_id AND r.recorded_at = ${timestampOf("p.recorded_at")}
  AND r.recorded_at >= ${timestampOf("$4::bigint")} AND r.recorded_at <= ${timestampOf("$5::bigint")}${join}`;
}

const DECISIONS = rowsAt("audit_decisions", "decision_id", DECISION_COLUMNS);
const DECISIONS_WITH_PAYLOADS = rowsAt(
  "audit_decisions",
  "decision_id",
  DECISION_COLUMNS,
  ", k.salt, k.canonical",
  "\nLEFT JOIN audit_payloads k ON k.decision_id = r.decision_id AND k.recorded_at = r.recorded_at",
);
const EVENTS = rowsAt("audit_events", "event_id", EVENT_COLUMNS);

function rowOf<Row>(columns: readonly Column<Row>[], found: Found): Row {
  const values = columns.map(({ name, field, kind }) => {
    const value = found[name];
    return [field, value !== null && (kind === "micros" || kind === "int") ? Number(value) : value];
  });
  return Object.fromEntries(values) as Row;
}

function payloadOf({ salt, canonical }: Found): KeptPayload | null {
  return salt === undefined || salt === null ? null : { salt: salt as Uint8Array, canonical: canonical as string };
}

function checkpointOf({ epoch, size, signed_note }: CheckpointRow): StoredCheckpoint {
  return { epoch, size: Number(size), note: signed_note };
}
