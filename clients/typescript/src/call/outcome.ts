import type { Micros } from "@datacrawl/core/clock";
import type { GuardVerdict } from "./verdict.ts";

/** What one attempt to ask the service came to. */
export type Outcome = Answered | Failure;

export interface Answered {
  readonly kind: "answered";
  /** The service's decision on this very question, read from a well-formed answer. */
  readonly verdict: GuardVerdict;
  /** When the service decided, by its clock; null if the answer does not say, and then the verdict has the time of its arrival. */
  readonly decidedAt: Micros | null;
}

/** Why there is no answer. `problem` is for people, at most {@link MAX_PROBLEM} characters. */
export type Failure =
  /**
   * Not a well-formed answer to this question. `saysNo`: what could be read of it says deny or needs_review, and though it
   * is not known to which question, no bypass may overturn it.
   */
  | { readonly kind: "malformed"; readonly problem: string; readonly saysNo: boolean }
  /** Not reached, or it said UNAVAILABLE: the same question may be asked again. */
  | { readonly kind: "unavailable"; readonly problem: string }
  /** Another failure of the service. */
  | { readonly kind: "failed"; readonly problem: string }
  /**
   * The service declined to decide this request: a credential, an argument, a limit. `final`: waiting does not help. `ofAgent`: it
   * is who asks that it does not accept, whatever the request.
   */
  | {
      readonly kind: "refused";
      readonly problem: string;
      readonly final: boolean;
      readonly ofAgent: boolean;
      readonly refusal: Refusal;
      readonly status: Status;
    }
  /** The agent could not say who it is, so that nothing was asked, and nothing is known of the service. */
  | { readonly kind: "unsent"; readonly problem: string }
  /** The service says that the deadline has passed. */
  | { readonly kind: "late"; readonly problem: string };

/**
 * Why a request was refused: over the agent's rate or the service's limits; a credential that is missing, unknown, expired or
 * revoked; a credential that does not permit this request; or a request that breaks the contract.
 */
export type RefusalCode = "RATE_LIMITED" | "BAD_CREDENTIAL" | "NOT_PERMITTED" | "BAD_REQUEST";

export interface Refusal {
  readonly code: RefusalCode;
  /** How long the service asks to wait before a retry, in milliseconds; null if it does not say. */
  readonly retryAfterMs: number | null;
}

/** The agent could not say who it is, so nothing was asked. */
export const NO_CREDENTIAL: Refusal = { code: "BAD_CREDENTIAL", retryAfterMs: null };
/** The request breaks the contract, so it was not asked. */
export const NOT_A_REQUEST: Refusal = { code: "BAD_REQUEST", retryAfterMs: null };

export const MAX_PROBLEM = 200;

export function malformed(problem: string, saysNo = false): Failure {
  return { kind: "malformed", problem: excerpt(problem), saysNo };
}

/** Text from elsewhere, cut and without what controls terminals and the direction of text. */
export function excerpt(text: string): string {
  return text
    .slice(0, MAX_PROBLEM)
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ");
}

/** The statuses of gRPC by number; the Connect protocol names them in lower case. */
export const STATUSES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;
export type Status = (typeof STATUSES)[number];

/** What a status other than OK says about the service. `detail` is the service's own message. */
export function outcomeOfStatus(
  status: Exclude<Status, "OK">,
  detail: string,
  retryAfterMs: number | null = null,
): Failure {
  // What comes of it stands in the middle of a sentence.
  const problem = excerpt(detail === "" ? status : `${status}: ${detail.replace(/\.$/, "")}`);
  switch (status) {
    case "UNAVAILABLE":
      return { kind: "unavailable", problem };
    case "DEADLINE_EXCEEDED":
      return { kind: "late", problem };
    case "RESOURCE_EXHAUSTED":
      return refused(status, problem, { code: "RATE_LIMITED", retryAfterMs }, { final: false });
    case "UNAUTHENTICATED":
      return refused(status, problem, { code: "BAD_CREDENTIAL", retryAfterMs }, { ofAgent: true });
    case "PERMISSION_DENIED":
      return refused(status, problem, { code: "NOT_PERMITTED", retryAfterMs });
    case "INVALID_ARGUMENT":
    case "NOT_FOUND":
    case "ALREADY_EXISTS":
    case "FAILED_PRECONDITION":
    case "OUT_OF_RANGE":
      return refused(status, problem, { code: "BAD_REQUEST", retryAfterMs });
    case "CANCELLED":
    case "UNKNOWN":
    case "ABORTED":
    case "UNIMPLEMENTED":
    case "INTERNAL":
    case "DATA_LOSS":
      return { kind: "failed", problem };
  }
}

function refused(status: Status, problem: string, refusal: Refusal, { final = true, ofAgent = false } = {}): Failure {
  return { kind: "refused", problem, final, ofAgent, refusal, status };
}
