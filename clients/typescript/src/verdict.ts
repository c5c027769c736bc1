import { type Decision, isAllow, type Reason, type Source } from "@datacrawl/core/decision";
import type { RefusalCode } from "./call/outcome.ts";
import type { GuardVerdict } from "./call/verdict.ts";

/** The answer to "may this agent do this?". Frozen. Act only if `allowed` is true. */
export interface Verdict {
  /** True only for an explicit allow: the same as `decision === "allow"`. */
  readonly allowed: boolean;
  /** What was decided. Only `"allow"` means yes. */
  readonly decision: Decision;
  /** Why: a stable code of the contract, without the prefix `REASON_`. */
  readonly reason: Reason;
  /** The reason as a sentence for people. Not stable. */
  readonly message: string;
  /**
   * Why the request was refused; null unless the reason is `REQUEST_REFUSED`. `RATE_LIMITED`: over the agent's rate or a limit of the
   * service. `BAD_CREDENTIAL`: missing, unknown, expired or revoked. `NOT_PERMITTED`: the credential is another agent's.
   * `BAD_REQUEST`: the request breaks the contract, and repeating it does not help.
   */
  readonly code: RefusalCode | null;
  /** How long the service asks to wait before a retry, in milliseconds; null if it does not say. */
  readonly retryAfterMs: number | null;
  /**
   * UUID of the decision in the audit trail. A guard's own decision is there once its journal is uploaded; a request that breaks the
   * contract is not recorded.
   */
  readonly decisionId: string;
  /** Digest of the policy bundle that decided; empty if a guard did. */
  readonly policyVersion: string;
  /** The rule that decided, or null. */
  readonly ruleId: string | null;
  /** Whether the decision was made for an earlier request with the same key. */
  readonly replayed: boolean;
  /** Who decided: the service from policy, or the guard alone. */
  readonly source: Source;
  /** When it was decided, by the clock of the service or guard that decided, to the millisecond. */
  readonly decidedAt: Date;
  /** The key that the request went under, given or derived; empty if the request breaks the contract. */
  readonly idempotencyKey: string;
}

/** The current decision about a call under review. Frozen. Act only if `allowed` is true. */
export interface ReviewVerdict extends Verdict {
  /** The decision's tool; empty if the service could not be asked. */
  readonly tool: string;
}

/** Converts a guard's verdict into the public one. */
export function verdictOf(verdict: GuardVerdict): Verdict {
  const { refusal, decidedAt, tool: _, ...same } = verdict;
  return Object.freeze({
    ...same,
    allowed: isAllow(same.decision),
    code: refusal?.code ?? null,
    retryAfterMs: refusal?.retryAfterMs ?? null,
    decidedAt: new Date(decidedAt / 1000),
  });
}

/** The same of a decision that was watched. */
export function reviewVerdictOf(verdict: GuardVerdict): ReviewVerdict {
  return Object.freeze({ ...verdictOf(verdict), tool: verdict.tool });
}
