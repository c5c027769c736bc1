/**
 * DataCrawl in the Claude Agent SDK: a hook that asks before each tool call, also of Claude Code's own tools and of subagents.
 * docs/integrations/claude-agent-sdk.md has the whole story.
 *
 * It is a `PreToolUse` hook and not `canUseTool`, which is not called for what `allowedTools` or a permission mode allows. A hook that throws, or whose
 * answer is not understood, lets the tool run: so the hook denies on every other path by itself, and `onFailure: "block"` stands behind it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Authorizer } from "../authorizer.ts";
import {
  checkGuardOptions,
  type FoundCall,
  type GuardOptions,
  markProbe,
  runJudged,
  ToolNotRunError,
} from "./judged-call.ts";
import { isGuarded, markGuarded, proveDenied, SELF_TEST_TOOL, type SelfTestProbe } from "./self-test.ts";

export { type GuardOptions, type ToolCall, ToolNotRunError } from "./judged-call.ts";
export type { SelfTestProbe } from "./self-test.ts";

/** The part of the SDK's `HookInput` that is used here. */
export interface HookInput {
  /** Such as `PreToolUse`. */
  readonly hook_event_name: string;
  /** The session; the same where it is resumed. */
  readonly session_id: string;
  /** Such as `Bash`, or `mcp__mail__send_email`. */
  readonly tool_name?: string;
  /** Its arguments. */
  readonly tool_input?: unknown;
  /** The model's id of the call. */
  readonly tool_use_id?: string;
  /** The subagent that makes the call. */
  readonly agent_id?: string;
}

/** What the hook answers. */
export interface HookOutput {
  /** Absent where the hook only listens. */
  readonly hookSpecificOutput?: PreToolUseOutput;
}

interface PreToolUseOutput {
  readonly hookEventName: "PreToolUse";
  readonly permissionDecision?: "deny";
  readonly permissionDecisionReason?: string;
  readonly updatedInput?: Record<string, unknown>;
}

/** The SDK's `HookCallbackMatcher`. */
export interface HookMatcher {
  /** The callbacks. */
  hooks: ((
    input: HookInput,
    toolUseId: string | undefined,
    options: { readonly signal: AbortSignal },
  ) => Promise<HookOutput>)[];
  /** Seconds. */
  timeout: number;
  /** What a failure of the hook itself does. */
  onFailure: "block";
}

/** For `options.hooks` of `query`. */
export type GuardHooks = Record<
  "PreToolUse" | "PostToolUse" | "PostToolUseFailure" | "Stop" | "SessionEnd",
  HookMatcher[]
>;

/**
 * Options of {@link guardHooks}. The default of `run` is the session's id. `timeoutMs` is 5,000 by default, whatever the client's: the hook's own
 * timeout follows from it and from `reviewTimeoutMs`.
 */
export type ClaudeAgentOptions = GuardOptions<HookInput>;

/** A call that the hook has allowed, until Claude Code says how it ended. */
interface Running {
  readonly sessionId: string;
  readonly input: unknown;
  readonly end: (error: Error | null) => void;
}

const stopped = new WeakMap<object, ToolNotRunError>();
/** What the hook's timeout has beyond the time that the hook takes at most. */
const MARGIN_MS = 30_000;

/**
 * Hooks for `query`: a tool runs only if its call is allowed, and once, on the judged copy of its input. Else the model reads why.
 *
 * @throws TypeError if an option is wrong
 * @example
 * for await (const message of query({ prompt, options: { hooks: guardHooks(dc), settingSources: [] } })) log(message);
 */
export function guardHooks(authorizer: Authorizer, options: ClaudeAgentOptions = {}): GuardHooks {
  checkGuardOptions(options, []);
  const { timeoutMs = 5000, reviewTimeoutMs = 60_000 } = options;
  const bounded = { ...options, timeoutMs, reviewTimeoutMs };
  // The verdict and the start, and a little for the hook itself: then it denies.
  const limitMs = 2 * timeoutMs + reviewTimeoutMs + MARGIN_MS / 6;
  const running = new Map<string, Running>();

  const preToolUse: HookMatcher["hooks"][number] = async (input, _, { signal }) => {
    const expiry = new AbortController();
    const settled = new AbortController();
    try {
      const late = sleep(limitMs, null, { signal: settled.signal, ref: false }).then(() => {
        expiry.abort();
        throw new Error("the hook's time is over");
      });
      const limited = AbortSignal.any([signal, expiry.signal]);
      return await Promise.race([decide(authorizer, bounded, running, input, limited), late]);
    } catch (error) {
      expiry.abort();
      return deny(error, input);
    } finally {
      settled.abort();
    }
  };

  const end: HookMatcher["hooks"][number] = async (input) => {
    const key = keyOf(input);
    const call = running.get(key);
    if (call === undefined) return {};
    running.delete(key);
    call.end(endOf(input, call));
    return {};
  };
  // Calls that another hook or Claude Code's permissions have stopped are heard of nowhere else.
  const endAll: HookMatcher["hooks"][number] = async ({ session_id }) => {
    for (const [key, call] of running) {
      if (call.sessionId !== session_id) continue;
      running.delete(key);
      call.end(new DOMException("Claude Code stopped before the tool ended", "AbortError"));
    }
    return {};
  };
  const matcher = (hook: HookMatcher["hooks"][number]): HookMatcher[] => {
    return [{ hooks: [hook], timeout: Math.ceil((limitMs + MARGIN_MS) / 1000), onFailure: "block" }];
  };
  return {
    PreToolUse: matcher(markGuarded(preToolUse)),
    PostToolUse: matcher(end),
    PostToolUseFailure: matcher(end),
    Stop: matcher(endAll),
    SessionEnd: matcher(endAll),
  };
}

