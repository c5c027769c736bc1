import { randomBytes, randomUUID } from "node:crypto";
import { systemClock } from "../../src/core/clock.ts";
import type { Claim } from "../../src/idempotency/ledger.ts";

export const MINUTE = 60_000_000;

/** A claim of its own, that expires in a minute. */
export function claimOf(change: Partial<Claim> = {}): Claim {
  const now = systemClock.now();
  return {
    decisionId: randomUUID(),
    reason: "RULE_ALLOWED",
    message: "Allowed.",
    ruleId: "email-inside",
    policyVersion: "sha256:test",
    decidedAt: now,
    expiresAt: now + MINUTE,
    requestDigest: randomBytes(32),
    ...change,
  };
}
