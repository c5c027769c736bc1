import { hash, hkdfSync, timingSafeEqual } from "node:crypto";
import type { Variant } from "./ledger.ts";
import { Mac } from "./mac.ts";

/** Keys for everything that is digested or authenticated with a secret, derived from the one HMAC key of the keys directory. */
export interface DigestKeys {
  readonly request: Mac;
  readonly cacheName: Buffer;
  readonly cacheSeal: Mac;
  readonly redaction: Mac;
}

/** @param hmacKey at least 32 secret random bytes, shared by all replicas */
export function deriveDigestKeys(hmacKey: Uint8Array): DigestKeys {
  const derive = (purpose: string): Buffer => Buffer.from(hkdfSync("sha256", hmacKey, "", purpose, 32));
  return {
    request: new Mac(derive("datacrawl.request-digest.v1")),
    cacheName: derive("datacrawl.cache-name.v1"),
    cacheSeal: new Mac(derive("datacrawl.cache-seal.v1")),
    redaction: new Mac(derive("datacrawl.redaction.v1")),
  };
}

/** What a request asks for: what a retry of it repeats. */
export interface Asked {
  readonly agentId: string;
  readonly tool: string;
  readonly canonicalPayload: string;
  readonly principal: string | null;
}

/**
 * Keyed digest of what is asked: 32 bytes, equal only for the same agent, tool, canonical payload and principal. Its parts have their
 * lengths before them, so that with a principal it is never that of a request without one.
 */
export function digestRequest(keys: DigestKeys, { agentId, tool, canonicalPayload, principal }: Asked): Buffer {
  return principal === null
    ? keys.request.digest(agentId, tool, canonicalPayload)
    : keys.request.digest(agentId, tool, canonicalPayload, principal);
}

/** Bytes of a redacted value's digest: half of HMAC-SHA-256, which is still beyond finding two values for. */
const REDACTED_BYTES = 16;

/**
 * What stands for a redacted value, such as `hmac-sha256-128:` and 32 hex digits. Equal values of one agent look alike; those of
 * two agents do not, so that nobody learns another agent's values by sending guesses.
 */
export function digestRedacted(keys: DigestKeys, agentId: string, canonicalValue: string): string {
  const digest = keys.redaction.digest(agentId, canonicalValue).subarray(0, REDACTED_BYTES);
  return `hmac-sha256-${8 * REDACTED_BYTES}:${digest.toString("hex")}`;
}

/**
 * Where a claim is cached: 64 hex digits that reveal neither the agent nor the key. It authenticates nothing (the value's seal
 * does), so a plain hash behind a secret suffices. Agent ids have no spaces, so one splits it unambiguously.
 */
export function cacheName(keys: DigestKeys, agentId: string, idempotencyKey: string): string {
  return hash("sha256", `${keys.cacheName.toString("latin1")}${agentId} ${idempotencyKey}`, "hex");
}

export function sameDigest(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Names a flight: unambiguous, as agent ids have no space and digests a fixed length. */
export function flightName(agentId: string, idempotencyKey: string, requestDigest: Variant): string {
  return `${agentId} ${Buffer.from(requestDigest).toString("latin1")} ${idempotencyKey}`;
}
