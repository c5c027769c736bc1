import { hash as digest } from "node:crypto";
import { DECISION_DOMAIN, EVENT_DOMAIN } from "./hash.ts";
import type { Stream } from "./leaf.ts";
import {
  type Column,
  type ColumnKind,
  DECISION_COLUMNS,
  type DecisionRow,
  EVENT_COLUMNS,
  type EventRow,
} from "./record.ts";

/** A row as Postgres' binary COPY sends it: where each field's bytes are, or null. */
export type BinaryFields = readonly (Buffer | null)[];

/** Postgres counts microseconds from 2000-01-01. */
const POSTGRES_EPOCH = 946_684_800_000_000n;
const MAX_BYTES = 1 << 24;
let scratch = Buffer.allocUnsafeSlow(1 << 16);

/** How a stream's rows are hashed. */
const LAYOUT: Readonly<Record<Stream, { readonly domain: Buffer; readonly kinds: readonly ColumnKind[] }>> = {
  decisions: { domain: Buffer.from(DECISION_DOMAIN), kinds: kindsOf<DecisionRow>(DECISION_COLUMNS) },
  events: { domain: Buffer.from(EVENT_DOMAIN), kinds: kindsOf<EventRow>(EVENT_COLUMNS) },
};

/**
 * SHA-256 of a row, as `hashDecision` and `hashEvent` make it, straight from the bytes that the database sent: verification
 * does this for every row, and making strings and numbers first would cost more than the hash.
 *
 * @param fields the row's columns in the order of the layout, from `first` on
 * @throws RangeError if the row is larger than any that the service writes
 */
export function hashBinaryRow(stream: Stream, fields: BinaryFields, first: number): Buffer {
  const { domain, kinds } = LAYOUT[stream];
  let size = domain.length;
  for (let index = 0; index < kinds.length; index++) size += 5 + Math.max(36, fields[first + index]?.length ?? 0);
  if (size > MAX_BYTES) throw new RangeError(`a row of ${size} bytes`);
  if (size > scratch.length) scratch = Buffer.allocUnsafeSlow(2 * size);
  let at = domain.copy(scratch);
  for (let index = 0; index < kinds.length; index++) {
    const bytes = fields[first + index] ?? null;
    if (bytes === null) {
      scratch.fill(0, at, at + 5);
      at += 5;
      continue;
    }
    scratch[at] = 1;
    const length = writeValue(kinds[index] as ColumnKind, bytes, at + 5);
    at = scratch.writeUInt32BE(length, at + 1) + length;
  }
  return digest("sha256", scratch.subarray(0, at), "buffer");
}

function writeValue(kind: ColumnKind, bytes: Buffer, at: number): number {
  if (kind === "uuid") return scratch.write(uuidText(bytes), at, "latin1");
  if (kind === "micros") return scratch.writeBigInt64BE(bytes.readBigInt64BE(0) + POSTGRES_EPOCH, at) - at;
  return bytes.copy(scratch, at);
}

/** The 36 characters of a UUID. */
export function uuidText(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A timestamptz as microseconds since 1970. */
export function microsOf(bytes: Buffer): number {
  return Number(bytes.readBigInt64BE(0) + POSTGRES_EPOCH);
}

function kindsOf<Row>(columns: readonly Column<Row>[]): ColumnKind[] {
  return columns.map(({ kind }) => kind);
}
