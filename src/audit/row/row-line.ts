import { type BinaryFields, isNull, isVersion2Row, microsAt, startOf, uuidAt } from "./binary-row.ts";
import type { Stream } from "../log/leaf.ts";
import { type Column, type ColumnKind, DECISION_COLUMNS, DECISION_COLUMNS_V2, EVENT_COLUMNS } from "./record.ts";

/** A row with its place in the tree, as {@link rowLine} takes it from COPY: these fields, then the row's columns. */
export const EXPORTED_FIELDS = { seq: 0, hash: 1, salt: 2, canonical: 3, row: 4 } as const;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const FIRST_PRINTABLE = 0x20;
/** Of what a byte of a field can become at most: `\\u001f`. */
const LONGEST_ESCAPE = 6;
/** For the fields' names and what is between them. */
const FRAME_BYTES = 2048;
/** Of lines that share one buffer: with one each, an export would be mostly collecting garbage. */
const SLAB_BYTES = 1 << 18;
let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
/** Where the slab's free part begins. */
let free = 0;

const OPENING: Readonly<Record<Stream, Buffer>> = {
  decisions: Buffer.from(',"decision":{'),
  events: Buffer.from(',"event":{'),
};
const [SEQ, HASH, SALT, CANONICAL, NULL, CLOSE, END] = [
  '{"seq":',
  ',"hash":',
  ',"payload":{"salt":',
  ',"canonical":',
  "null",
  "}",
  "}\n",
].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];

/** Each column with what stands before its value. */
const LAYOUT: Readonly<Record<Stream, readonly { readonly kind: ColumnKind; readonly prefix: Buffer }[]>> = {
  decisions: layoutOf(DECISION_COLUMNS),
  events: layoutOf(EVENT_COLUMNS),
};
const LAYOUT_V2 = layoutOf(DECISION_COLUMNS_V2);

/**
 * A row's line of an export, as `JSON.stringify` would write it, from the bytes that the database sent to the bytes of the file:
 * strings in between, and objects, cost most of an export.
 */
export function rowLine(stream: Stream, fields: BinaryFields): Buffer {
  const { seq, hash, salt, canonical, row } = EXPORTED_FIELDS;
  reserve(fields);
  const start = free;
  let at = writeValue("int", fields, seq, writeBytes(SEQ, start));
  at = writeValue("bytes", fields, hash, writeBytes(HASH, at));
  at = writeBytes(OPENING[stream], at);
  const layout = stream === "decisions" && isVersion2Row(fields, row) ? LAYOUT_V2 : LAYOUT[stream];
  for (let index = 0; index < layout.length; index++) {
    const { kind, prefix } = layout[index] as (typeof layout)[number];
    at = writeValue(kind, fields, row + index, writeBytes(prefix, at));
  }
  at = writeBytes(CLOSE, at);
  if (!isNull(fields, salt)) {
    at = writeValue("bytes", fields, salt, writeBytes(SALT, at));
    at = writeValue("text", fields, canonical, writeBytes(CANONICAL, at));
    at = writeBytes(CLOSE, at);
  }
  free = writeBytes(END, at);
  return slab.subarray(start, free);
}

function layoutOf(columns: readonly Pick<Column<never>, "name" | "kind">[]) {
  return columns.map(({ name, kind }, index) => {
    return { kind, prefix: Buffer.from(`${index === 0 ? "" : ","}"${name}":`) };
  });
}

/** What is written into a slab stays there: its lines are in use for as long as anybody has one. */
function reserve({ lengths }: BinaryFields): void {
  let size = FRAME_BYTES;
  for (let index = 0; index < lengths.length; index++) size += LONGEST_ESCAPE * Math.max(8, lengths[index] as number);
  if (free + size <= slab.length) return;
  slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, size));
  free = 0;
}

/** @returns where the value ends */
function writeValue(kind: ColumnKind, fields: BinaryFields, index: number, at: number): number {
  if (isNull(fields, index)) return writeBytes(NULL, at);
  const { bytes, lengths } = fields;
  const start = startOf(fields, index);
  if (kind === "micros") return writeAscii(microsAt(bytes, start).toString(), at);
  if (kind === "int") return writeAscii(bytes.readBigInt64BE(start).toString(), at);
  const end = start + (lengths[index] as number);
  if (kind === "text") return writeText(bytes, start, end, at);
  return writeAscii(`"${kind === "uuid" ? uuidAt(bytes, start) : bytes.toString("hex", start, end)}"`, at);
}

/** Text of UTF-8 as a JSON string. */
function writeText(bytes: Buffer, start: number, end: number, at: number): number {
  let to = at;
  slab[to++] = QUOTE;
  for (let from = start; from < end; from++) {
    const byte = bytes[from] as number;
    // Rare: the few control characters that have a letter are JSON's own business.
    if (byte < FIRST_PRINTABLE) return at + slab.write(JSON.stringify(bytes.toString("utf8", start, end)), at);
    if (byte === QUOTE || byte === BACKSLASH) slab[to++] = BACKSLASH;
    slab[to++] = byte;
  }
  slab[to++] = QUOTE;
  return to;
}

function writeAscii(text: string, at: number): number {
  return at + slab.write(text, at, "latin1");
}

function writeBytes(bytes: Buffer, at: number): number {
  for (let index = 0; index < bytes.length; index++) slab[at + index] = bytes[index] as number;
  return at + bytes.length;
}
