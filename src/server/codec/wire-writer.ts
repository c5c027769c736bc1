import type { Micros } from "../../core/clock.ts";
import { secondsAndNanos } from "./timestamp.ts";

/** Strings up to this length are copied in JavaScript: cheaper than a call into the runtime. */
const SHORT = 24;
/** Lengths below it take one byte. */
const ONE_BYTE = 0x80;

/** More than everything in a small message but its texts and bytes: tags, lengths, numbers and times. */
const FRAME_BYTES = 128;

/** What a small message takes at most. @param units of UTF-16 in its texts, each of which takes at most three bytes of UTF-8 */
export function capacityOf(units: number, bytes: number): number {
  return FRAME_BYTES + units * 3 + bytes;
}

/** Writes the protobuf wire format into one buffer. Like other encoders it leaves out what equals the default. */
export class WireWriter {
  readonly #bytes: Buffer;
  #at = 0;

  /** @param capacity an upper bound in bytes: writing past it throws RangeError */
  constructor(capacity: number) {
    this.#bytes = Buffer.allocUnsafe(capacity);
  }

  /** What was written. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  /** @param value a non-negative integer, at most 2^53 - 1 */
  varintField(field: number, value: number): void {
    if (value === 0) return;
    this.#varint(field << 3);
    this.#varint(value);
  }

  stringField(field: number, text: string): void {
    if (text === "") return;
    this.#varint((field << 3) | 2);
    if (text.length > SHORT || !this.#shortAscii(text)) this.#utf8(text);
  }

  bytesField(field: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#varint((field << 3) | 2);
    this.#varint(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** A `google.protobuf.Timestamp`, which takes less than 128 bytes. */
  timestampField(field: number, at: Micros): void {
    const { seconds, nanos } = secondsAndNanos(at);
    this.#varint((field << 3) | 2);
    const begun = this.#at++;
    this.varintField(1, seconds);
    this.varintField(2, nanos);
    this.#bytes[begun] = this.#at - begun - 1;
  }

  #shortAscii(text: string): boolean {
    const start = this.#at;
    this.#varint(text.length);
    // In locals, which the loop does not have to read again for each character.
    const bytes = this.#bytes;
    let at = this.#at;
    for (let index = 0; index < text.length; index++) {
      const unit = text.charCodeAt(index);
      if (unit >= ONE_BYTE) {
        this.#at = start;
        return false;
      }
      bytes[at++] = unit;
    }
    this.#at = at;
    return true;
  }

  #utf8(text: string): void {
    if (text.length < ONE_BYTE) {
      // Its length is known when it is written, and then its byte is there already, unless there is more than ASCII in it.
      const length = this.#bytes.write(text, this.#at + 1);
      if (length < ONE_BYTE) {
        this.#bytes[this.#at] = length;
        this.#at += 1 + length;
        return;
      }
    }
    this.#varint(Buffer.byteLength(text));
    this.#at += this.#bytes.write(text, this.#at);
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= ONE_BYTE) {
      this.#bytes[this.#at++] = (rest % ONE_BYTE) | ONE_BYTE;
      rest = Math.floor(rest / ONE_BYTE);
    }
    this.#bytes[this.#at++] = rest;
  }
}
