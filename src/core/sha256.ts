import { hash } from "node:crypto";

/**
 * SHA-256, 32 bytes; text counts as its UTF-8.
 *
 * By way of a string of bytes: a digest that Node gives as a buffer has an ArrayBuffer of its own, which costs more than the
 * hashing (2.4 against 1.2 µs for 300 bytes), and again when it is collected. A decision needs eight.
 */
export function sha256(data: string | Uint8Array): Buffer {
  return Buffer.from(hash("sha256", data, "binary"), "binary");
}
