import type { AuthorizeOptions, Authorizer } from "./authorizer.ts";
import type { Json, JsonObject } from "./json.ts";
import { copyPayload } from "./call/question.ts";
import { DeniedError } from "./denied-error.ts";
import type { Verdict } from "./verdict.ts";

/** Options of {@link Authorizer.protect}, for every call of the wrapped action. */
export interface ProtectOptions<Payload> {
  /** The idempotency key for a payload. Default: derived from agent, tool and payload. */
  readonly idempotencyKey?: ((payload: Payload) => string) | undefined;
  /** How long the verdict may take, in milliseconds: 1 to 600,000; a call's own `timeoutMs` overrides it. Default: the client's. */
  readonly timeoutMs?: number | undefined;
  /** On `"needs_review"`: `"deny"` (default) rejects at once; `"wait"` waits for people, and then runs or rejects. */
  readonly onReview?: "deny" | "wait" | undefined;
  /** How long `"wait"` waits, in milliseconds: 1 to 604,800,000 (seven days); default 60,000. */
  readonly reviewTimeoutMs?: number | undefined;
}

/** An action that runs only if it is allowed; otherwise rejects with `DeniedError`. It takes JSON alone. `call` bounds this call. */
export type Protected<Payload, Result> = (payload: Json<Payload>, call?: AuthorizeOptions) => Promise<Result>;

/** @see Authorizer.protect */
export function protectWith<Payload extends object = JsonObject, Result = unknown>(
  authorizer: Pick<Authorizer, "authorize" | "waitForReview">,
  tool: string,
  action: (payload: Payload, verdict: Verdict) => Result | Promise<Result>,
  options: ProtectOptions<Payload>,
): Protected<Payload, Result> {
  const { idempotencyKey, timeoutMs, onReview = "deny", reviewTimeoutMs } = options;
  if (onReview !== "deny" && onReview !== "wait")
    throw new TypeError(`onReview must be "deny" or "wait", is ${JSON.stringify(onReview)}`);
  return async (payload, call = {}) => {
    const copy = tryCopy(payload) as Payload | null;
    // What cannot be copied is asked about as it is, and refused with the reason.
    const untrusted = (copy ?? payload) as JsonObject;
    const key = copy === null ? undefined : idempotencyKey?.(copy);
    const request = { tool, payload: untrusted, idempotencyKey: key };
    const asked = await authorizer.authorize(request, { timeoutMs, ...call });
    const verdict =
      asked.decision === "needs_review" && onReview === "wait"
        ? await authorizer.waitForReview(asked.decisionId, { signal: call.signal, timeoutMs: reviewTimeoutMs })
        : asked;
    if (copy === null || !verdict.allowed) throw new DeniedError(tool, verdict);
    return action(copy, verdict);
  };
}

function tryCopy(payload: unknown): JsonObject | null {
  try {
    return copyPayload(payload);
  } catch {
    return null;
  }
}
