const NEWLINE = 0x0a;

/** A line without its newline; null in place of one that was longer than the limit, whose bytes are gone. */
export type Line = Buffer | null;

/** Splits a stream of bytes into lines. What follows the last newline is no line: it was cut short. */
export class LineSplitter {
  readonly #limit: number;
  readonly #parts: Buffer[] = [];
  #length = 0;
  #isTooLong = false;

  /** @param limit of a line, in bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  *take(chunk: Buffer): Generator<Line> {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, at));
      yield this.#isTooLong ? null : Buffer.concat(this.#parts, this.#length);
      this.#reset();
      from = at + 1;
    }
    this.#keep(chunk.subarray(from));
  }

  #keep(part: Buffer): void {
    this.#length += part.length;
    if (this.#length <= this.#limit) this.#parts.push(part);
    else {
      this.#isTooLong = true;
      this.#parts.length = 0;
    }
  }

  #reset(): void {
    this.#parts.length = 0;
    this.#length = 0;
    this.#isTooLong = false;
  }
}
