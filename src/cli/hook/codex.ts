import { join } from "node:path";
import { type Host, readToolUse, toolUseEvent, TOOL_USE, toolUseDenied } from "./host.ts";
import { groupedHooks } from "./settings.ts";

const NAME = "codex";

/** Codex CLI: the schemas of its hooks in @openai/codex 0.171.0. Its events are those of Claude Code. */
export const codex: Host = {
  name: NAME,
  title: "Codex CLI",
  grants: false,
  read: (event) => readToolUse(NAME, event),
  // It takes an input back only together with a permission.
  allow: () => null,
  deny: toolUseDenied,
  event: toolUseEvent,
  settings: {
    files: {
      user: (home, _, env) => join(env["CODEX_HOME"] || join(home, ".codex"), "hooks.json"),
      project: (_, cwd) => join(cwd, ".codex/hooks.json"),
    },
    otherwise: "exit 2",
    ...groupedHooks(NAME, TOOL_USE, (command, timeoutMs) => ({
      type: "command",
      command,
      timeout: Math.ceil(timeoutMs / 1000),
    })),
    problem: () => null,
  },
};
