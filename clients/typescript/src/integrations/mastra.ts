/**
 * DataCrawl in Mastra: each tool asks before it runs. docs/integrations/mastra.md has the whole story.
 *
 * The adapter wraps `execute`, the last step before the tool. `requireApproval` and `beforeToolCall` come earlier and fail open: an answer that Mastra does
 * not know lets the tool run, and a hook of a run replaces the agent's.
 */
import type { Authorizer } from "../authorizer.ts";
import {
  checkGuardOptions,
  FailedResult,
  type FoundCall,
  type GuardOptions,
  probeOptions,
  runJudged,
} from "./judged-call.ts";
import { checkAllGuarded, markGuarded, proveDenied, SELF_TEST_TOOL, type SelfTestProbe } from "./self-test.ts";

export { type GuardOptions, type ToolCall, ToolNotRunError } from "./judged-call.ts";
export type { SelfTestProbe } from "./self-test.ts";

/** The part of Mastra's `ToolExecutionContext` that is used here. */
export interface MastraContext {
  /** Of the agent's run; the same when a run is resumed. */
  readonly runId?: string | undefined;
  /** Set where an agent calls the tool. */
  readonly agent?: AgentContext | undefined;
  /** Set where a workflow runs the tool as a step, which has no id of its own: name the key then. */
  readonly workflow?: unknown;
  /** Aborted with the run. */
  readonly abortSignal?: AbortSignal | undefined;
  /** What the caller passed to the run. */
  readonly requestContext?: unknown;
}

interface AgentContext {
  readonly toolCallId?: string | undefined;
  readonly threadId?: string | undefined;
}

/** Options of {@link guardTools}. The default of `run` is the agent's `runId`; the session is its thread, where it has one. */
export interface MastraOptions extends GuardOptions<MastraContext> {
  /** Names of tools without `execute`, which somebody else runs: the provider, or your client. DataCrawl does not see their calls. */
  readonly unguarded?: readonly string[] | undefined;
}

type Execute = (this: unknown, input: unknown, context?: MastraContext) => unknown;

/**
 * The same tools; each runs only if its call is allowed, and once, on the judged copy of its input. Else the call fails, and the model reads why.
 *
 * @throws TypeError if an option is wrong, or if a tool has no `execute` and is not named in `unguarded`
 * @example
 * const agent = new Agent({ id: "assistant", name: "Assistant", instructions, model, tools: guardTools(dc, { sendEmail, refund }) });
 */
export function guardTools<Tools extends Readonly<Record<string, object>>>(
  authorizer: Authorizer,
  tools: Tools,
  options: MastraOptions = {},
): Tools {
  checkGuardOptions(options, ["unguarded"]);
  const guardOne = ([toolName, tool]: [string, object]): [string, object] => {
    const { execute } = tool as { readonly execute?: Execute };
    if (typeof execute !== "function") {
      if (options.unguarded?.includes(toolName) === true) return [toolName, tool];
      throw new TypeError(
        `the tool ${toolName} has no execute, so that its calls cannot be judged here: leave it out, or name it in "unguarded"`,
      );
    }
    const wrapped = (input: unknown, context: MastraContext = {}): Promise<unknown> =>
      runJudged(authorizer, options, foundIn(toolName, input, context), async (args) => {
        const result = await execute.call(tool, args, context);
        if (isValidationError(result)) throw new FailedResult(result);
        return result;
      });
    // Mastra knows its tools by their class and by a symbol.
    const members = {
      ...Object.getOwnPropertyDescriptors(tool),
      execute: { value: markGuarded(wrapped), enumerable: true, writable: true, configurable: true },
    };
    return [toolName, Object.create(Object.getPrototypeOf(tool) as object, members) as object];
  };
  return Object.fromEntries(Object.entries(tools).map(guardOne)) as Tools;
}

/**
 * Proves at start that every tool in `tools` is guarded, and that a tool that the policy denies does not run.
 *
 * @param tools such as `await agent.listTools()`
 * @throws Error naming what is not guarded; or if the tool ran, or the service did not deny it
 */
export async function selfTest(
  authorizer: Authorizer,
  tools: Readonly<Record<string, object>>,
  options: MastraOptions & { readonly probe?: SelfTestProbe | undefined } = {},
): Promise<void> {
  const { probe = {} } = options;
  const { toolName = SELF_TEST_TOOL, args = {} } = probe;
  checkAllGuarded(tools, options.unguarded);
  await proveDenied(toolName, async (ran) => {
    const guardedProbe = guardTools(authorizer, { [toolName]: { execute: ran } }, probeOptions(options))[toolName];
    const id = `self-test-${crypto.randomUUID()}`;
    await (guardedProbe as unknown as { execute: Execute }).execute(args, { runId: id, agent: { toolCallId: id } });
  });
}

function foundIn(toolName: string, unverifiedArgs: unknown, context: MastraContext): FoundCall<MastraContext> {
  const { agent, runId: run, abortSignal: signal } = context;
  // Tools of the Vercel AI SDK get its context.
  const callId = agent?.toolCallId ?? (context as AgentContext).toolCallId;
  return { toolName, callId, run, session: agent?.threadId, unverifiedArgs, context, signal };
}

/** How a tool of Mastra's answers an input that its schema does not have. */
function isValidationError(result: unknown): boolean {
  return (
    typeof result === "object" &&
    result !== null &&
    "validationErrors" in result &&
    "error" in result &&
    result.error === true
  );
}
