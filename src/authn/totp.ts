import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto";
import type { Micros } from "../core/clock.ts";

const STEP: Micros = 30_000_000;
const DIGITS = 6;
/** Steps before and after the present one whose codes are taken: people type slowly, and telephones' clocks differ. */
const WINDOW = 1;
const SECRET_BYTES = 20;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** The code of RFC 6238 for a time step: HMAC-SHA-1, six digits, as authenticator apps have it. */
export function totpCode(secret: Uint8Array, step: number): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac("sha1", secret).update(counter).digest();
  const offset = (mac.at(-1) as number) & 0x0f;
  const number = (mac.readUInt32BE(offset) & 0x7fffffff) % 10 ** DIGITS;
  return String(number).padStart(DIGITS, "0");
}

/** The time step that `code` belongs to, around `now`; null if it is none of its codes. Whether it was used before is not checked here. */
export function matchTotp(secret: Uint8Array, code: string, now: Micros): number | null {
  const given = Buffer.from(code.replaceAll(" ", ""));
  const present = Math.floor(now / STEP);
  let matched: number | null = null;
  for (let step = present - WINDOW; step <= present + WINDOW; step++) {
    const expected = Buffer.from(totpCode(secret, step));
    if (given.length === expected.length && timingSafeEqual(given, expected)) matched = step;
  }
  return matched;
}

export function newTotpSecret(): Buffer {
  return randomBytes(SECRET_BYTES);
}

/** What authenticator apps read from a QR code. */
export function totpUri(name: string, secret: Uint8Array): string {
  const label = encodeURIComponent(`DataCrawl:${name}`);
  return `otpauth://totp/${label}?secret=${base32(secret)}&issuer=DataCrawl&algorithm=SHA1&digits=${DIGITS}&period=30`;
}

/**
 * Hides secrets of one-time codes from readers of the database: AES-256-GCM under a key that is not in it, bound to the
 * account, so that one account's secret cannot be given to another.
 */
export class TotpSeal {
  readonly #key: Buffer;

  /** @param hmacKey the one HMAC key of the keys directory */
  constructor(hmacKey: Uint8Array) {
    this.#key = Buffer.from(hkdfSync("sha256", hmacKey, "", "datacrawl.totp-seal.v1", 32));
  }

  seal(name: string, secret: Uint8Array): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce).setAAD(Buffer.from(name));
    return Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
  }

  /** Null if it was sealed under another key or for another account. */
  open(name: string, sealed: Uint8Array): Buffer | null {
    const bytes = Buffer.from(sealed);
    const nonce = bytes.subarray(0, NONCE_BYTES);
    try {
      const decipher = createDecipheriv("aes-256-gcm", this.#key, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(Buffer.from(name)).setAuthTag(bytes.subarray(-TAG_BYTES));
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
    } catch {
      return null;
    }
  }
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** RFC 4648, without padding. */
function base32(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return (bits.match(/.{1,5}/g) ?? []).map((five) => ALPHABET[Number.parseInt(five.padEnd(5, "0"), 2)]).join("");
}
