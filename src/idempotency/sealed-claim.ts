import { timingSafeEqual } from "node:crypto";
import type { Micros } from "../core/clock.ts";
import { DECISION_OF, type Reason } from "../core/decision.ts";
import type { DigestKeys } from "./key.ts";
import type { Claim } from "./ledger.ts";

const SEAL_BYTES = 32;

/**
 * A claim as it leaves the process: JSON behind an HMAC that also covers the agent and the key, so that a cache that lies
 * (swaps, alters or invents values) is found out.
 */
export function sealClaim(keys: DigestKeys, agentId: string, idempotencyKey: string, claim: Claim): Buffer {
  const body = Buffer.from(
    JSON.stringify([
      claim.decisionId,
      claim.reason,
      claim.message,
      claim.ruleId,
      claim.policyVersion,
      claim.decidedAt,
      claim.expiresAt,
      Buffer.from(claim.requestDigest).toString("base64"),
    ]),
  );
  return Buffer.concat([seal(keys, agentId, idempotencyKey, body), body]);
}

/** The claim, or null if the value is not one that this deployment sealed for (agent, key) or has expired at `now`. */
export function openClaim(
  keys: DigestKeys,
  agentId: string,
  idempotencyKey: string,
  untrustedValue: Buffer,
  now: Micros,
): Claim | null {
  const body = untrustedValue.subarray(SEAL_BYTES);
  if (untrustedValue.length <= SEAL_BYTES) return null;
  if (!timingSafeEqual(untrustedValue.subarray(0, SEAL_BYTES), seal(keys, agentId, idempotencyKey, body))) return null;
  const [decisionId, reason, message, ruleId, policyVersion, decidedAt, expiresAt, digest] = JSON.parse(
    body.toString(),
  ) as [string, Reason, string, string | null, string, Micros, Micros, string];
  // The seal is ours; still, a reason of another version of this software is not one that we can answer.
  if (!(reason in DECISION_OF) || expiresAt <= now) return null;
  const requestDigest = Buffer.from(digest, "base64");
  return { decisionId, reason, message, ruleId, policyVersion, decidedAt, expiresAt, requestDigest };
}

function seal(keys: DigestKeys, agentId: string, idempotencyKey: string, body: Buffer): Buffer {
  return keys.cacheSeal.digest(agentId, idempotencyKey, body);
}
