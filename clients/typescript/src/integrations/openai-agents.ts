/**
 * DataCrawl in the OpenAI Agents SDK: each function tool asks before it runs. docs/integrations/openai-agents.md has the whole story.
 *
 * The adapter wraps `invoke`, the last step before the tool. Guardrails and `needsApproval` come earlier and fail open: a guardrail that returns `{}`
 * or an unknown behavior lets the tool run, and so does an approval function that returns nothing.
 */
import type { Authorizer } from "../authorizer.ts";
import {
  checkGuardOptions,
  FailedResult,
  type FoundCall,
  type GuardOptions,
  probeOptions,
  runJudged,
  ToolNotRunError,
} from "./judged-call.ts";
import { isGuarded, markGuarded, proveDenied, SELF_TEST_TOOL, type SelfTestProbe } from "./self-test.ts";

export { type GuardOptions, type ToolCall, ToolNotRunError } from "./judged-call.ts";
export type { SelfTestProbe } from "./self-test.ts";

/** What the SDK passes to a tool beside its input. */
export interface OpenAiContext {
  /** The SDK's `RunContext`, with the `context` of the run. */
  readonly runContext: RunContext;
  /** The SDK's `ToolCallDetails`; absent where somebody calls `invoke` without them. */
  readonly details?: Details | undefined;
}

interface RunContext {
  readonly context?: unknown;
}

