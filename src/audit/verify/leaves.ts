import { uuidAt } from "../row/binary-row.ts";

const HASH_BYTES = 32;
const ID_BYTES = 16;

/** The leaves of some consecutive places as the seals have them: hashes, and ids for what may have to be reported of them. */
export class Leaves {
  readonly from: number;
  readonly end: number;
  readonly #hashes: Buffer;
  readonly #ids: Buffer;
  readonly #known: Uint8Array;

  /** @param end the place after the last */
  constructor(from: number, end: number) {
    this.from = from;
    this.end = end;
    this.#hashes = Buffer.alloc((end - from) * HASH_BYTES);
    this.#ids = Buffer.alloc((end - from) * ID_BYTES);
    this.#known = new Uint8Array(end - from);
  }

  /** How many places have a leaf. */
  get count(): number {
    return this.#known.reduce((sum, known) => sum + known, 0);
  }

  has(seq: number): boolean {
    return this.#known[seq - this.from] === 1;
  }

  /** @param hashAt where in `bytes` its 32 bytes begin; `idAt` likewise, of 16 */
  set(seq: number, bytes: Buffer, hashAt: number, idAt: number): void {
    const index = seq - this.from;
    bytes.copy(this.#hashes, index * HASH_BYTES, hashAt, hashAt + HASH_BYTES);
    bytes.copy(this.#ids, index * ID_BYTES, idAt, idAt + ID_BYTES);
    this.#known[index] = 1;
  }

  /** Null if the place has no leaf. */
  hashAt(seq: number): Buffer | null {
    if (!this.has(seq)) return null;
    const at = (seq - this.from) * HASH_BYTES;
    return this.#hashes.subarray(at, at + HASH_BYTES);
  }

  idAt(seq: number): string | null {
    if (!this.has(seq)) return null;
    return uuidAt(this.#ids, (seq - this.from) * ID_BYTES);
  }
}
