import { digestPayload, hashDecision } from "../audit/row/hash.ts";
import { decisionRow } from "../audit/row/record.ts";
import type { Entry } from "../audit/write/writer.ts";
import type { Micros } from "../core/clock.ts";
import type { Judgement } from "../core/decision.ts";
import { type DigestKeys, digestRedacted } from "../idempotency/key.ts";
import type { RecordedDecision, Variant } from "../idempotency/ledger.ts";
import { type RandomPool, uuidV7 } from "../core/ids.ts";
import type { Redaction } from "../policy/redaction.ts";
import type { Question } from "../core/request.ts";

/** A request of an authenticated agent: decoded, within the contract's limits, and digested. */
export interface AuthorizeRequest extends Question {
  readonly nonce: Uint8Array;
  readonly credentialId: string;
  /** Keyed digest of agent, tool, payload and principal, 32 bytes. */
  readonly requestDigest: Buffer;
  readonly traceId: string | null;
}

/** How a judgement is recorded. */
export interface RecordOptions {
  /** The version that judged, and what of the payload must not be stored by the policy that is in force now. */
  readonly policy: { readonly version: string; readonly redaction: Redaction };
  /** What it claims of the idempotency key; null for a row that claims nothing. */
  readonly variant: Variant | null;
  /** The decision that it follows on; null if there is none. */
  readonly linkedTo: string | null;
}

/**
 * A judgement as a row of the audit log, with an id and a time of its own.
 *
 * @throws Fault FIELD_INVALID if more of the payload is redacted than may be
 */
export function makeEntry(
  request: AuthorizeRequest,
  judgement: Judgement,
  { policy, variant, linkedTo }: RecordOptions,
  { now, random, keys }: { readonly now: () => Micros; readonly random: RandomPool; readonly keys: DigestKeys },
): Entry {
  const salt = random.take(16);
  // INVARIANT: nothing behind this line sees the payload as it was sent.
  const stored = policy.redaction.storable(request.tool, request.payload, request.canonicalPayload, (value) =>
    digestRedacted(keys, request.agentId, value),
  );
  const at = now();
  const row = decisionRow({
    decisionId: uuidV7(at, random),
    recordedAt: at,
    decidedAt: at,
    source: "service",
    agentId: request.agentId,
    credentialId: request.credentialId,
    tool: request.tool,
    idempotencyKey: request.idempotencyKey,
    decision: judgement.decision,
    reason: judgement.reason,
    message: judgement.message,
    ruleId: judgement.ruleId,
    policyVersion: policy.version,
    requestDigest: request.requestDigest,
    payloadDigest: digestPayload(salt, stored),
    linkedDecisionId: linkedTo,
    reviewId: judgement.review === undefined ? null : uuidV7(at, random),
    traceId: request.traceId,
    principal: request.principal,
    sessionId: request.sessionId,
  });
  return {
    row,
    hash: hashDecision(row),
    payload: { salt, canonical: stored },
    claim: variant === null ? null : { variant },
    review: judgement.review ?? null,
  };
}

/** The decision of an entry that is written. @param expiresAt when its claim does; null if it made none, or that is not known */
export function decisionOf({ row }: Entry, requestDigest: Uint8Array, expiresAt: Micros | null): RecordedDecision {
  return {
    decisionId: row.decisionId,
    reason: row.reason,
    message: row.message,
    ruleId: row.ruleId,
    policyVersion: row.policyVersion ?? "",
    decidedAt: row.decidedAt,
    requestDigest,
    expiresAt,
  };
}
