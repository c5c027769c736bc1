import type { Credentials } from "../authn/agents.ts";
import type { Micros } from "../core/clock.ts";
import { type Decision, DECISION_OF, type Reason, type Source } from "../core/decision.ts";
import type { UnverifiedRequest } from "../core/request.ts";

/** One attempt to call an agent's RPC, as a transport (gRPC, Connect) hands it over. Nothing in it has been verified. */
export interface Call<Body> extends Credentials {
  /** Decodes the body. Throws a Fault naming the field. Called once, after the credential has been verified. */
  readonly readBody: () => Body;
  /** When the caller stops waiting, on the monotonic clock, in milliseconds. */
  readonly deadlineAt: number;
  /** Aborted when the caller goes away, and for streams also when the service stops. */
  readonly signal: AbortSignal;
  /** The `traceparent` header as received, or undefined. */
  readonly traceparent: string | undefined;
}

/** The trace id of a W3C `traceparent`, or null if there is none that is well-formed. */
export function traceIdOf(traceparent: string | undefined): string | null {
  if (traceparent === undefined) return null;
  return /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(traceparent)?.[1] ?? null;
}

/** A WatchDecisionRequest as decoded. */
export interface UnverifiedWatch {
  readonly decisionId: string;
  /** Empty if absent. */
  readonly nonce: Uint8Array;
}

/** What the caller gets. Its audit row is committed. */
export interface Answer {
  readonly decision: Decision;
  readonly reason: Reason;
  readonly message: string;
  readonly decisionId: string;
  readonly policyVersion: string;
  readonly ruleId: string | null;
  readonly replayed: boolean;
  readonly decidedAt: Micros;
  readonly agentId: string;
  readonly tool: string;
  readonly idempotencyKey: string;
  readonly nonce: Uint8Array;
  /** Who decided, if not what the transport's service says: a sidecar also passes on what the service has decided. */
  readonly source?: Source;
}

/** What an answer repeats of a decision. */
type Decided = Pick<Answer, "reason" | "message" | "decisionId" | "policyVersion" | "ruleId" | "decidedAt">;
/** What an answer repeats of its request. */
type Echoed = Pick<Answer, "agentId" | "tool" | "idempotencyKey" | "nonce">;

/** The answer to `request` that `decided`, which is recorded, gives. */
export function answerTo(request: Echoed, decided: Decided, replayed: boolean): Answer {
  return {
    decision: DECISION_OF[decided.reason],
    reason: decided.reason,
    message: decided.message,
    decisionId: decided.decisionId,
    policyVersion: decided.policyVersion,
    ruleId: decided.ruleId,
    replayed,
    decidedAt: decided.decidedAt,
    agentId: request.agentId,
    tool: request.tool,
    idempotencyKey: request.idempotencyKey,
    nonce: request.nonce,
  };
}

/** Authorize behind every transport. Rejects with a Fault alone. */
export type AuthorizeHandler = (call: Call<UnverifiedRequest>) => Promise<Answer>;

/** WatchDecision: yields the current answer, and the one that ends the watching. Rejects with a Fault alone. */
export type WatchHandler = (call: Call<UnverifiedWatch>) => AsyncGenerator<Answer, void, undefined>;
