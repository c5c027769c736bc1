import type { AgentState, AuthenticatedAgent } from "../authn/directory.ts";
import { Fault } from "../core/fault.ts";
import { checkName } from "../core/request.ts";
import type { Redaction } from "../policy/redaction.ts";
import type { Call } from "./call.ts";
import { type FramePorts, frameUnary } from "./frame.ts";

/** A ListCallableToolsRequest as decoded. */
export interface UnverifiedCallableTools {
  readonly tools: readonly string[];
}

/** What the caller of ListCallableTools gets. */
export interface CallableToolsAnswer {
  readonly agentId: string;
  readonly policyVersion: string;
  /** Of the tools asked about, in their order and each once, those that are not denied in any case. */
  readonly tools: readonly string[];
}

/** Rejects only with a Fault. */
export type CallableToolsHandler = (call: Call<UnverifiedCallableTools>) => Promise<CallableToolsAnswer>;

export interface CallableToolsPorts extends FramePorts {
  readonly agents: FramePorts["agents"] & {
    /** @throws Fault STORE_UNAVAILABLE */
    confirmedStateOf(agentId: string): Promise<AgentState>;
  };
  /** @throws Fault RATE_LIMITED or SHUTTING_DOWN */
  readonly admit: (agentId: string) => void;
  readonly policy: () => {
    readonly version: string;
    readonly redaction: Redaction;
    isCallable(subject: { readonly agentId: string; readonly tool: string }): boolean;
  };
}

/** Of one question. */
const MAX_TOOLS = 1000;

/** ListCallableTools: `authenticate → parse → answer`. It decides nothing, so that nothing is recorded. */
export function createCallableTools(ports: CallableToolsPorts): CallableToolsHandler {
  return frameUnary(ports, { method: "ListCallableTools", admit: ports.admit, handle: list });

  async function list(call: Call<UnverifiedCallableTools>, agent: AuthenticatedAgent): Promise<CallableToolsAnswer> {
    const asked = checkCallableTools(call.readBody());
    const { agentId } = agent;
    const isActive = (await ports.agents.confirmedStateOf(agentId)) === "active";
    const policy = ports.policy();
    const tools = isActive ? asked.filter((tool) => policy.isCallable({ agentId, tool })) : [];
    return { agentId, policyVersion: policy.version, tools };
  }
}

/** The tools asked about, each once. @throws Fault FIELD_INVALID */
export function checkCallableTools({ tools }: UnverifiedCallableTools): readonly string[] {
  if (tools.length > MAX_TOOLS)
    throw new Fault("FIELD_INVALID", `tools must be at most ${MAX_TOOLS} names, is ${tools.length}.`, {
      field: "tools",
    });
  for (const tool of tools) checkName("tools", tool);
  return [...new Set(tools)];
}
