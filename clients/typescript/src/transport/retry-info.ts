import { WireReader, WireType } from "@datacrawl/core/wire-reader";

/**
 * How long the service asks its caller to wait, in whole milliseconds, from the details of an error; null if it does not say.
 *
 * The details are hints for people and schedulers. No decision depends on them, so what cannot be read counts as absent.
 *
 * @see google/rpc/status.proto, google/rpc/error_details.proto
 */
export function retryAfterMs(details: readonly ErrorDetail[]): number | null {
  for (const { type, unverifiedValue } of details) {
    if (type === "google.rpc.RetryInfo") return delayOf(unverifiedValue);
  }
  return null;
}

export interface ErrorDetail {
  /** The message's full name, such as `google.rpc.RetryInfo`. */
  readonly type: string;
  readonly unverifiedValue: Uint8Array;
}

/** The longest wait that is passed on: a day. */
const MAX_DELAY_MS = 86_400_000;

/** The details in a `google.rpc.Status`, as `grpc-status-details-bin` carries it in base64. */
export function detailsOfStatus(base64: string): ErrorDetail[] {
  return readOr([], () => {
    const details: ErrorDetail[] = [];
    for (const { field, bytes } of fieldsOf(Buffer.from(base64, "base64"))) {
      if (field !== 3 || bytes === null) continue;
      const any = fieldsOf(bytes);
      const url = Buffer.from(any.find((one) => one.field === 1)?.bytes ?? []).toString();
      const value = any.find((one) => one.field === 2)?.bytes ?? new Uint8Array(0);
      details.push({ type: url.slice(url.lastIndexOf("/") + 1), unverifiedValue: value });
    }
    return details;
  });
}

/** The `details` of the Connect protocol's error: `[{"type": …, "value": base64}]`. */
export function detailsOfError(details: unknown): ErrorDetail[] {
  if (!Array.isArray(details)) return [];
  return details.flatMap((detail: unknown) => {
    const { type, value } = (detail ?? {}) as Record<string, unknown>;
    if (typeof type !== "string" || typeof value !== "string") return [];
    return [{ type, unverifiedValue: Buffer.from(value, "base64") }];
  });
}

/** A RetryInfo's `retry_delay`, which is a Duration. */
function delayOf(bytes: Uint8Array): number | null {
  return readOr(null, () => {
    const delay = fieldsOf(bytes).find(({ field }) => field === 1)?.bytes;
    if (delay === undefined || delay === null) return null;
    const numbers = fieldsOf(delay);
    const seconds = numbers.find(({ field }) => field === 1)?.number ?? 0;
    const nanos = numbers.find(({ field }) => field === 2)?.number ?? 0;
    const milliseconds = Math.ceil(seconds * 1000 + nanos / 1_000_000);
    // A negative number is a varint near 2⁶⁴.
    return milliseconds <= MAX_DELAY_MS ? milliseconds : null;
  });
}

interface Field {
  readonly field: number;
  readonly bytes: Uint8Array | null;
  readonly number: number | null;
}

function fieldsOf(message: Uint8Array): Field[] {
  const fields: Field[] = [];
  const reader = new WireReader(message);
  const end = reader.length;
  while (reader.at < end) {
    const tag = reader.tag(end);
    const field = tag >>> 3;
    if ((tag & 7) === WireType.bytes) fields.push({ field, bytes: reader.bytes(end), number: null });
    else if ((tag & 7) === WireType.varint) fields.push({ field, bytes: null, number: reader.varint(end) });
    else reader.skip(tag, end);
  }
  return fields;
}

function readOr<Value>(absent: Value, read: () => Value): Value {
  try {
    return read();
  } catch {
    return absent;
  }
}
