import { join } from "node:path";
import { type Host, HookEventError, objectIn, textIn, toolName } from "./host.ts";
import { groupedHooks } from "./settings.ts";

const NAME = "claude-code";
const EVENT = "PreToolUse";

/** Claude Code: https://code.claude.com/docs/en/hooks */
export const claudeCode: Host = {
  name: NAME,
  title: "Claude Code",

  read(event) {
    const kind = textIn(event, "hook_event_name");
    if (kind !== EVENT) throw new HookEventError(`This hook answers ${EVENT} alone, and was called for ${kind}.`);
    return {
      tool: toolName(NAME, textIn(event, "tool_name")),
      payload: objectIn(event, "tool_input"),
      sessionId: textIn(event, "session_id"),
      callId: event["tool_use_id"] === undefined ? null : textIn(event, "tool_use_id"),
    };
  },

  allow({ payload }, grants) {
    // The judged arguments, in case another hook has changed them meanwhile; the one that ends last is obeyed.
    const output = { hookEventName: EVENT, updatedInput: payload };
    return { hookSpecificOutput: grants ? { ...output, permissionDecision: "allow" } : output };
  },

  deny: (reason) => ({
    hookSpecificOutput: { hookEventName: EVENT, permissionDecision: "deny", permissionDecisionReason: reason },
  }),

  event: (tool, sessionId, callId) => ({
    hook_event_name: EVENT,
    session_id: sessionId,
    tool_name: tool,
    tool_input: {},
    tool_use_id: callId,
  }),

  settings: {
    files: {
      user: (home, _, env) => join(env["CLAUDE_CONFIG_DIR"] || join(home, ".claude"), "settings.json"),
      project: (_, cwd) => join(cwd, ".claude/settings.json"),
      local: (_, cwd) => join(cwd, ".claude/settings.local.json"),
    },
    ...groupedHooks(NAME, EVENT, (command, timeoutMs) => ({
      type: "command",
      command,
      timeout: Math.ceil(timeoutMs / 1000),
      // Versions before 2.1.295 ignore it.
      onFailure: "block",
    })),
    problem: ({ disableAllHooks }) =>
      disableAllHooks === true ? '"disableAllHooks" turns off every hook: remove it' : null,
  },
};
