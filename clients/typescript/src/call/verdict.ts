import type { Micros } from "@datacrawl/core/clock";
import type { Decision, Reason, Source } from "@datacrawl/core/decision";

/** What a guard answers. Frozen. Only `decision === "allow"` means yes. */
export interface Verdict {
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
  /** By the clock of whoever decided. */
  readonly decidedAt: Micros;
  /** The key that the request went under, given or derived; empty if the request was not one. */
  readonly idempotencyKey: string;
}
