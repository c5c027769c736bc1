/**
 * What the adapters of all frameworks share: a tool call is judged by DataCrawl, and the tool runs on the judged copy of its arguments.
 *
 * `protect` asks, waits for people, starts, runs and reports. Here a framework's call becomes a call of `protect`, and every way in which
 * the tool did not run becomes one error with a text for the model.
 */
import type { Authorizer } from "../authorizer.ts";
import { copyPayload } from "../call/question.ts";
import { DeniedError } from "../denied-error.ts";
import type { JsonObject, JsonValue } from "../json.ts";
import { AlreadyStartedError, NotStartedError } from "../not-started-error.ts";
import { notRunText } from "./not-run-text.ts";

/** A tool call, as the functions of {@link GuardOptions} see it. */
export interface ToolCall<Context> {
  /** The tool's name in the framework. */
  readonly toolName: string;
  /** The framework's id of this call; empty if it has none. */
  readonly callId: string;
  /** The run or conversation that the call belongs to. */
  readonly run: string;
  /** A copy of the arguments as the tool will get them. Arguments that are no object are the member `input`. */
  readonly args: JsonObject;
  /** What the framework gives its tools beside the arguments. */
  readonly context: Context;
}

/** Options of every adapter. */
export interface GuardOptions<Context> {
  /**
   * The run or conversation that calls belong to, such as a chat's id: a call is the same action also when another process goes on with the run.
   * Each adapter says its default.
   */
  readonly run?: string | ((context: Context) => string | undefined) | undefined;
  /** The name to ask DataCrawl about. Default: the tool's name in the framework. */
  readonly tool?: ((call: ToolCall<Context>) => string) | undefined;
  /**
   * The idempotency key. Default: the run and the framework's id of the call, as `run/callId`. A call under a key that was started before
   * does not run again, in this process or another one.
   */
  readonly key?: ((call: ToolCall<Context>) => string) | undefined;
  /** What is judged. Default: the arguments. The tool gets its arguments in any case, so let them follow from what is judged. */
  readonly payload?: ((call: ToolCall<Context>) => JsonObject) | undefined;
  /** The person or service on whose behalf the agent acts. */
  readonly principal?: string | ((call: ToolCall<Context>) => string | undefined) | undefined;
  /** The run or conversation, for the audit trail. Default: the run. */
  readonly sessionId?: string | ((call: ToolCall<Context>) => string | undefined) | undefined;
  /** How long the verdict, the start and the report may take each, in milliseconds: 1 to 600,000. Default: the client's. */
  readonly timeoutMs?: number | undefined;
  /**
   * How long a call waits where people have to decide, in milliseconds: up to 604,800,000 (seven days), default 60,000. Then it is denied
   * with the decision's id. 0 denies at once.
   */
  readonly reviewTimeoutMs?: number | undefined;
  /** False: a call runs as often as it is allowed, without start and report. Default: true. */
  readonly once?: boolean | undefined;
  /** The text that the model gets instead of the tool's result. Default: why, with the decision's id, and what to do. */
  readonly explain?: ((error: ToolNotRunError) => string) | undefined;
}

/** A tool call as an adapter finds it. */
export interface FoundCall<Context> {
  readonly toolName: string;
  readonly callId: string | undefined;
  /** The run, if the options name none. */
  readonly run: string | undefined;
  /** The conversation, if it is not the run. */
  readonly session?: string | undefined;
  readonly unverifiedArgs: unknown;
  readonly context: Context;
  readonly signal: AbortSignal | undefined;
}

/**
 * The tool did not run: the call was not allowed, could not be started, was started before, or could not be judged. The message is for
 * the model; `cause` is a `DeniedError`, an `AlreadyStartedError`, a `NotStartedError`, or what went wrong in an option's function.
 */
export class ToolNotRunError extends Error {
  override readonly name = "ToolNotRunError";
  /** The tool's name in the framework. */
  readonly toolName: string;
  /** The decision, or null if the call was not judged. */
  readonly decisionId: string | null;

  constructor(toolName: string, cause: unknown, explain: ((error: ToolNotRunError) => string) | undefined) {
    super(notRunText(toolName, cause), { cause });
    this.toolName = toolName;
    this.decisionId = isOurs(cause) ? cause.verdict.decisionId : null;
    try {
      if (explain !== undefined) this.message = explain(this);
    } catch (error) {
      warn("the option explain", error);
    }
  }
}

const probes = new WeakSet<object>();

/** Marks the context of a self-test's call: see {@link probeOptions}. */
export function markProbe<Context extends object>(context: Context): Context {
  probes.add(context);
  return context;
}

type ProbeOptions = Pick<GuardOptions<unknown>, "timeoutMs" | "once" | "reviewTimeoutMs">;

/**
 * The options of a self-test's call. It is asked about under its own name, with its own arguments, and waits for nobody: functions that name the
 * tools of an application do not know it.
 */
