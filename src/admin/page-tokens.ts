import { hkdfSync, timingSafeEqual } from "node:crypto";
import { Mac } from "../idempotency/mac.ts";
import type { Position } from "../audit/row/position.ts";
import type { CircuitPlace } from "../store/guard-records.ts";
import { invalid } from "./checks.ts";

const SEAL_BYTES = 16;

/** A place in a list: what the list is ordered by, of an entry. */
type Place = string | number | Position | CircuitPlace;

/** Places in lists as tokens for callers, good only for the list and the filter that they were made for. All replicas make the same. */
export class PageTokens {
  readonly #mac: Mac;

  /** @param hmacKey at least 32 secret random bytes, shared by all replicas */
  constructor(hmacKey: Uint8Array) {
    this.#mac = new Mac(Buffer.from(hkdfSync("sha256", hmacKey, "", "datacrawl.page-token.v2", 32)));
  }

  /**
   * The token of the page after `place`; empty if there is none.
   *
   * @param place of the last entry of a page; null or undefined on the last page
   * @param list names the list and its filter
   */
  next(place: Place | null | undefined, list: string): string {
    if (place === null || place === undefined) return "";
    const bytes = Buffer.from(JSON.stringify(place));
    return Buffer.concat([this.#sealOf(bytes, list), bytes]).toString("base64url");
  }

  /**
   * The place that {@link next} was given; null for the first page.
   *
   * @throws Fault FIELD_INVALID if this service did not make the token, or made it for another list
   */
  open(unverifiedToken: string, list: string, field: "page_token" | "resume_token" = "page_token"): Place | null {
    if (unverifiedToken === "") return null;
    const bytes = Buffer.from(unverifiedToken, "base64url");
    const [seal, place] = [bytes.subarray(0, SEAL_BYTES), bytes.subarray(SEAL_BYTES)];
    const isWhole = seal.length === SEAL_BYTES && bytes.toString("base64url") === unverifiedToken;
    if (!isWhole || !timingSafeEqual(seal, this.#sealOf(place, list)))
      throw invalid(field, "must be the token of an earlier answer to the same request");
    return JSON.parse(place.toString()) as Place;
  }

  #sealOf(place: Buffer, list: string): Buffer {
    return this.#mac.digest(place, list).subarray(0, SEAL_BYTES);
  }
}
