import { sha256 } from "../../core/sha256.ts";
import {
  type Column,
  DECISION_COLUMNS,
  DECISION_COLUMNS_V2,
  type DecisionRow,
  EVENT_COLUMNS,
  type EventRow,
  isVersion2,
} from "./record.ts";

/** What the hash covers first, so that a row of one table never passes for a row of another or of another version. */
export const DECISION_DOMAIN = "datacrawl.audit.v1";
export const DECISION_DOMAIN_V2 = "datacrawl.audit.v2";
export const EVENT_DOMAIN = "datacrawl.audit.event.v1";

const NULL_TAG = 0;
const PRESENT_TAG = 1;

/** SHA-256 of a decision row, 32 bytes. The layout is docs/audit-format.md. */
export function hashDecision(row: DecisionRow): Buffer {
  return sha256(encodeDecision(row));
}

/** SHA-256 of an event row, 32 bytes. The layout is docs/audit-format.md. */
export function hashEvent(row: EventRow): Buffer {
  return sha256(encodeRow(EVENT_DOMAIN, EVENT_COLUMNS, row));
}

/** The bytes that {@link hashDecision} digests. Valid until the next call. */
export function encodeDecision(row: DecisionRow): Buffer {
  return isVersion2(row)
    ? encodeRow(DECISION_DOMAIN_V2, DECISION_COLUMNS_V2, row)
    : encodeRow(DECISION_DOMAIN, DECISION_COLUMNS, row);
}

/**
 * The salted digest under which a payload enters its row. A person who holds neither salt nor payload cannot guess one from the
 * other, so both may be erased without breaking the row's hash.
 *
 * @param salt 16 random bytes, kept beside the payload
 * @param canonicalPayload canonical JSON
 */
export function digestPayload(salt: Uint8Array, canonicalPayload: string): Buffer {
  const bytes = Buffer.allocUnsafe(salt.length + Buffer.byteLength(canonicalPayload));
  bytes.set(salt);
  bytes.write(canonicalPayload, salt.length);
  return sha256(bytes);
}

// One scratch for all rows: encoding is synchronous, and a row is hashed before the next one is encoded.
let scratch = Buffer.allocUnsafeSlow(4096);

function encodeRow<Row>(domain: string, columns: readonly Column<Row>[], row: Row): Buffer {
  let at = scratch.write(domain, 0, "latin1");
  for (const column of columns) {
    const value = row[column.field];
    reserve(at, value);
    if (value === null) {
      at = scratch.writeUInt8(NULL_TAG, at);
      at = scratch.writeUInt32BE(0, at);
      continue;
    }
    at = scratch.writeUInt8(PRESENT_TAG, at);
    const length = writeValue(value, at + 4);
    at = scratch.writeUInt32BE(length, at) + length;
  }
  return scratch.subarray(0, at);
}

function writeValue(value: unknown, at: number): number {
  if (typeof value === "string") return scratch.write(value, at);
  if (typeof value === "number") return scratch.writeBigInt64BE(BigInt(value), at) - at;
  scratch.set(value as Uint8Array, at);
  return (value as Uint8Array).length;
}

function reserve(at: number, value: unknown): void {
  const length = typeof value === "string" ? value.length * 3 : value instanceof Uint8Array ? value.length : 8;
  if (at + 5 + length <= scratch.length) return;
  const larger = Buffer.allocUnsafeSlow(2 * (at + 5 + length));
  scratch.copy(larger, 0, 0, at);
  scratch = larger;
}
