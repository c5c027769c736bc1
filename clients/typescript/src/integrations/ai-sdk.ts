/**
 * DataCrawl in the Vercel AI SDK: each tool asks before it runs. docs/integrations/ai-sdk.md has the whole story.
 *
 * The adapter wraps `execute`, the last step before the tool. `toolApproval` and `needsApproval` come earlier and fail open: an answer that the
 * SDK does not know runs the tool, and `"user-approval"` is answered by messages that the client sends.
 */
import type { Authorizer } from "../authorizer.ts";
import { checkGuardOptions, type FoundCall, type GuardOptions, probeOptions, runJudged } from "./judged-call.ts";
import { checkAllGuarded, markGuarded, proveDenied, SELF_TEST_TOOL, type SelfTestProbe } from "./self-test.ts";

export { type GuardOptions, type ToolCall, ToolNotRunError } from "./judged-call.ts";
export type { SelfTestProbe } from "./self-test.ts";

/** What the SDK passes to `execute` beside the input; its types are the SDK's `ToolExecutionOptions`. */
export interface AiSdkContext {
  /** The model's id of this call. */
  readonly toolCallId: string;
  /** The messages that led to the call. */
  readonly messages: readonly unknown[];
  /** Aborted with the run. */
  readonly abortSignal?: AbortSignal | undefined;
  /** The tool's context. */
  readonly context?: unknown;
}

/**
 * Options of {@link guardTools}. The SDK tells tools no id of the run. So `run` is a random id for the set of tools by default: guard the tools once
 * for each run then, because models may repeat the ids of calls.
 */
export interface AiSdkOptions extends GuardOptions<AiSdkContext> {
  /** Tools without `execute`, which somebody else runs: the provider, or your client. DataCrawl does not see their calls. */
  readonly unguarded?: readonly string[] | undefined;
}

type Execute = (this: unknown, input: unknown, options: AiSdkContext) => unknown;

/**
 * The same tools; each runs only if its call is allowed, and once, on the judged copy of its input. Else the call is a `tool-error`, and the model
 * reads why.
 *
 * @throws TypeError if an option is wrong, or if a tool has no `execute` and is not named in `unguarded`
 * @example
 * const tools = guardTools(dc, { sendEmail, refund }, { run: chatId });
 * await generateText({ model, tools, prompt });
 */
export function guardTools<Tools extends Readonly<Record<string, object>>>(
  authorizer: Authorizer,
  tools: Tools,
  options: AiSdkOptions = {},
): Tools {
  checkGuardOptions(options, ["unguarded"]);
  const { unguarded = [] } = options;
  const run = crypto.randomUUID();
  const guardOne = ([toolName, tool]: [string, object]): [string, object] => {
    const { execute } = tool as { readonly execute?: Execute };
    if (typeof execute !== "function") {
      if (unguarded.includes(toolName)) return [toolName, tool];
      throw new TypeError(
        `the tool ${toolName} has no execute, so that its calls cannot be judged here: leave it out, or name it in "unguarded"`,
      );
    }
    const found = (input: unknown, context: AiSdkContext): FoundCall<AiSdkContext> => {
      const { toolCallId: callId, abortSignal: signal } = context;
      return { toolName, callId, run, unverifiedArgs: input, context, signal };
    };
    const judged = (input: unknown, context: AiSdkContext, emit?: (part: unknown) => void): Promise<unknown> =>
      runJudged(authorizer, options, found(input, context), async (args) => {
        const result = execute.call(tool, args, context);
        return isAsyncIterable(result) ? await lastOf(result, emit) : await result;
      });
    // The SDK shows the parts of an async generator while it runs.
    const isGenerator = Object.prototype.toString.call(execute) === "[object AsyncGeneratorFunction]";
    const wrapped = isGenerator
      ? (input: unknown, context: AiSdkContext) => relay((emit) => judged(input, context, emit))
      : (input: unknown, context: AiSdkContext) => judged(input, context);
    return [toolName, { ...tool, execute: markGuarded(wrapped) }];
  };
  return Object.fromEntries(Object.entries(tools).map(guardOne)) as Tools;
}

/**
 * Proves at start that every tool in `tools` is guarded, and that a tool that the policy denies does not run.
 *
 * @param tools what you pass to `generateText`, `streamText` or an agent
 * @throws Error naming what is not guarded; or if the tool ran, or the service did not deny it
 */
export async function selfTest(
  authorizer: Authorizer,
  tools: Readonly<Record<string, object>>,
  options: AiSdkOptions & { readonly probe?: SelfTestProbe | undefined } = {},
): Promise<void> {
  const { probe = {} } = options;
  const { toolName = SELF_TEST_TOOL, args = {} } = probe;
  checkAllGuarded(tools, options.unguarded);
  await proveDenied(toolName, async (ran) => {
    const guardedProbe = guardTools(authorizer, { [toolName]: { execute: ran } }, probeOptions(options))[toolName];
    const context = { toolCallId: `self-test-${crypto.randomUUID()}`, messages: [] };
    await (guardedProbe as unknown as { execute: Execute }).execute(args, context);
  });
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

/** Runs through `parts`: the last one is the tool's result. */
async function lastOf(parts: AsyncIterable<unknown>, emit: (part: unknown) => void = () => {}): Promise<unknown> {
  let last: unknown;
  for await (const part of parts) {
    last = part;
    emit(part);
  }
  return last;
}

/** What `run` emits, as a stream that ends as `run` does. */
async function* relay(run: (emit: (part: unknown) => void) => Promise<unknown>): AsyncGenerator {
  const parts: unknown[] = [];
  let wake = (): void => {};
  let hasEnded = false;
  const ended = run((part) => {
    parts.push(part);
    wake();
  }).finally(() => {
    hasEnded = true;
    wake();
  });
  // Awaited below, where its error is thrown: until then it is not unhandled.
  ended.catch(() => {});
  while (parts.length > 0 || !hasEnded) {
    if (parts.length > 0) yield parts.shift();
    else
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
  await ended;
}
