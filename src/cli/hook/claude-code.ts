import { join } from "node:path";
import { type Host, readToolUse, TOOL_USE, toolUseDenied, toolUseEvent } from "./host.ts";
import { groupedHooks } from "./settings.ts";

const NAME = "claude-code";

/** Claude Code: https://code.claude.com/docs/en/hooks, and what version 2.1.332 does (test/coding-agents). */
export const claudeCode: Host = {
  name: NAME,
  title: "Claude Code",
  grants: true,
  read: (event) => readToolUse(NAME, event),

  allow({ payload }, grants) {
    // The judged arguments, in case another hook has changed them meanwhile; the one that ends last is obeyed.
    const output = { hookEventName: TOOL_USE, updatedInput: payload };
    return { hookSpecificOutput: grants ? { ...output, permissionDecision: "allow" } : output };
  },

  deny: toolUseDenied,
  event: toolUseEvent,

  settings: {
    files: {
      user: (home, _, env) => join(env["CLAUDE_CONFIG_DIR"] || join(home, ".claude"), "settings.json"),
      project: (_, cwd) => join(cwd, ".claude/settings.json"),
      local: (_, cwd) => join(cwd, ".claude/settings.local.json"),
    },
    otherwise: "exit 2",
    ...groupedHooks(NAME, TOOL_USE, (command, timeoutMs) => ({
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
