import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import type { Variant } from "./ledger.ts";

/** Keys for everything that is digested or authenticated with a secret, derived from the one HMAC key of the keys directory. */
export interface DigestKeys {
  readonly request: Buffer;
  readonly cacheName: Buffer;
  readonly cacheSeal: Buffer;
}

/** @param hmacKey at least 32 secret random bytes, shared by all replicas */
export function deriveDigestKeys(hmacKey: Uint8Array): DigestKeys {
  const derive = (purpose: string): Buffer => Buffer.from(hkdfSync("sha256", hmacKey, "", purpose, 32));
  return {
    request: derive("datacrawl.request-digest.v1"),
    cacheName: derive("datacrawl.cache-name.v1"),
    cacheSeal: derive("datacrawl.cache-seal.v1"),
  };
}

/** Keyed digest of what is asked: 32 bytes, equal only for the same agent, tool and canonical payload. */
export function digestRequest(keys: DigestKeys, agentId: string, tool: string, canonicalPayload: string): Buffer {
  return createHmac("sha256", keys.request).update(lengthPrefixed(agentId, tool, canonicalPayload)).digest();
}

/** Where a claim is cached: 64 hex digits that tell nobody the agent or the key. */
export function cacheName(keys: DigestKeys, agentId: string, idempotencyKey: string): string {
  return createHmac("sha256", keys.cacheName).update(lengthPrefixed(agentId, idempotencyKey)).digest("hex");
}

export function sameDigest(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Names a flight: unambiguous, as agent ids have no space and digests a fixed length. */
export function flightName(agentId: string, idempotencyKey: string, requestDigest: Variant): string {
  return `${agentId} ${Buffer.from(requestDigest).toString("latin1")} ${idempotencyKey}`;
}

/** Each part behind its length, so that ("a", "bc") and ("ab", "c") differ. (Joined by a colon, they might not.) */
export function lengthPrefixed(...parts: readonly string[]): Buffer {
  const lengths = parts.map((part) => Buffer.byteLength(part));
  const bytes = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + 4 + length, 0));
  let at = 0;
  parts.forEach((part, index) => {
    at = bytes.writeUInt32BE(lengths[index] as number, at);
    at += bytes.write(part, at);
  });
  return bytes;
}
