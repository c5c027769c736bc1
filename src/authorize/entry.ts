import { digestPayload, hashDecision } from "../audit/hash.ts";
import { decisionRow } from "../audit/record.ts";
import type { Entry, Written } from "../audit/writer.ts";
import type { Micros } from "../clock.ts";
import type { Judgement } from "../decision.ts";
import { type DigestKeys, digestRedacted } from "../idempotency/key.ts";
import type { Claim, Variant } from "../idempotency/ledger.ts";
import { type RandomPool, uuidV7 } from "../ids.ts";
import type { Redaction } from "../policy/redaction.ts";
import type { Question } from "./request.ts";

/** A question with what its row tells of it besides. */
export interface Asked extends Question {
  readonly credentialId: string;
  readonly requestDigest: Buffer;
  readonly traceId: string | null;
}

/** Under which terms a judgement is recorded. */
export interface Terms {
  readonly policyVersion: string;
  /** What of the payload must not be stored, by the policy that is in force now. */
  readonly redaction: Redaction;
  /** What it claims of the idempotency key; null for a row that claims nothing. */
  readonly variant: Variant | null;
  /** The decision that it follows on. */
  readonly linkedTo?: string;
}

/**
 * A judgement as a row of the trail, with an id and a time of its own.
 *
 * @throws Fault FIELD_INVALID if more of the payload is redacted than may be
 */
export function makeEntry(
  asked: Asked,
  judgement: Judgement,
  terms: Terms,
  { now, random, keys }: { readonly now: () => Micros; readonly random: RandomPool; readonly keys: DigestKeys },
): Entry {
  const salt = random.take(16);
  // INVARIANT: nothing behind this line sees the payload as it was sent.
  const stored = terms.redaction.storable(asked.tool, asked.payload, asked.canonicalPayload, (value) =>
    digestRedacted(keys, asked.agentId, value),
  );
  const at = now();
  const row = decisionRow({
    decisionId: uuidV7(at, random),
    recordedAt: at,
    decidedAt: at,
    source: "service",
    agentId: asked.agentId,
    credentialId: asked.credentialId,
    tool: asked.tool,
    idempotencyKey: asked.idempotencyKey,
    decision: judgement.decision,
    reason: judgement.reason,
    message: judgement.message,
    ruleId: judgement.ruleId,
    policyVersion: terms.policyVersion,
    requestDigest: asked.requestDigest,
    payloadDigest: digestPayload(salt, stored),
    linkedDecisionId: terms.linkedTo ?? null,
    reviewId: judgement.review === undefined ? null : uuidV7(at, random),
    traceId: asked.traceId,
  });
  return {
    row,
    hash: hashDecision(row),
    payload: { salt, canonical: stored },
    claim: terms.variant === null ? null : { variant: terms.variant },
    review: judgement.review ?? null,
  };
}

/** What a replay of the entry, which is written, answers. */
export function claimOf({ row }: Entry, { claimExpiresAt }: Written): Claim {
  return {
    decisionId: row.decisionId,
    reason: row.reason,
    message: row.message,
    ruleId: row.ruleId,
    policyVersion: row.policyVersion ?? "",
    decidedAt: row.decidedAt,
    expiresAt: claimExpiresAt ?? 0,
    requestDigest: row.requestDigest as Uint8Array,
  };
}
