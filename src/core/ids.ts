import { randomBytes, randomFillSync } from "node:crypto";
import type { Micros } from "./clock.ts";

/** A UUID of any version, in lower case. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Random bytes, drawn from the system in blocks: one system call for many ids. */
export class RandomPool {
  readonly #block: Buffer;
  #used: number;

  constructor(blockBytes = 4096) {
    this.#block = randomBytes(blockBytes);
    this.#used = 0;
  }

  /** `length` fresh bytes, at most the block's size. A copy: later draws do not change it. */
  take(length: number): Buffer {
    if (this.#used + length > this.#block.length) {
      randomFillSync(this.#block);
      this.#used = 0;
    }
    const bytes = Buffer.from(this.#block.subarray(this.#used, this.#used + length));
    // What was handed out must not stay readable here.
    this.#block.fill(0, this.#used, this.#used + length);
    this.#used += length;
    return bytes;
  }
}

/**
 * A UUID version 7 (RFC 9562): 48 bits of milliseconds, then 74 random bits. Ids made later sort later, so that indexes
 * over them grow at one end.
 */
export function uuidV7(at: Micros, random: RandomPool): string {
  const bytes = random.take(16);
  bytes.writeUIntBE(Math.floor(at / 1000), 0, 6);
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x70;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
