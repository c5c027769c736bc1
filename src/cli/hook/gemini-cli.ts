import { join } from "node:path";
import type { JsonObject } from "../../core/json.ts";
import { type Host, HookEventError, mcpToolName, objectIn, textIn, toolName } from "./host.ts";
import { groupedHooks, SPOKEN_BLOCK } from "./settings.ts";

const NAME = "gemini-cli";
const EVENT = "BeforeTool";

/** Gemini CLI: its hooks reference, and what version 0.61.0 does (test/coding-agents). */
export const geminiCli: Host = {
  name: NAME,
  title: "Gemini CLI",
  grants: false,

  read(event) {
    const kind = textIn(event, "hook_event_name");
    if (kind !== EVENT) throw new HookEventError(`This hook answers ${EVENT} alone, and was called for ${kind}.`);
    return {
      tool: nameOf(event),
      payload: objectIn(event, "tool_input"),
      sessionId: textIn(event, "session_id"),
      callId: null,
    };
  },

  // What it takes back is merged into the arguments, and told to the model as a change.
  allow: () => null,
  deny: (reason) => ({ decision: "deny", reason }),

  event: (tool, sessionId) => ({ hook_event_name: EVENT, session_id: sessionId, tool_name: tool, tool_input: {} }),

  settings: {
    files: {
      user: (home) => join(home, ".gemini/settings.json"),
      project: (_, cwd) => join(cwd, ".gemini/settings.json"),
    },
    otherwise: SPOKEN_BLOCK,
    ...groupedHooks(NAME, EVENT, (command, timeoutMs) => ({ type: "command", command, timeout: timeoutMs })),
    problem: ({ hooksConfig }) =>
      typeof hooksConfig === "object" && (hooksConfig as JsonObject | null)?.["enabled"] === false
        ? '"hooksConfig.enabled" turns off every hook: remove it'
        : null,
  },
};

/** `mcp_<server>_<tool>` can be split in more than one way: what it means stands beside it. */
function nameOf(event: JsonObject): string {
  const name = textIn(event, "tool_name");
  if (event["mcp_context"] !== undefined) {
    const context = objectIn(event, "mcp_context");
    return mcpToolName(textIn(context, "server_name"), textIn(context, "tool_name"));
  }
  if (name.startsWith("mcp_"))
    throw new HookEventError(`The host does not say which MCP server has ${JSON.stringify(name)}.`);
  return toolName(NAME, name);
}
