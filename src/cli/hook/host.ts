import type { JsonObject, JsonValue } from "../../core/json.ts";
import type { HostSettings } from "./settings.ts";

/** What a coding agent is about to do, as its host says it. */
export interface ToolCall {
  /** The tool as rules name it. */
  readonly tool: string;
  /** The tool's arguments, as the tool will get them. */
  readonly payload: JsonObject;
  readonly sessionId: string;
  /** The host's name of this call, under which a repetition is the same decision; null if it gives none. */
  readonly callId: string | null;
}

/** The contract between a coding agent and the commands that it runs before its tools. */
export interface Host {
  /** The name in `datacrawl hook NAME`. Built-in tools are called `NAME.TOOL` in rules. */
  readonly name: string;
  /** For people. */
  readonly title: string;
  /** Whether a hook can also grant what the host would ask its user about. */
  readonly grants: boolean;
  /** @throws HookEventError for an event that asks about no call, or about one that cannot be read with certainty */
  read(event: JsonObject): ToolCall;
  /**
   * What is printed for an allow.
   *
   * @param grants whether the hook also grants what the host would ask its user about
   */
  allow(call: ToolCall, grants: boolean): JsonObject | null;
  /** What is printed beside the blocking status. */
  deny(reason: string): JsonObject;
  /** An event as the host sends it, about a call without arguments. */
  event(tool: string, sessionId: string, callId: string): JsonObject;
  readonly settings: HostSettings;
}

/** Why a host's event cannot be judged, as a sentence. */
export class HookEventError extends Error {
  override readonly name = "HookEventError";
}

/** @throws HookEventError */
export function textIn(event: JsonObject, name: string): string {
  const value = event[name];
  if (typeof value === "string" && value !== "") return value;
  throw new HookEventError(`The host's event has no ${name}: ${excerpt(value)} is no text.`);
}

/** @throws HookEventError */
export function objectIn(event: JsonObject, name: string): JsonObject {
  const value = event[name];
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new HookEventError(`The host's event has no ${name}: ${excerpt(value)} is no JSON object.`);
}

function excerpt(value: JsonValue | undefined): string {
  return (JSON.stringify(value) ?? "undefined").slice(0, 100);
}

/** How hosts name the tools of MCP servers. Neither name may hold what would let it pass for another server's. */
const MCP_TOOL = /^mcp__([A-Za-z0-9_-]+?)__([A-Za-z0-9_.-]+)$/;

/**
 * The name in rules of a host's tool: `<host>.<tool>`, and for a tool of an MCP server `<server>.<tool>`, as the proxy for MCP calls it,
 * so that one rule holds for both.
 *
 * @throws HookEventError
 */
export function toolName(host: string, name: string): string {
  if (!name.startsWith("mcp__")) return `${host}.${name}`;
  const [, server, tool] = MCP_TOOL.exec(name) ?? [];
  if (server !== undefined && tool !== undefined) return mcpToolName(server, tool);
  throw new HookEventError(`${JSON.stringify(name)} is not mcp__<server>__<tool> in letters, digits, "_" and "-".`);
}

/** @throws HookEventError */
export function mcpToolName(server: string, tool: string): string {
  if (!/^[A-Za-z0-9_-]+$/.test(server) || !/^[A-Za-z0-9_.-]+$/.test(tool))
    throw new HookEventError(`${JSON.stringify(`${server}.${tool}`)} has more than letters, digits, "_" and "-".`);
  // A server of that name could pass its tools for the host's own.
  if (HOST_NAMES.includes(server))
    throw new HookEventError(`The MCP server ${server} has a host's name: give it another one.`);
  return `${server}.${tool}`;
}

export const HOST_NAMES: readonly string[] = ["claude-code", "codex", "copilot-cli", "gemini-cli"];

/** The event before a tool, of Claude Code and of hosts that took over its contract. */
export const TOOL_USE = "PreToolUse";

/** @throws HookEventError */
export function readToolUse(host: string, event: JsonObject): ToolCall {
  const kind = textIn(event, "hook_event_name");
  if (kind !== TOOL_USE) throw new HookEventError(`This hook answers ${TOOL_USE} alone, and was called for ${kind}.`);
  return {
    tool: toolName(host, textIn(event, "tool_name")),
    payload: objectIn(event, "tool_input"),
    sessionId: textIn(event, "session_id"),
    callId: event["tool_use_id"] === undefined ? null : textIn(event, "tool_use_id"),
  };
}

export function toolUseDenied(reason: string): JsonObject {
  return {
    hookSpecificOutput: { hookEventName: TOOL_USE, permissionDecision: "deny", permissionDecisionReason: reason },
  };
}

export function toolUseEvent(tool: string, sessionId: string, callId: string): JsonObject {
  return {
    hook_event_name: TOOL_USE,
    session_id: sessionId,
    tool_name: tool,
    tool_input: {},
    tool_use_id: callId,
  };
}
