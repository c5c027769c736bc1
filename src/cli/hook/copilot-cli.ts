import { join } from "node:path";
import { parseEvent } from "./event.ts";
import { type Host, HookEventError, objectIn, textIn } from "./host.ts";
import { flatHooks } from "./settings.ts";

const NAME = "copilot-cli";

/** GitHub's Copilot CLI: its hooks reference, and what version 1.0.102 does (test/coding-agents). */
export const copilotCli: Host = {
  name: NAME,
  title: "Copilot CLI",
  grants: true,

  read(event) {
    // "PreToolUse", the other form of the event, gives several tools one name.
    if (event["hook_event_name"] !== undefined)
      throw new HookEventError('This hook answers "preToolUse", the event without hook_event_name.');
    const name = textIn(event, "toolName");
    if (!/^[A-Za-z0-9_.-]+$/.test(name))
      throw new HookEventError(`${JSON.stringify(name)} is no name of a tool in letters, digits, "_", "." and "-".`);
    const args = event["toolArgs"];
    return {
      // A tool of an MCP server is `<server>-<tool>`, which can be split in more than one way: the host says no more.
      tool: `${NAME}.${name}`,
      // Older versions write the arguments as a text.
      payload: typeof args === "string" ? parseEvent(args) : objectIn(event, "toolArgs"),
      sessionId: textIn(event, "sessionId"),
      callId: null,
    };
  },

  allow({ payload }, grants) {
    // The judged arguments. Hooks run one after the other, and one that runs later can still change them.
    return grants ? { permissionDecision: "allow", modifiedArgs: payload } : { modifiedArgs: payload };
  },

  deny: (reason) => ({ permissionDecision: "deny", permissionDecisionReason: reason }),

  event: (tool, sessionId) => ({ sessionId, timestamp: 0, cwd: "/", toolName: tool, toolArgs: {} }),

  settings: {
    files: {
      user: (home, _, env) => join(env["COPILOT_HOME"] || join(home, ".copilot"), "hooks/datacrawl.json"),
      project: (_, cwd) => join(cwd, ".github/hooks/datacrawl.json"),
    },
    otherwise: "exit 2",
    ...flatHooks(NAME, "preToolUse", (command, timeoutMs) => ({
      type: "command",
      bash: command,
      timeoutSec: Math.ceil(timeoutMs / 1000),
    })),
    problem: ({ disableAllHooks }) =>
      disableAllHooks === true ? '"disableAllHooks" turns off every hook of this file: remove it' : null,
  },
};
