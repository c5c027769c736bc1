import type { Micros } from "../core/clock.ts";
import type { Reason } from "../core/decision.ts";

/** A decision as it was recorded. */
export interface RecordedDecision {
  readonly decisionId: string;
  readonly reason: Reason;
  readonly message: string;
  readonly ruleId: string | null;
  readonly policyVersion: string;
  readonly decidedAt: Micros;
  /** Keyed digest of agent, tool and payload, 32 bytes. */
  readonly requestDigest: Uint8Array;
  /** When its claim expires, by Postgres' clock, the only one that decides expiry; null if it claims nothing, or that is not known. */
  readonly expiresAt: Micros | null;
}

/** A decision that holds a claim on its key until a known time: what a replay answers. */
export interface Claim extends RecordedDecision {
  readonly expiresAt: Micros;
}

export function isClaim(decision: RecordedDecision): decision is Claim {
  return decision.expiresAt !== null;
}

/**
 * Which request of a key a claim is for: empty for the first one, the request's own digest for each later request that
 * reused the key, so that those, too, are denied under one id each.
 */
export type Variant = Uint8Array;

export const FIRST: Variant = new Uint8Array(0);

/** The claims in the database. Postgres decides; caches only accelerate. */
export interface Ledger {
  /** The unexpired claim on (agent, key, variant), or null. */
  findClaim(agentId: string, idempotencyKey: string, variant: Variant): Promise<Claim | null>;
}

/** Remembers claims outside the database. Losing it, or its lying, must never turn a deny into an allow. */
export interface ClaimCache {
  /** Where the first claim on (agent, key) is remembered. */
  at(agentId: string, idempotencyKey: string): ClaimSlot;
  close(): Promise<void>;
}

export interface ClaimSlot {
  /** The remembered claim, verified, or null. Never rejects; null when the cache does not know. */
  get(): Promise<Claim | null>;
  /** Remembers a claim until it expires. Never waits, never throws. */
  set(claim: Claim): void;
}
