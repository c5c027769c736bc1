import { hkdfSync, timingSafeEqual } from "node:crypto";
import { Mac } from "../idempotency/mac.ts";
import type { Position } from "../audit/row/position.ts";

const POSITION_BYTES = 24;
const SEAL_BYTES = 16;

/** Positions as tokens for callers, good only for what they were made for. All replicas make the same. */
export class PositionTokens {
  readonly #mac: Mac;

  /** @param hmacKey at least 32 secret random bytes, shared by all replicas */
  constructor(hmacKey: Uint8Array) {
    this.#mac = new Mac(Buffer.from(hkdfSync("sha256", hmacKey, "", "datacrawl.page-token.v1", 32)));
  }

  /** @param scope what the token is for, such as the filter of a list */
  seal({ at, id }: Position, scope: string): string {
    const position = Buffer.alloc(POSITION_BYTES);
    position.writeBigInt64BE(BigInt(at));
    position.write(id.replaceAll("-", ""), 8, "hex");
    return Buffer.concat([position, this.#sealOf(position, scope)]).toString("base64url");
  }

  /** Null if the token was not made by this service, or is for another list. */
  open(unverifiedToken: string, scope: string): Position | null {
    const bytes = Buffer.from(unverifiedToken, "base64url");
    if (bytes.length !== POSITION_BYTES + SEAL_BYTES || bytes.toString("base64url") !== unverifiedToken) return null;
    const position = bytes.subarray(0, POSITION_BYTES);
    if (!timingSafeEqual(bytes.subarray(POSITION_BYTES), this.#sealOf(position, scope))) return null;
    const id = position.toString("hex", 8).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    return { at: Number(position.readBigInt64BE()), id };
  }

  #sealOf(position: Buffer, scope: string): Buffer {
    return this.#mac.digest(position, scope).subarray(0, SEAL_BYTES);
  }
}
