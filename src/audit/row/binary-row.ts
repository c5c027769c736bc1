import { sha256 } from "../../core/sha256.ts";
import { DECISION_DOMAIN, DECISION_DOMAIN_V2, EVENT_DOMAIN } from "./hash.ts";
import type { Stream } from "../log/leaf.ts";
import {
  type Column,
  type ColumnKind,
  DECISION_COLUMNS,
  DECISION_COLUMNS_V2,
  type DecisionRow,
  EVENT_COLUMNS,
  type EventRow,
} from "./record.ts";

/**
 * A row as Postgres' binary COPY sends it: field `i` is the `lengths[i]` bytes of `bytes` from `starts[i]` on, or NULL if that
 * is negative. Places rather than a Buffer for each field: making those cost verification more than the hashing.
 */
export interface BinaryFields {
  readonly bytes: Buffer;
  readonly starts: Int32Array;
  readonly lengths: Int32Array;
}

/** Postgres counts microseconds from 2000-01-01. */
const POSTGRES_EPOCH = 946_684_800_000_000n;
const POSTGRES_EPOCH_HIGH = Number(POSTGRES_EPOCH >> 32n);
const POSTGRES_EPOCH_LOW = Number(POSTGRES_EPOCH & 0xffff_ffffn);
const MAX_BYTES = 1 << 24;
const UUID_TEXT_BYTES = 36;
const HEX_DIGITS = Buffer.from("0123456789abcdef");
/** Shorter fields are copied byte by byte, which is faster than a call. */
const SHORT = 48;
let scratch = Buffer.allocUnsafeSlow(1 << 16);

interface Layout {
  readonly domain: Buffer;
  readonly kinds: readonly ColumnKind[];
}

/** How a stream's rows are hashed; those of decisions that are of version 2 by {@link LAYOUT_V2}. */
const LAYOUT: Readonly<Record<Stream, Layout>> = {
  decisions: { domain: Buffer.from(DECISION_DOMAIN), kinds: kindsOf<DecisionRow>(DECISION_COLUMNS) },
  events: { domain: Buffer.from(EVENT_DOMAIN), kinds: kindsOf<EventRow>(EVENT_COLUMNS) },
};

const LAYOUT_V2: Layout = {
  domain: Buffer.from(DECISION_DOMAIN_V2),
  kinds: kindsOf<DecisionRow>(DECISION_COLUMNS_V2),
};

/** Whether the decision whose columns begin at the field `first` is of version 2: it has one of the columns that version 1 lacks. */
export function isVersion2Row(fields: BinaryFields, first: number): boolean {
  for (let index = DECISION_COLUMNS.length; index < DECISION_COLUMNS_V2.length; index++)
    if (!isNull(fields, first + index)) return true;
  return false;
}

/**
 * SHA-256 of a row, as `hashDecision` and `hashEvent` make it, straight from the bytes that the database sent: verification
 * does this for every row, and making strings and numbers first would cost more than the hash.
 *
 * @param first the field of the layout's first column
 * @throws RangeError if the row is larger than any that the service writes
 */
export function hashBinaryRow(stream: Stream, fields: BinaryFields, first: number): Buffer {
  const { domain, kinds } = stream === "decisions" && isVersion2Row(fields, first) ? LAYOUT_V2 : LAYOUT[stream];
  reserve(domain.length, fields, first, kinds.length);
  let at = copyBytes(domain, 0, domain.length, 0);
  for (let index = 0; index < kinds.length; index++) {
    const length = fields.lengths[first + index] ?? -1;
    if (length < 0) {
      scratch[at] = 0;
      at = writeCount(0, at + 1);
      continue;
    }
    scratch[at] = 1;
    const end = writeValue(kinds[index] as ColumnKind, fields, first + index, at + 5);
    writeCount(end - at - 5, at + 1);
    at = end;
  }
  return sha256(scratch.subarray(0, at));
}

/** The 36 characters of the UUID whose 16 bytes begin at `start`. */
export function uuidAt(bytes: Buffer, start: number): string {
  const hex = bytes.toString("hex", start, start + 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The timestamptz whose 8 bytes begin at `start`, as microseconds since 1970. */
export function microsAt(bytes: Buffer, start: number): bigint {
  return bytes.readBigInt64BE(start) + POSTGRES_EPOCH;
}

export function isNull({ lengths }: BinaryFields, index: number): boolean {
  return (lengths[index] ?? -1) < 0;
}

/** Where a field begins. @throws TypeError if it is NULL, or none was sent */
export function startOf(fields: BinaryFields, index: number): number {
  if (isNull(fields, index)) throw new TypeError(`the database sent no field ${index}`);
  return fields.starts[index] as number;
}

function kindsOf<Row>(columns: readonly Column<Row>[]): ColumnKind[] {
  return columns.map(({ kind }) => kind);
}

function reserve(domainBytes: number, { lengths }: BinaryFields, first: number, columns: number): void {
  let size = domainBytes;
  for (let index = first; index < first + columns; index++) size += 5 + Math.max(UUID_TEXT_BYTES, lengths[index] ?? 0);
  if (size > MAX_BYTES) throw new RangeError(`a row of ${size} bytes`);
  if (size > scratch.length) scratch = Buffer.allocUnsafeSlow(2 * size);
}

/** @returns where the value ends */
function writeValue(kind: ColumnKind, { bytes, starts, lengths }: BinaryFields, index: number, at: number): number {
  const [start, length] = [starts[index] as number, lengths[index] as number];
  if (kind === "uuid") return writeUuid(bytes, start, at);
  if (kind === "micros") return writeMicros(bytes, start, at);
  return copyBytes(bytes, start, length, at);
}

function writeUuid(bytes: Buffer, start: number, at: number): number {
  let end = at;
  for (let index = 0; index < 16; index++) {
    const byte = bytes[start + index] as number;
    if (index === 4 || index === 6 || index === 8 || index === 10) scratch[end++] = 0x2d;
    scratch[end++] = HEX_DIGITS[byte >> 4] as number;
    scratch[end++] = HEX_DIGITS[byte & 15] as number;
  }
  return end;
}

/** In two halves: a BigInt is an object. A time beyond the range wraps around, and so has another hash. */
function writeMicros(bytes: Buffer, start: number, at: number): number {
  const low = bytes.readUInt32BE(start + 4) + POSTGRES_EPOCH_LOW;
  const carry = low > 0xffff_ffff ? 1 : 0;
  writeCount((bytes.readInt32BE(start) + POSTGRES_EPOCH_HIGH + carry) | 0, at);
  return writeCount(low | 0, at + 4);
}

/** The low 32 bits, big-endian. @returns where they end */
function writeCount(count: number, at: number): number {
  scratch[at] = count >>> 24;
  scratch[at + 1] = count >>> 16;
  scratch[at + 2] = count >>> 8;
  scratch[at + 3] = count;
  return at + 4;
}

function copyBytes(bytes: Buffer, start: number, length: number, at: number): number {
  if (length > SHORT) return at + bytes.copy(scratch, at, start, start + length);
  for (let index = 0; index < length; index++) scratch[at + index] = bytes[start + index] as number;
  return at + length;
}
