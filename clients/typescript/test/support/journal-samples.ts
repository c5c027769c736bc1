import { randomUUID } from "node:crypto";
import type { BypassRecord, DenyRecord } from "../../src/journal/journal.ts";

export const agentId = "billing-1";

export function deny(changes: Partial<DenyRecord> = {}): DenyRecord {
  return {
    kind: "deny",
    decisionId: randomUUID(),
    agentId,
    tool: "stripe.refund",
    idempotencyKey: "refund-17",
    reason: "CIRCUIT_OPEN",
    message: "The circuit is open.",
    decidedAt: 1_770_000_000_000_001,
    requestDigest: "ab".repeat(32),
    ...changes,
  };
}

export function bypass(changes: Partial<BypassRecord> = {}): BypassRecord {
  return {
    ...deny(),
    kind: "bypass_allow",
    reason: "CIRCUIT_BYPASS",
    message: "Allowed by nora's grant.",
    grantId: "0b7d1f0e-6c1f-4a55-9c3e-2f5a9d1c7e11",
    ...changes,
  };
}
