/**
 * DataCrawl in LangChain and LangGraph: a middleware that asks before each tool call. docs/integrations/langchain.md has the whole story.
 *
 * It must be the last middleware that wraps tool calls. The first of the list is the outermost: one that comes after the guard could change the
 * call after it was judged, or make it again.
 */
import type { Authorizer } from "../authorizer.ts";
import {
  checkGuardOptions,
  FailedResult,
  type GuardOptions,
  markProbe,
  runJudged,
  ToolNotRunError,
} from "./judged-call.ts";
import { isGuarded, markGuarded, proveDenied, SELF_TEST_TOOL, type SelfTestProbe } from "./self-test.ts";

export { type GuardOptions, type ToolCall, ToolNotRunError } from "./judged-call.ts";
export type { SelfTestProbe } from "./self-test.ts";

/** The part of LangChain's `ToolCallRequest` that is used here. */
export interface ToolCallRequest {
  /** The call as the model made it. */
  readonly toolCall: {
    /** The tool. */
    readonly name: string;
    /** Its arguments. */
    readonly args: Record<string, unknown>;
    /** The model's id of this call. */
    readonly id?: string | undefined;
  };
  /** The agent's state, with its messages. */
  readonly state: unknown;
  /** LangGraph's runtime: its configuration, context and signal. */
  readonly runtime: unknown;
}

/** LangChain's class `ToolMessage`, which the middleware answers with. */
export type ToolMessageClass<Message> = new (fields: {
  content: string;
  tool_call_id: string;
  name: string;
  status: "error";
}) => Message;

/**
 * Options of {@link guardToolCalls}. The default of `run` is the id of the model's message that has the call, which stays the same when a run goes
 * on from a checkpoint; the session is the thread.
 */
export interface LangChainOptions<Message> extends GuardOptions<ToolCallRequest> {
  /** `ToolMessage` of the package `langchain`. The adapter imports no framework. */
  readonly ToolMessage: ToolMessageClass<Message>;
}

/** What `createMiddleware` takes. */
export interface ToolGuard<Message> {
  /** Shown in LangChain's traces and errors. */
  readonly name: string;
  /** Runs a tool if its call is allowed, and once; else answers with an error for the model. */
  readonly wrapToolCall: <Request extends ToolCallRequest, Result>(
    request: Request,
    handler: (request: Request) => Result | Promise<Result>,
  ) => Promise<Result | Message>;
}

/** Why a message was made in place of a tool's result. */
const stopped = new WeakMap<object, ToolNotRunError>();

/**
 * A middleware for `createMiddleware`. A tool runs only if its call is allowed, and once, on the judged copy of the arguments. Else the model reads a
 * `ToolMessage` with the status `error`.
 *
 * @throws TypeError if an option is wrong
 * @example
 * const guard = createMiddleware(guardToolCalls(dc, { ToolMessage }));
 * const agent = createAgent({ model, tools, middleware: [guard] }); // the last one, if there are others
 */
export function guardToolCalls<Message extends object>(
  authorizer: Authorizer,
  options: LangChainOptions<Message>,
): ToolGuard<Message> {
  checkGuardOptions(options, ["ToolMessage"]);
  const { ToolMessage } = options;
  if (typeof ToolMessage !== "function") throw new TypeError("ToolMessage must be the class of the package langchain");
  const wrapToolCall = async <Request extends ToolCallRequest, Result>(
    request: Request,
    handler: (request: Request) => Result | Promise<Result>,
  ): Promise<Result | Message> => {
    try {
      return await runJudged(authorizer, options, foundIn(request), async (args) => {
        const result = await handler({ ...request, toolCall: { ...request.toolCall, args } });
        if (member(result, "status") === "error") throw new FailedResult(result);
        return result;
      });
    } catch (error) {
      if (!(error instanceof ToolNotRunError)) throw error;
      const { name, id = "" } = request.toolCall;
      const message = new ToolMessage({ content: error.message, tool_call_id: id, name, status: "error" });
      stopped.set(message, error);
      return message;
    }
  };
  return { name: "DataCrawl", wrapToolCall: markGuarded(wrapToolCall) };
}

/**
 * Proves at start that the guard is the innermost middleware, and that a tool that the policy denies does not run.
 *
 * @param middleware what you pass to `createAgent`
 * @throws Error if another middleware is inside the guard, if the tool ran, or if the service did not deny it
 */
export async function selfTest(middleware: readonly object[], probe: SelfTestProbe = {}): Promise<void> {
  const { toolName = SELF_TEST_TOOL, args = {} } = probe;
  const wrapping = middleware.filter((one) => typeof member(one, "wrapToolCall") === "function");
  const innermost = wrapping.at(-1);
  const wrapToolCall = member(innermost, "wrapToolCall") as ToolGuard<object>["wrapToolCall"] | undefined;
  if (wrapToolCall === undefined || !isGuarded(wrapToolCall)) {
    const found = innermost === undefined ? "none does" : `"${String(member(innermost, "name"))}" does`;
    throw new Error(`self-test: the guard must be the last middleware that wraps tool calls; ${found}`);
  }
  const id = `self-test-${crypto.randomUUID()}`;
  const toolCall = { name: toolName, args: args as Record<string, unknown>, id };
  const request = markProbe({ toolCall, state: { messages: [{ id, tool_calls: [toolCall] }] }, runtime: {} });
  await proveDenied(toolName, async (ran) => {
    const answer = await wrapToolCall(request, () => ran());
    throw stopped.get(answer as object);
  });
}

function foundIn(request: ToolCallRequest) {
  const { toolCall, state, runtime } = request;
  const { name: toolName, id: callId, args: unverifiedArgs } = toolCall;
  const session = textOf(member(member(runtime, "configurable"), "thread_id"));
  const signal = member(runtime, "signal") as AbortSignal | undefined;
  const run = messageOf(state, callId) ?? session;
  return { toolName, callId, run, session, unverifiedArgs, context: request, signal };
}

/** The id of the message that has the call: in a checkpoint it stays the same. */
function messageOf(state: unknown, callId: string | undefined): string | undefined {
  const messages = Array.isArray(state) ? state : member(state, "messages");
  if (!Array.isArray(messages) || callId === undefined) return undefined;
  const calls = (message: unknown): unknown[] => (member(message, "tool_calls") as unknown[] | undefined) ?? [];
  const found = messages.findLast((message) => calls(message).some((call) => member(call, "id") === callId));
  return textOf(member(found, "id"));
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
