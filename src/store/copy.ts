/** Postgres' binary COPY format, as far as rows go (its manual, "COPY", "Binary Format"). */

/** Signature, flags, and the length of an extension that there never is. */
const HEADER_BYTES = 19;
const TRAILER = -1;

export function copyText(query: string, target: string): string {
  return `COPY (${query}) TO ${target} WITH (FORMAT binary)`;
}

/** Takes the stream in whatever pieces it comes, and hands on each row's fields. */
export class CopyRows {
  readonly #each: (fields: (Buffer | null)[]) => void;
  #rest: Buffer = Buffer.alloc(0);
  #begun = false;

  constructor(each: (fields: (Buffer | null)[]) => void) {
    this.#each = each;
  }

  take(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    if (!this.#begun && bytes.length >= HEADER_BYTES) {
      this.#begun = true;
      at = HEADER_BYTES;
    }
    while (this.#begun) {
      const row = readRow(bytes, at);
      if (row === null) break;
      at = row.end;
      if (row.fields !== null) this.#each(row.fields);
    }
    this.#rest = bytes.subarray(at);
  }
}

/** The row at `at`, with null for its fields if it is the end of all; null if it is not whole yet. */
function readRow(
  bytes: Buffer,
  at: number,
): { readonly fields: (Buffer | null)[] | null; readonly end: number } | null {
  if (bytes.length < at + 2) return null;
  const count = bytes.readInt16BE(at);
  if (count === TRAILER) return { fields: null, end: at + 2 };
  const fields: (Buffer | null)[] = [];
  let end = at + 2;
  for (let field = 0; field < count; field++) {
    if (bytes.length < end + 4) return null;
    const length = bytes.readInt32BE(end);
    end += 4;
    if (length < 0) {
      fields.push(null);
      continue;
    }
    if (bytes.length < end + length) return null;
    fields.push(bytes.subarray(end, end + length));
    end += length;
  }
  return { fields, end };
}
