import { randomUUID } from "node:crypto";
import type { EndRecord, StartRecord } from "../../../../src/core/journal-executions.ts";
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

export function bypassStart(changes: Partial<StartRecord> = {}): StartRecord {
  return {
    kind: "bypass_start",
    decisionId: "019c2f4e-7d10-7b3a-9c55-2f0e8a1b6c3d",
    executionId: "019c2f4e-7d11-7b3a-9c55-2f0e8a1b6c3e",
    agentId,
    tool: "stripe.refund",
    idempotencyKey: "refund-17",
    startedAt: 1_770_000_000_000_002,
    startedBy: "7b0c2c1e-3a54-4f2e-8d25-0c6a1f0f9b11",
    ...changes,
  };
}

export function bypassEnd(changes: Partial<EndRecord> = {}): EndRecord {
  return {
    ...bypassStart(),
    kind: "bypass_end",
    outcome: "failed",
    endedAt: 1_770_000_000_250_002,
    errorCode: "HTTP_503",
    durationMs: 250,
    summary: "the bank was closed",
    ...changes,
  };
}
