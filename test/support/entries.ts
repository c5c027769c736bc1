import { randomUUID } from "node:crypto";
import { digestPayload, hashDecision } from "../../src/audit/row/hash.ts";
import { type DecisionRow, decisionRow } from "../../src/audit/row/record.ts";
import type { Entry } from "../../src/audit/write/writer.ts";
import { systemClock } from "../../src/core/clock.ts";
import { RandomPool, uuidV7 } from "../../src/core/ids.ts";

export const random = new RandomPool();

/** An entry as the walk would make it, claiming (agent, key). */
export function entryFor(
  key: string,
  change: Partial<DecisionRow> = {},
  variant: Uint8Array | null = new Uint8Array(0),
): Entry {
  const at = systemClock.now();
  const payload = { salt: random.take(16), canonical: '{"amount":50}' };
  const row = decisionRow({
    decisionId: uuidV7(at, random),
    recordedAt: at,
    decidedAt: at,
    source: "service",
    agentId: "demo",
    credentialId: "0a1b2c3d4e5f",
    tool: "stripe.refund",
    idempotencyKey: key,
    decision: "allow",
    reason: "RULE_ALLOWED",
    message: "Allowed.",
    ruleId: "refund-small",
    policyVersion: "sha256:test",
    requestDigest: Buffer.alloc(32, 1),
    payloadDigest: digestPayload(payload.salt, payload.canonical),
    ...change,
  });
  return {
    row,
    hash: hashDecision(row),
    payload,
    claim: variant === null ? null : { variant },
    review: null,
  };
}

/** A guard's deny as SyncGuard would make it of an uploaded record. */
export function guardEntryFor(recordHash: Uint8Array, change: Partial<DecisionRow> = {}) {
  const { row } = entryFor("outage", {
    source: "guard",
    decision: "deny",
    reason: "CIRCUIT_OPEN",
    guardJournalId: randomUUID(),
    guardSequence: 1,
    guardRecordHash: recordHash,
    payloadDigest: null,
    ...change,
  });
  return { row, hash: hashDecision(row) };
}
