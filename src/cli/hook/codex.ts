import { join } from "node:path";
import { type Host, readToolUse, textIn, TOOL_USE, toolUseDenied, toolUseEvent } from "./host.ts";
import { groupedHooks, SPOKEN_BLOCK } from "./settings.ts";

const NAME = "codex";

/** Codex CLI: the schemas of its hooks, and what version 0.171.0 does (test/coding-agents). Its events are those of Claude Code. */
export const codex: Host = {
  name: NAME,
  title: "Codex CLI",
  grants: false,

  read(event) {
    const call = readToolUse(NAME, event);
    if (event["tool_name"] !== "Bash") return call;
    // The event's directory is where the command runs, which the model chooses with each call. The tool's input leaves it out.
    return { ...call, payload: { ...call.payload, workdir: textIn(event, "cwd") } };
  },

  // It takes an input back only together with a permission.
  allow: () => null,
  deny: toolUseDenied,
  event: toolUseEvent,
  settings: {
    files: {
      user: (home, _, env) => join(env["CODEX_HOME"] || join(home, ".codex"), "hooks.json"),
      project: (_, cwd) => join(cwd, ".codex/hooks.json"),
    },
    otherwise: SPOKEN_BLOCK,
    ...groupedHooks(NAME, TOOL_USE, (command, timeoutMs) => ({
      type: "command",
      command,
      timeout: Math.ceil(timeoutMs / 1000),
    })),
    problem: () => null,
  },
};