/**
 * Proves at start that the guard is the only hook before tools run, and that it denies a tool that the policy denies.
 *
 * @param options what you pass to `query`. Hooks of settings files and plugins are not in it: `settingSources: []` loads none
 * @throws Error if there is no guard or another hook beside it, or if the service did not deny the tool
 */
export async function selfTest(
  options: { readonly hooks?: object | undefined },
  probe: SelfTestProbe = {},
): Promise<void> {
  const { toolName = SELF_TEST_TOOL, args = {} } = probe;
  const { PreToolUse = [] } = (options.hooks ?? {}) as { readonly PreToolUse?: readonly Partial<HookMatcher>[] };
  const hooks = PreToolUse.flatMap((one) => one.hooks ?? []);
  const [guard] = hooks.filter(isGuarded);
  if (guard === undefined) throw new Error("self-test: hooks.PreToolUse has no guard");
  if (hooks.length > 1)
    throw new Error(
      "self-test: hooks.PreToolUse has another hook: hooks run side by side, and it could change the input that was judged",
    );
  await proveDenied(toolName, async (ran) => {
    const named = { hook_event_name: "PreToolUse", session_id: "self-test", tool_use_id: crypto.randomUUID() };
    const input = markProbe({ ...named, tool_name: toolName, tool_input: args });
    const output = await guard(input, named.tool_use_id, { signal: new AbortController().signal });
    const error = stopped.get(output);
    if (error !== undefined) throw error;
    if (output.hookSpecificOutput?.permissionDecision !== "deny") ran();
  });
}

/** Judges a call, and answers when it was started: it is reported when Claude Code says how it ended. */
function decide(
  authorizer: Authorizer,
  options: ClaudeAgentOptions,
  running: Map<string, Running>,
  input: HookInput,
  signal: AbortSignal,
): Promise<HookOutput> {
  const { tool_name: toolName = "", tool_use_id: callId, session_id: run, tool_input: unverifiedArgs } = input;
  const found: FoundCall<HookInput> = { toolName, callId, run, unverifiedArgs, context: input, signal };
  return new Promise((resolve, reject) => {
    const ended = runJudged(authorizer, options, found, (judged) => {
      const end = new Promise<void>((succeed, fail) => {
        const call = {
          sessionId: run,
          input: judged,
          end: (error: Error | null) => (error === null ? succeed() : fail(error)),
        };
        running.set(keyOf(input), call);
      });
      resolve(goOn(judged as Record<string, unknown>));
      return end;
    });
    // After the answer it is Claude Code's business what the tool comes to.
    ended.catch(reject);
  });
}

/** No decision of the hook's own: Claude Code's permissions go on to decide, about the judged input. */
function goOn(updatedInput: Record<string, unknown>): HookOutput {
  return { hookSpecificOutput: { hookEventName: "PreToolUse", updatedInput } };
}

/** INVARIANT: whatever is not an allow ends here. */
function deny(error: unknown, { tool_name: toolName = "the tool" }: HookInput): HookOutput {
  const notRun = error instanceof ToolNotRunError ? error : new ToolNotRunError(toolName, error, undefined);
  const said = { permissionDecision: "deny", permissionDecisionReason: notRun.message } as const;
  const output: HookOutput = { hookSpecificOutput: { hookEventName: "PreToolUse", ...said } };
  stopped.set(output, notRun);
  return output;
}

/** Null if the tool did what was judged. */
function endOf({ hook_event_name: event, tool_input: input }: HookInput, call: Running): Error | null {
  if (event !== "PostToolUse") return Object.assign(new Error("the tool failed"), { code: "TOOL_ERROR" });
  if (isDeepStrictEqual(input, call.input)) return null;
  process.emitWarning("another hook has changed the input of a tool after it was judged", "DataCrawlWarning");
  return Object.assign(new Error("the input is another one"), { code: "INPUT_CHANGED" });
}

function keyOf({ session_id: sessionId, tool_use_id: callId }: HookInput): string {
  return JSON.stringify([sessionId, callId]);
}
