import type { AuthorizeOptions, Authorizer } from "./authorizer.ts";
import type { ExecutionReport } from "./call/execution.ts";
import { copyPayload } from "./call/question.ts";
import { DeniedError } from "./denied-error.ts";
import type { Execution } from "./execution.ts";
import type { Json, JsonObject } from "./json.ts";
import { AlreadyStartedError, NotStartedError } from "./not-started-error.ts";
import type { Verdict } from "./verdict.ts";

/** Options of {@link Authorizer.protect}, for every call of the wrapped action. */
export interface ProtectOptions<Payload> {
  /** The idempotency key for a payload. Default: derived from agent, tool, payload and principal. */
  readonly idempotencyKey?: ((payload: Payload) => string) | undefined;
  /** The person or service on whose behalf the agent acts; a call's own `principal` overrides it. */
  readonly principal?: string | undefined;
  /** The run or conversation; a call's own `sessionId` overrides it. */
  readonly sessionId?: string | undefined;
  /**
   * How long the verdict, the start and the report may take each, in milliseconds: 1 to 600,000; a call's own `timeoutMs` overrides it.
   * Default: the client's.
   */
  readonly timeoutMs?: number | undefined;
  /** On `"needs_review"`: `"deny"` (default) rejects at once; `"wait"` waits for people, and then runs or rejects. */
  readonly onReview?: "deny" | "wait" | undefined;
  /** How long `"wait"` waits, in milliseconds: 1 to 604,800,000 (seven days); default 60,000. */
  readonly reviewTimeoutMs?: number | undefined;
  /**
   * True (default): an allowed action runs once. It is started with the service before it runs, and its outcome is reported. False: it
   * runs as often as it is allowed, which is for 24 hours under the same key.
   */
  readonly once?: boolean | undefined;
  /**
   * What comes of an action that was started before: `"throw"` (default) rejects with `AlreadyStartedError`; `"run"` runs it again, for
   * tools that are idempotent by themselves. What such a run comes to is not reported.
   */
  readonly onAlreadyStarted?: "throw" | "run" | undefined;
}

/** What bounds and describes one call of a protected action. */
export interface ProtectedCall extends AuthorizeOptions {
  /** On whose behalf the agent acts. */
  readonly principal?: string | undefined;
  /** The run or conversation. */
  readonly sessionId?: string | undefined;
}

/**
 * An action that runs only if it is allowed, and once; otherwise rejects with `DeniedError`, `AlreadyStartedError` or `NotStartedError`.
 * It takes JSON alone. `call` bounds this call.
 */
export type Protected<Payload, Result> = (payload: Json<Payload>, call?: ProtectedCall) => Promise<Result>;

/** What `protect` needs of a client; `warn` gets what is reported to nothing else. */
export type ProtectPorts = Pick<Authorizer, "authorize" | "waitForReview" | "begin" | "report"> & {
  readonly warn: (message: string) => void;
};

/** @see Authorizer.protect */
export function protectWith<Payload extends object = JsonObject, Result = unknown>(
  ports: ProtectPorts,
  tool: string,
  action: (payload: Payload, verdict: Verdict) => Result | Promise<Result>,
  options: ProtectOptions<Payload>,
): Protected<Payload, Result> {
  const { idempotencyKey, onReview = "deny", reviewTimeoutMs, once = true, onAlreadyStarted = "throw" } = options;
  checkOption("onReview", onReview, ["deny", "wait"]);
  checkOption("once", once, [true, false]);
  checkOption("onAlreadyStarted", onAlreadyStarted, ["throw", "run"]);
  return async (payload, call = {}) => {
    const { principal = options.principal, sessionId = options.sessionId, ...given } = call;
    const bounds = { timeoutMs: options.timeoutMs, ...given };
    const copy = tryCopy(payload) as Payload | null;
    // What cannot be copied is asked about as it is, and refused with the reason.
    const untrusted = (copy ?? payload) as JsonObject;
    const key = copy === null ? undefined : idempotencyKey?.(copy);
    const asked = await ports.authorize(
      { tool, payload: untrusted, idempotencyKey: key, principal, sessionId },
      bounds,
    );
    const verdict =
      asked.decision === "needs_review" && onReview === "wait"
        ? await ports.waitForReview(asked.decisionId, { signal: call.signal, timeoutMs: reviewTimeoutMs })
        : asked;
    if (copy === null || !verdict.allowed) throw new DeniedError(tool, verdict);
    if (!once) return action(copy, verdict);

    const start = await ports.begin(verdict, bounds);
    if (start.state === "refused") throw new NotStartedError(tool, verdict, start);
    // INVARIANT: an equality with started; whatever else a start may be does not run.
    if (start.state === "started") return await runOnce(ports, start, () => action(copy, verdict), bounds);
    if (onAlreadyStarted === "run") return action(copy, verdict);
    throw new AlreadyStartedError(tool, verdict, start);
  };
}

/** Runs a started action and reports how it ended. The report changes nothing of what the action comes to. */
async function runOnce<Result>(
  ports: ProtectPorts,
  execution: Execution,
  run: () => Result | Promise<Result>,
  { signal, timeoutMs, traceparent }: AuthorizeOptions,
): Promise<Result> {
  const startedAt = performance.now();
  const report = async (said: ExecutionReport): Promise<void> => {
    const durationMs = Math.round(performance.now() - startedAt);
    try {
      // Without the caller's signal: what was done is reported also if the caller has cancelled.
      const reported = await ports.report(execution, { ...said, durationMs }, { timeoutMs, traceparent });
      if (reported.state === "recorded") return;
      const what = `the outcome "${said.outcome}" of the execution of decision ${execution.decisionId}`;
      const later = reported.kept ? " It is kept and will be sent later." : "";
      ports.warn(`${what} was not recorded (${reported.reason}): ${reported.message}${later}`);
    } catch {
      // A logger that throws changes nothing either.
    }
  };
  let result: Result;
  try {
    result = await run();
  } catch (error) {
    await report({ outcome: isAbort(error, signal) ? "unknown" : "failed", errorCode: errorCodeOf(error) });
    throw error;
  }
  await report({ outcome: "succeeded" });
  return result;
}

/** Whether the action was broken off, so that nobody knows how far it came. */
function isAbort(error: unknown, signal: AbortSignal | undefined): boolean {
  const name = property(error, "name");
  return signal?.aborted === true || name === "AbortError" || name === "TimeoutError";
}

const MAX_CODE = 128;

/** The error's code or class: its message may hold what must not be recorded. */
function errorCodeOf(error: unknown): string | undefined {
  const found = [property(error, "code"), property(error, "name")].find((one) => typeof one === "string" && one !== "");
  if (typeof found !== "string" || !/^[\x21-\x7e]+$/.test(found)) return undefined;
  return found.slice(0, MAX_CODE);
}

/** What a tool throws may be anything, also a Proxy that throws when it is looked at. */
function property(thrown: unknown, name: string): unknown {
  try {
    return (thrown as Record<string, unknown> | null | undefined)?.[name];
  } catch {
    return undefined;
  }
}

function checkOption(name: string, value: unknown, allowed: readonly unknown[]): void {
  if (allowed.includes(value)) return;
  const choices = allowed.map((one) => JSON.stringify(one)).join(" or ");
  throw new TypeError(`${name} must be ${choices}, is ${JSON.stringify(value)}`);
}

function tryCopy(payload: unknown): JsonObject | null {
  try {
    return copyPayload(payload);
  } catch {
    return null;
  }
}
