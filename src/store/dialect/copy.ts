/** Postgres' binary COPY format, as far as rows go (its manual, "COPY", "Binary Format"). */
import { type RawBuilder, sql } from "kysely";
import type { BinaryFields } from "../../audit/row/binary-row.ts";
import { textOf } from "./statements.ts";

/** Signature, flags, and the length of an extension that there never is. */
const HEADER_BYTES = 19;
const TRAILER = -1;

/** @param to a file on the server, or null for the client */
export function copyText(query: RawBuilder<unknown>, to: string | null): string {
  return textOf(sql`COPY (${query}) TO ${to === null ? sql`STDOUT` : sql.lit(to)} WITH (FORMAT binary)`);
}

/** Takes the stream in whatever pieces it comes, and hands on each row's fields, always in the same object. */
export class CopyRows {
  readonly #each: (fields: BinaryFields) => void;
  readonly #row: Row = { bytes: Buffer.alloc(0), starts: new Int32Array(0), lengths: new Int32Array(0) };
  #rest: Buffer = Buffer.alloc(0);
  #begun = false;

  constructor(each: (fields: BinaryFields) => void) {
    this.#each = each;
  }

  take(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    if (!this.#begun && bytes.length >= HEADER_BYTES) {
      this.#begun = true;
      at = HEADER_BYTES;
    }
    while (this.#begun && bytes.length >= at + 2) {
      const count = bytes.readInt16BE(at);
      const end = count === TRAILER ? at + 2 : this.#locate(bytes, at + 2, count);
      if (end === null) break;
      at = end;
      if (count !== TRAILER) this.#each(this.#row);
    }
    this.#rest = bytes.subarray(at);
  }

  /** Finds `count` fields. @returns where the row ends; null if it is not whole yet */
  #locate(bytes: Buffer, from: number, count: number): number | null {
    const row = this.#row;
    if (row.starts.length !== count) {
      row.starts = new Int32Array(count);
      row.lengths = new Int32Array(count);
    }
    row.bytes = bytes;
    let at = from;
    for (let field = 0; field < count; field++) {
      if (bytes.length < at + 4) return null;
      const length = bytes.readInt32BE(at);
      at += 4;
      row.starts[field] = at;
      row.lengths[field] = length;
      if (length > 0) at += length;
      if (bytes.length < at) return null;
    }
    return at;
  }
}

type Row = { -readonly [Field in keyof BinaryFields]: BinaryFields[Field] };
