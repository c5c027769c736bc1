import type { Clock, Micros } from "@datacrawl/core/clock";
import { type Decision, judge, type Reason, type Source } from "@datacrawl/core/decision";
import { type RandomPool, uuidV7 } from "@datacrawl/core/ids";
import type { Refusal } from "./outcome.ts";

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
  /** The request's, or the watched decision's; empty if it is not known. */
  readonly tool: string;
  /** The key that the request went under, given or derived; empty if the request was not one. */
  readonly idempotencyKey: string;
  /** Why the request was refused; null unless the reason is `REQUEST_REFUSED`. */
  readonly refusal: Refusal | null;
}

/** A verdict of the guard's own. */
export function guardVerdict(
  { clock, random }: { readonly clock: Clock; readonly random: RandomPool },
  reason: Reason,
  message: string,
  about: Partial<Pick<GuardVerdict, "tool" | "idempotencyKey" | "decisionId" | "refusal">> = {},
): GuardVerdict {
  const decidedAt = clock.now();
  const { decision, ruleId } = judge(reason, message);
  return Object.freeze({
    decision,
    reason,
    message,
    ruleId,
    decisionId: about.decisionId || uuidV7(decidedAt, random),
    policyVersion: "",
    replayed: false,
    source: "guard",
    decidedAt,
    tool: about.tool ?? "",
    idempotencyKey: about.idempotencyKey ?? "",
    refusal: about.refusal ?? null,
  });
}
