import type { JsonObject } from "./json.ts";
import type { GuardRequest } from "./call/question.ts";
import type { Protected, ProtectOptions } from "./protect.ts";
import type { ReviewVerdict, Verdict } from "./verdict.ts";

/** What a caller asks. Nothing in it has been verified, whatever its types say. */
export type AuthorizeRequest = GuardRequest;

export interface AuthorizeOptions {
  /** Cancels: the verdict is then a deny at once. */
  readonly signal?: AbortSignal | undefined;
  /** Instead of the client's, in milliseconds: 1 to 600,000. */
  readonly timeoutMs?: number | undefined;
  /**
   * The W3C `traceparent` to pass on, which joins the agent's trace and the audit trail. Default: that of the active span, if
   * `@opentelemetry/api` is installed.
   */
  readonly traceparent?: string | undefined;
}

export interface WaitOptions {
  /** Cancels: the wait ends at once. */
  readonly signal?: AbortSignal | undefined;
  /** How long to wait, in milliseconds: 1 to 604,800,000 (seven days); default 60,000. */
  readonly timeoutMs?: number | undefined;
}

/** What agents' code needs of `DataCrawl`, and what the fake in `@datacrawl/client/testing` offers. */
export interface Authorizer {
  /**
   * Whether the agent may call `request.tool` with `request.payload`. Act only if the verdict's `allowed` is true.
   *
   * Never throws, and never outlives its deadline: whatever goes wrong is a deny, with the reason in the verdict. The payload is
   * read once, at the call; a caller that changes it afterwards and acts does something else than what was allowed.
   */
  authorize(request: AuthorizeRequest, options?: AuthorizeOptions): Promise<Verdict>;
  /**
   * What people decide about a call that was answered `"needs_review"`. Act only if the verdict's `allowed` is true.
   *
   * Never throws, and never outlives its timeout. Lost connections are made again. If nobody has decided in time the verdict is
   * still `"needs_review"`; if the service could not be asked it is a deny, under the same decision id. Neither the circuit nor
   * the journal is touched.
   */
  waitForReview(decisionId: string, options?: WaitOptions): Promise<ReviewVerdict>;
  /**
   * `action`, made to run only if it is allowed. It gets a copy of the payload, as plain JSON: the very values that were
   * allowed, also if the caller's object changes meanwhile; and the verdict, by whose `decisionId` a tool deduplicates.
   *
   * @returns a function that rejects with `DeniedError` where `action` was not run
   * @throws TypeError if an option is wrong
   * @example
   * const send = dc.protect("gmail.send_email", sendEmail, { idempotencyKey: ({ id }) => `send-${id}`, onReview: "wait" });
   * await send(email, { signal });
   */
  protect<Payload extends object = JsonObject, Result = unknown>(
    tool: string,
    action: (payload: Payload, verdict: Verdict) => Result | Promise<Result>,
    options?: ProtectOptions<Payload>,
  ): Protected<Payload, Result>;
}
