import type { ExecutionOutcome, ExecutionReport } from "./call/execution.ts";
import type { Execution, Reported, Start } from "./execution.ts";
import type { JsonObject } from "./json.ts";
import type { GuardRequest } from "./call/question.ts";
import type { Protected, ProtectOptions } from "./protect.ts";
import type { ReviewVerdict, Verdict } from "./verdict.ts";

/** What a caller asks. Its values are not verified yet, whatever their types say. */
export type AuthorizeRequest = GuardRequest;

/** What bounds and describes one call of {@link Authorizer.authorize}. */
export interface AuthorizeOptions {
  /** Cancels: the verdict is then a deny at once. */
  readonly signal?: AbortSignal | undefined;
  /** How long the verdict may take, in milliseconds: 1 to 600,000. Default: the client's `timeoutMs`. */
  readonly timeoutMs?: number | undefined;
  /**
   * The W3C `traceparent` to pass on, which joins the agent's trace and the audit trail. Default: that of the active span, if
   * `@opentelemetry/api` is installed.
   */
  readonly traceparent?: string | undefined;
}

/** What bounds one call of {@link Authorizer.waitForReview}. */
export interface WaitOptions {
  /** Cancels: the wait ends at once. */
  readonly signal?: AbortSignal | undefined;
  /** How long to wait, in milliseconds: 1 to 604,800,000 (seven days); default 60,000. */
  readonly timeoutMs?: number | undefined;
}

/** The methods that agents' code uses. `DataCrawl` implements them, and so does the fake in `@datacrawl/client/testing`. */
export interface Authorizer {
  /**
   * Asks whether the agent may call `request.tool` with `request.payload`. Act only if the verdict's `allowed` is true.
   *
   * Never throws, and never outlives its deadline: every failure is a deny, with the reason in the verdict. The payload is read once,
   * at the call; act on the same values, or use {@link protect}.
   *
   * @example
   * const verdict = await dc.authorize({ tool: "gmail.send_email", payload, idempotencyKey: `send-${messageId}` });
   * if (verdict.allowed) await sendEmail(payload);
   */
  authorize(request: AuthorizeRequest, options?: AuthorizeOptions): Promise<Verdict>;
  /**
   * Waits for people to decide about a call that was answered `"needs_review"`. Act only if the verdict's `allowed` is true.
   *
   * Never throws, and never outlives its timeout. Lost connections are opened again. If nobody has decided in time the verdict is
   * still `"needs_review"`; if the service could not be asked it is a deny, under the same decision id. It neither uses nor changes the
   * circuit and the journal.
   *
   * @example
   * const resolved = await dc.waitForReview(verdict.decisionId, { timeoutMs: 600_000 });
   * if (resolved.allowed) await wire(payload);
   */
  waitForReview(decisionId: string, options?: WaitOptions): Promise<ReviewVerdict>;
  /**
   * Starts an allowed decision, which is possible once. Run the tool only if the start's `state` is `"started"`.
   *
   * Never throws, and never outlives its deadline: whatever goes wrong is a start that was refused. A start whose answer was lost is
   * asked for again within the deadline. The start is committed before it is answered: a process that dies afterwards leaves an
   * execution without an end.
   *
   * @param verdict of this client's `authorize` or `waitForReview`
   */
  begin(verdict: Verdict, options?: AuthorizeOptions): Promise<Start>;
  /**
   * Records how an execution ended, once. The same report again is harmless; another one is not recorded.
   *
   * Never throws, and never outlives its deadline. The circuit has no part in it.
   */
  report(
    execution: Execution,
    outcome: ExecutionOutcome | ExecutionReport,
    options?: AuthorizeOptions,
  ): Promise<Reported>;
  /**
   * Wraps `action` so that it runs only if it is allowed, and once: authorize, begin, run, report. It gets a copy of the payload as
   * plain JSON, with the values that were allowed even if the caller's object changes; and the verdict.
   *
   * What `action` throws is reported as failed, and rethrown. If it was aborted, its outcome is unknown. A process that dies leaves
   * an execution without an end, and the same action then rejects with `AlreadyStartedError`.
   *
   * @returns a function that rejects with `DeniedError`, `AlreadyStartedError` or `NotStartedError` where `action` was not run
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
