import type { Clock, Micros } from "@datacrawl/core/clock";
import { type Decision, judge, type Reason, type Source } from "@datacrawl/core/decision";
import { type RandomPool, uuidV7 } from "@datacrawl/core/ids";
import type { Refusal, ServiceAnswer } from "./outcome.ts";

/** What a guard answers. Frozen. Only `decision === "allow"` means yes. */
export interface GuardVerdict {
  readonly decision: Decision;
  readonly reason: Reason;
  /** The reason as a sentence for people. Not stable. */
  readonly message: string;
  /**
   * UUID. The service's decision is in the audit trail under it; a guard's own is in its journal, and in the trail once that is
   * uploaded. A refused request that is no request (not JSON, over the limits) is recorded nowhere.
   */
  readonly decisionId: string;
  /** Digest of the policy bundle that decided; empty if a guard did. */
  readonly policyVersion: string;
  /** The rule that decided, or null. */
  readonly ruleId: string | null;
  /** This decision was made for an earlier request with the same key. */
  readonly replayed: boolean;
  /** Who decided: the service from policy, or the guard alone. */
  readonly source: Source;
  /** By the clock of the service or guard that decided. */
  readonly decidedAt: Micros;
  /** The key that the request went under, given or derived; empty if the request was not one. */
  readonly idempotencyKey: string;
  /** Why the request was refused; null unless the reason is `REQUEST_REFUSED`. */
  readonly refusal: Refusal | null;
}

/** The service's answer as a verdict. */
export function serviceVerdict(answer: ServiceAnswer, clock: Clock): GuardVerdict {
  const { decision, reason, message, decisionId, policyVersion, ruleId, replayed, idempotencyKey } = answer;
  const decidedAt = answer.decidedAt ?? clock.now();
  return Object.freeze({
    decision,
    reason,
    message,
    decisionId,
    policyVersion,
    ruleId,
    replayed,
    source: "service",
    decidedAt,
    idempotencyKey,
    refusal: null,
  });
}

/** A verdict of the guard's own. */
export function guardVerdict(
  { clock, random }: { readonly clock: Clock; readonly random: RandomPool },
  reason: Reason,
  message: string,
  about: { readonly idempotencyKey?: string; readonly decisionId?: string; readonly refusal?: Refusal | null } = {},
): GuardVerdict {
  const decidedAt = clock.now();
  const { ruleId, ...judgement } = judge(reason, message);
  return Object.freeze({
    ...judgement,
    ruleId,
    decisionId: about.decisionId || uuidV7(decidedAt, random),
    policyVersion: "",
    replayed: false,
    source: "guard",
    decidedAt,
    idempotencyKey: about.idempotencyKey ?? "",
    refusal: about.refusal ?? null,
  });
}
