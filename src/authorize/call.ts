import type { Credentials } from "../authn/agents.ts";
import type { Decision, Reason, Source } from "../decision.ts";
import type { Micros } from "../clock.ts";
import type { UnverifiedRequest } from "./request.ts";

/** One attempt to call Authorize, as a road (gRPC, Connect) hands it over. Nothing in it has been verified. */
export interface Call extends Credentials {
  /** Decodes the body. Throws a Fault naming the field. Called once, after the credential has been verified. */
  readonly readBody: () => UnverifiedRequest;
  /** When the caller stops waiting, on the monotonic clock, in milliseconds. */
  readonly deadlineAt: number;
  /** Aborted when the caller goes away. */
  readonly signal?: AbortSignal;
  /** The `traceparent` header as received, or undefined. */
  readonly traceparent: string | undefined;
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
  /** Who decided, if not what the roads say: a sidecar also passes on what the service has decided. */
  readonly source?: Source;
}

/** The handler behind every road. Rejects with a {@link Fault} alone. */
export type AuthorizeHandler = (call: Call) => Promise<Answer>;
