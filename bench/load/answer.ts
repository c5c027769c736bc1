/**
 * What counts as an answer. Each peer's own answer is read field by field, so that an error, a deny or an answer to
 * another question never counts as throughput.
 */

/** `authorize` and `replay`: an ALLOW that echoes this request's key, the latter marked as replayed. `fixed`: an ALLOW
 * that echoes nothing (the bare echo). `open`: a DENY of an open circuit that echoes this request's key. `cerbos`: EFFECT_ALLOW
 * under this request's id. */
export type Expectation = "authorize" | "replay" | "fixed" | "open" | "cerbos";

const KEY_FIELD = 10;
const REASON_FIELD = 1;
const REPLAYED_FIELD = 5;
const DECISION_FIELD = 15;
const ALLOW = 1;
const DENY = 2;
const CIRCUIT_OPEN = 24;

/** Whether the protobuf message in `bytes[start, end)` is the answer expected to the request with `key`. */
export function isExpected(expected: Expectation, bytes: Buffer, start: number, end: number, key: Buffer): boolean {
  if (expected === "cerbos") return isCerbosAllow(bytes, start, end, key);
  let decision = 0;
  let reason = 0;
  let replayed = 0;
  let echoed = expected === "fixed";
  const reader = new FieldReader(bytes, start, end);
  while (reader.next()) {
    if (reader.field === DECISION_FIELD) decision = reader.value;
    else if (reader.field === REASON_FIELD) reason = reader.value;
    else if (reader.field === REPLAYED_FIELD) replayed = reader.value;
    else if (reader.field === KEY_FIELD) echoed ||= equals(bytes, reader.start, reader.end, key);
  }
  if (expected === "open") return reader.ok && decision === DENY && reason === CIRCUIT_OPEN && echoed;
  return reader.ok && decision === ALLOW && echoed && (expected !== "replay" || replayed === 1);
}

/** CheckResourcesResponse: request_id = 1, results = 2, in which actions = 2 is a map from action to effect. */
function isCerbosAllow(bytes: Buffer, start: number, end: number, key: Buffer): boolean {
  let echoed = false;
  let allowed = false;
  const response = new FieldReader(bytes, start, end);
  while (response.next()) {
    if (response.field === 1) echoed = equals(bytes, response.start, response.end, key);
    if (response.field !== 2) continue;
    const result = new FieldReader(bytes, response.start, response.end);
    while (result.next()) {
      if (result.field === 2) allowed = mapValue(bytes, result.start, result.end) === ALLOW;
    }
  }
  return response.ok && echoed && allowed;
}

function mapValue(bytes: Buffer, start: number, end: number): number {
  const entry = new FieldReader(bytes, start, end);
  let value = 0;
  while (entry.next()) if (entry.field === 2) value = entry.value;
  return entry.ok ? value : 0;
}

function equals(bytes: Buffer, start: number, end: number, key: Buffer): boolean {
  if (end - start !== key.length) return false;
  for (let i = 0; i < key.length; i++) if (bytes[start + i] !== key[i]) return false;
  return true;
}

/** Walks the fields of one message without allocating. */
class FieldReader {
  field = 0;
  /** The field's value where it is a varint below 2^31. */
  value = 0;
  /** The field's bytes where it is length-delimited. */
  start = 0;
  end = 0;
  /** False once the message turned out to be malformed. */
  ok = true;
  private readonly bytes: Buffer;
  private readonly limit: number;
  private at: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.bytes = bytes;
    this.at = start;
    this.limit = end;
  }

  next(): boolean {
    if (this.at >= this.limit || !this.ok) return false;
    const tag = this.varint();
    this.field = tag >>> 3;
    this.value = 0;
    this.start = this.end = this.at;
    switch (tag & 7) {
      case 0:
        this.value = this.varint();
        break;
      case 1:
        this.at += 8;
        break;
      case 2: {
        const length = this.varint();
        this.start = this.at;
        this.end = this.at += length;
        break;
      }
      case 5:
        this.at += 4;
        break;
      default:
        this.ok = false;
    }
    if (this.at > this.limit) this.ok = false;
    return this.ok;
  }

  private varint(): number {
    let value = 0;
    for (let shift = 0; shift < 64; shift += 7) {
      const byte = this.bytes[this.at++];
      if (byte === undefined || this.at > this.limit) break;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    this.ok = false;
    return 0;
  }
}