interface Details {
  readonly toolCall?: { readonly callId: string } | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Options of {@link guardTools}. The SDK tells tools no id of the run. So `run` is a random id for the list of tools by default: the ids of calls are
 * the model's, and OpenAI's do not repeat.
 */
export interface OpenAiAgentsOptions extends GuardOptions<OpenAiContext> {
  /** Names of tools that the SDK or OpenAI runs, such as `web_search`. DataCrawl does not see their calls. */
  readonly unguarded?: readonly string[] | undefined;
}

type Invoke = (this: unknown, runContext: RunContext, input: string, details?: Details) => unknown;

interface FunctionTool {
  readonly type?: string;
  readonly name: string;
  readonly invoke?: Invoke;
  readonly outputSchema?: unknown;
}

/** How the SDK's own text of a tool's error begins, unless the tool has another `errorFunction`. Earlier versions add the error to it. */
const FAILED = "An error occurred while running the tool. Please try again.";

/**
 * The same tools; each runs only if its call is allowed, and once, on the judged copy of its arguments. Else the model reads why, as the tool's result.
 *
 * @throws TypeError if an option is wrong, or if a tool is no function tool and is not named in `unguarded`
 * @example
 * const agent = new Agent({ name: "Assistant", tools: guardTools(dc, [sendEmail, refund]) });
 */
export function guardTools<Tool extends { readonly name: string }>(
  authorizer: Authorizer,
  tools: readonly Tool[],
  options: OpenAiAgentsOptions = {},
): Tool[] {
  checkGuardOptions(options, ["unguarded"]);
  const run = crypto.randomUUID();
  return tools.map((tool) => {
    const { type, name, invoke, outputSchema } = tool as FunctionTool;
    if (type !== "function" || typeof invoke !== "function") {
      if (options.unguarded?.includes(name) === true) return tool;
      throw new TypeError(
        `the tool ${name} is not a function tool, so that its calls cannot be judged here: leave it out, or name it in "unguarded"`,
      );
    }
    const wrapped: Invoke = async (runContext, input, details) => {
      const { args, isJson } = parsed(input);
      const context = { runContext, details };
      const callId = details?.toolCall?.callId;
      const found: FoundCall<OpenAiContext> = {
        toolName: name,
        callId,
        run,
        unverifiedArgs: args,
        context,
        signal: details?.signal,
      };
      try {
        return await runJudged(authorizer, options, found, async (judged) => {
          const result = await invoke.call(tool, runContext, isJson ? JSON.stringify(judged) : input, details);
          if (typeof result === "string" && result.startsWith(FAILED)) throw new FailedResult(result);
          return result;
        });
      } catch (error) {
        // A text is no answer of a tool that promises a structure: its run ends.
        if (!(error instanceof ToolNotRunError) || outputSchema !== undefined) throw error;
        return error.message;
      }
    };
    // With the SDK's members that have symbols for names, or are getters.
    const members = {
      ...Object.getOwnPropertyDescriptors(tool),
      invoke: { value: markGuarded(wrapped), enumerable: true },
    };
    return Object.create(Object.getPrototypeOf(tool) as object, members) as Tool;
  });
}

/** The part of the SDK's `Agent` that the self-test looks at. */
export interface AgentToTest {
  /** Its name. */
  readonly name?: string;
  /** Its own tools. */
  readonly tools: readonly object[];
  /** Servers whose tools the SDK makes for each run. */
  readonly mcpServers?: readonly unknown[] | undefined;
  /** Agents, or the SDK's `Handoff` with its `agent`. */
  readonly handoffs?: readonly unknown[] | undefined;
}

/**
 * Proves at start that every tool of an agent, and of the agents that it hands over to, is guarded, and that a tool that the policy denies does not run.
 *
 * @param agent each agent has tools of its own: test also those that are tools (`asTool`)
 * @throws Error naming what is not guarded; or if the tool ran, or the service did not deny it
 */
export async function selfTest(
  authorizer: Authorizer,
  agent: AgentToTest,
  options: OpenAiAgentsOptions & { readonly probe?: SelfTestProbe | undefined } = {},
): Promise<void> {
  const { probe = {} } = options;
  const { toolName = SELF_TEST_TOOL, args = {} } = probe;
  checkAgent(agent, options.unguarded ?? [], new Set());
  await proveDenied(toolName, async (ran) => {
    // With a schema of its output the guard rejects, and the reason is seen.
    const bareProbe = { type: "function", name: toolName, outputSchema: {}, invoke: ran };
    const [guardedProbe] = guardTools(authorizer, [bareProbe], probeOptions(options));
    const toolCall = { callId: `self-test-${crypto.randomUUID()}` };
    await (guardedProbe as unknown as { invoke: Invoke }).invoke({}, JSON.stringify(args), { toolCall });
  });
}

function checkAgent(agent: AgentToTest, unguarded: readonly string[], seen: Set<unknown>): void {
  if (seen.has(agent)) return;
  seen.add(agent);
  const refuse = (what: string): never => {
    throw new Error(`self-test: not guarded: ${what}${agent.name === undefined ? "" : ` (agent ${agent.name})`}`);
  };
  const bare = (agent.tools as readonly FunctionTool[]).filter(({ invoke, name }) =>
    invoke === undefined ? !unguarded.includes(name) : !isGuarded(invoke),
  );
  if (bare.length > 0) refuse(bare.map(({ name }) => name).join(", "));
  if ((agent.mcpServers ?? []).length > 0)
    refuse("the tools of mcpServers; pass them as tools, guarded (getAllMcpTools)");
  // Those of a SandboxAgent.
  const { capabilities } = agent as { readonly capabilities?: readonly unknown[] };
  if ((capabilities ?? []).length > 0 && !unguarded.includes("capabilities"))
    refuse('the tools of its sandbox; give it no capabilities, or name "capabilities" in "unguarded"');
  for (const handoff of agent.handoffs ?? []) {
    const { agent: target = handoff } = handoff as { readonly agent?: unknown };
    checkAgent(target as AgentToTest, unguarded, seen);
  }
}

/** A text that is not JSON is judged as it is, and refused by the tool. */
function parsed(input: string): { readonly args: unknown; readonly isJson: boolean } {
  try {
    return { args: input.trim() === "" ? {} : JSON.parse(input), isJson: true };
  } catch {
    return { args: input, isJson: false };
  }
}
