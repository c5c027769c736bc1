import type { Micros } from "../clock.ts";
import { type BinaryFields, isNull, microsAt, startOf, uuidAt } from "./binary-row.ts";
import type { Stream } from "./leaf.ts";
import { type Column, type ColumnKind, DECISION_COLUMNS, EVENT_COLUMNS } from "./record.ts";
import { toHex } from "./row-json.ts";

/** The lines that an export is made of, each with its newline (docs/proof-format.md). `export-check.ts` reads them. */

export const EXPORT_FORMAT = "datacrawl.audit.export.v1";

export interface ExportTotals {
  readonly decisions: number;
  readonly events: number;
  readonly payloads: number;
}

/** A row with its place in the tree, as {@link rowLine} takes it from COPY: these fields, then the row's columns. */
export const EXPORTED_FIELDS = { seq: 0, hash: 1, salt: 2, canonical: 3, row: 4 } as const;

export function headerLine(header: {
  readonly log: string;
  /** Null for all from the beginning. */
  readonly from: Micros | null;
  readonly to: Micros;
  readonly payloads: boolean;
  readonly verifierKeys: readonly string[];
}): string {
  const { log, from, to, payloads, verifierKeys } = header;
  return lineOf({ format: EXPORT_FORMAT, log, from, to, payloads, verifier_keys: verifierKeys });
}

export function epochLine(epoch: number): string {
  return lineOf({ epoch });
}

/**
 * A row's line, as `JSON.stringify` would write it, straight from the bytes that the database sent: an object for each row, and
 * another for its JSON, cost most of an export.
 */
export function rowLine(stream: Stream, fields: BinaryFields): string {
  const { seq, hash, salt, canonical, row } = EXPORTED_FIELDS;
  let line = `{"seq":${valueText("int", fields, seq)},"hash":${valueText("bytes", fields, hash)},${OPENING[stream]}`;
  for (const [index, { kind, prefix }] of LAYOUT[stream].entries())
    line += prefix + valueText(kind, fields, row + index);
  if (isNull(fields, salt)) return `${line}}}\n`;
  const payload = `"salt":${valueText("bytes", fields, salt)},"canonical":${valueText("text", fields, canonical)}`;
  return `${line}},"payload":{${payload}}}\n`;
}

const OPENING: Readonly<Record<Stream, string>> = { decisions: '"decision":{', events: '"event":{' };

/** Each column with what stands before its value. */
const LAYOUT: Readonly<Record<Stream, readonly { readonly kind: ColumnKind; readonly prefix: string }[]>> = {
  decisions: layoutOf(DECISION_COLUMNS),
  events: layoutOf(EVENT_COLUMNS),
};

function layoutOf(columns: readonly Pick<Column<never>, "name" | "kind">[]) {
  return columns.map(({ name, kind }, index) => ({ kind, prefix: `${index === 0 ? "" : ","}"${name}":` }));
}

function valueText(kind: ColumnKind, fields: BinaryFields, index: number): string {
  if (isNull(fields, index)) return "null";
  const { bytes, lengths } = fields;
  const start = startOf(fields, index);
  if (kind === "uuid") return `"${uuidAt(bytes, start)}"`;
  if (kind === "micros") return microsAt(bytes, start).toString();
  if (kind === "int") return bytes.readBigInt64BE(start).toString();
  const end = start + (lengths[index] as number);
  if (kind === "bytes") return `"${bytes.toString("hex", start, end)}"`;
  return JSON.stringify(bytes.toString("utf8", start, end));
}

/**
 * Leaves without their rows.
 *
 * @param end the leaf after them
 * @param nodes the hashes of `subtreesOf` from the leaf before to `end`
 */
export function gapLine(end: number, nodes: readonly Uint8Array[]): string {
  return lineOf({ gap: end, nodes: nodes.map(toHex) });
}

/** @param note where the tree has the size that it states */
export function checkpointLine(note: string): string {
  return lineOf({ checkpoint: note });
}

/** @param sha256 in hex, of all bytes before this line */
export function endLine(totals: ExportTotals, sha256: string): string {
  const { decisions, events, payloads } = totals;
  return lineOf({ end: { decisions, events, payloads, sha256 } });
}

function lineOf(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