export function probeOptions({ timeoutMs, once }: ProbeOptions): ProbeOptions {
  return { timeoutMs, once, reviewTimeoutMs: 0 };
}

/**
 * Runs a tool if its call is allowed, on a copy of the arguments that was made before they were judged.
 *
 * INVARIANT: `execute` is called by `protect` alone. Whatever is thrown before that is a `ToolNotRunError`; what it throws is passed on.
 *
 * @param execute gets the judged arguments
 * @throws ToolNotRunError if the tool did not run
 */
export async function runJudged<Context, Result>(
  authorizer: Authorizer,
  given: GuardOptions<Context>,
  found: FoundCall<Context>,
  execute: (args: JsonValue) => Result | Promise<Result>,
): Promise<Result> {
  let isRunning = false;
  const options: GuardOptions<Context> = probes.has(found.context as object) ? probeOptions(given) : given;
  try {
    const { toolName, unverifiedArgs = {}, signal, context } = found;
    const isObject = typeof unverifiedArgs === "object" && unverifiedArgs !== null && !Array.isArray(unverifiedArgs);
    const judged = copyPayload(isObject ? unverifiedArgs : { input: unverifiedArgs });
    // The functions get a copy of their own: what they change in it does not reach the tool.
    const { tool, key, payload, principal, sessionId, reviewTimeoutMs, timeoutMs, once } = options;
    const run = (typeof options.run === "function" ? options.run(context) : options.run) ?? found.run;
    const call = { toolName, callId: found.callId ?? "", run: run ?? "", args: copyPayload(judged), context };
    const named = text("tool", tool === undefined ? toolName : tool(call));
    const keyed = text("key", key === undefined ? keyOf(call) : key(call));
    const action = (): Result | Promise<Result> => {
      // An authorizer may not have looked at the signal.
      signal?.throwIfAborted();
      isRunning = true;
      return execute(isObject ? judged : (judged["input"] as JsonValue));
    };
    signal?.throwIfAborted();
    const ask = authorizer.protect(named, action, {
      idempotencyKey: () => keyed,
      onReview: reviewTimeoutMs === 0 ? "deny" : "wait",
      principal: typeof principal === "function" ? principal(call) : principal,
      sessionId: typeof sessionId === "function" ? sessionId(call) : (sessionId ?? found.session ?? run),
      reviewTimeoutMs,
      timeoutMs,
      once,
    });
    return await ask(payload === undefined ? judged : payload(call), { signal });
  } catch (error) {
    if (isRunning && error instanceof FailedResult) return error.result as Result;
    if (isRunning) throw error;
    // The model does not read what went wrong in an option's function: people have to.
    if (!isOurs(error) && found.signal?.aborted !== true) warn(`the call of ${found.toolName}`, error);
    throw new ToolNotRunError(found.toolName, error, options.explain);
  }
}

/** Thrown by an adapter's `execute` where a framework makes a result of a tool's error: the report says that it failed. */
export class FailedResult extends Error {
  /** What the report says. */
  readonly code = "TOOL_ERROR";
  readonly result: unknown;

  constructor(result: unknown) {
    super("the tool failed");
    this.result = result;
  }
}

/** Why a call was not run, where one of the client's errors says so. */
function isOurs(error: unknown): error is DeniedError | AlreadyStartedError | NotStartedError {
  return error instanceof DeniedError || error instanceof AlreadyStartedError || error instanceof NotStartedError;
}

const OTHER_OPTIONS = ["run", "principal", "sessionId", "timeoutMs", "reviewTimeoutMs", "once"];

/** @throws TypeError naming an option that no adapter has, or whose function is none: it was meant to do something */
export function checkGuardOptions(options: object, others: readonly string[]): void {
  const functions = ["tool", "key", "payload", "explain"];
  for (const [name, value] of Object.entries(options)) {
    const isFunction = functions.includes(name);
    if (!isFunction && ![...OTHER_OPTIONS, ...others].includes(name))
      throw new TypeError(`${name} is not an option of this adapter`);
    if (isFunction && value !== undefined && typeof value !== "function")
      throw new TypeError(`${name} must be a function, is a ${typeof value}`);
  }
}

function keyOf({ run, callId }: { readonly run: string; readonly callId: string }): string {
  if (run === "" || callId === "")
    throw new TypeError(`the call has no ${run === "" ? "run" : "tool-call"} id: name its key with the option "key"`);
  return `${run}/${callId}`;
}

/** A key that is not text would be derived from the content, and a call that was meant as another one be the same. */
function text(option: string, value: unknown): string {
  if (typeof value === "string" && value !== "") return value;
  throw new TypeError(`the option "${option}" must return a text that is not empty, returned a ${typeof value}`);
}

function warn(what: string, error: unknown): void {
  const why = error instanceof Error ? `${error.name}: ${error.message}` : typeof error;
  process.emitWarning(`${what} failed, and the tool did not run: ${why}`, "DataCrawlWarning");
}
