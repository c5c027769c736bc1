import { describe, expect, test } from "vitest";
import { codex } from "../../../src/cli/hook/codex.ts";
import { geminiCli } from "../../../src/cli/hook/gemini-cli.ts";
import { HookEventError } from "../../../src/cli/hook/host.ts";
import type { JsonObject } from "../../../src/core/json.ts";
import { cli } from "../../support/cli.ts";
import { tempDir } from "../../support/service.ts";

/** By the schema in Codex CLI 0.171.0. */
const CODEX: JsonObject = {
  session_id: "0199a213",
  turn_id: "1",
  transcript_path: null,
  cwd: "/work",
  hook_event_name: "PreToolUse",
  model: "gpt",
  permission_mode: "default",
  tool_name: "Bash",
  tool_input: { command: "ls" },
  tool_use_id: "call_1",
};

/** By the reference in Gemini CLI 0.61.0. */
const GEMINI: JsonObject = {
  session_id: "5f2c",
  transcript_path: "/home/ann/.gemini/tmp/chat.json",
  cwd: "/work",
  hook_event_name: "BeforeTool",
  timestamp: "2026-11-29T02:00:00.000Z",
  tool_name: "run_shell_command",
  tool_input: { command: "ls" },
};

describe("an event of Codex", () => {
  test("is a call in the host's session and under the host's id", () => {
    expect(codex.read(CODEX)).toEqual({
      tool: "codex.Bash",
      payload: { command: "ls" },
      sessionId: "0199a213",
      callId: "call_1",
    });
    expect(codex.read({ ...CODEX, tool_name: "mcp__gmail__send_email" }).tool).toBe("gmail.send_email");
  });

  test.each<[string, JsonObject]>([
    ["of another kind", { hook_event_name: "PermissionRequest" }],
    ["whose input is no object", { tool_input: "ls" }],
    ["of a server with a host's name", { tool_name: "mcp__codex__Bash" }],
  ])("%s is refused", (_, changes) => {
    expect(() => codex.read({ ...CODEX, ...changes })).toThrow(HookEventError);
  });

  test("is answered by a deny in the host's form, and by nothing for an allow", () => {
    expect(codex.deny("no")).toEqual({
      hookSpecificOutput: { hookEventName: "PreToolUse", permissionDecision: "deny", permissionDecisionReason: "no" },
    });
    expect(codex.allow(codex.read(CODEX), false)).toBeNull();
  });
});

describe("an event of Gemini CLI", () => {
  test("is a call in the host's session, which has no id", () => {
    expect(geminiCli.read(GEMINI)).toEqual({
      tool: "gemini-cli.run_shell_command",
      payload: { command: "ls" },
      sessionId: "5f2c",
      callId: null,
    });
  });

  test("of an MCP server is named by what stands beside its name", () => {
    const context = { server_name: "gmail", tool_name: "send_email", command: "npx" };
    const event = { ...GEMINI, tool_name: "mcp_gmail_send_email", mcp_context: context };
    expect(geminiCli.read(event).tool).toBe("gmail.send_email");
  });

  test.each<[string, JsonObject]>([
    ["of another kind", { hook_event_name: "AfterTool" }],
    ["of an MCP server that is not named", { tool_name: "mcp_gmail_send_email" }],
    ["of a server with a host's name", { mcp_context: { server_name: "gemini-cli", tool_name: "read_file" } }],
    ["of a server whose name could be another one's", { mcp_context: { server_name: "a.b", tool_name: "c" } }],
    ["whose MCP server is no object", { mcp_context: "gmail" }],
    ["without arguments", { tool_input: null }],
  ])("%s is refused", (_, changes) => {
    expect(() => geminiCli.read({ ...GEMINI, ...changes })).toThrow(HookEventError);
  });

  test("is answered by a deny in the host's form, and by nothing for an allow", () => {
    expect(geminiCli.deny("no")).toEqual({ decision: "deny", reason: "no" });
    expect(geminiCli.allow(geminiCli.read(GEMINI), false)).toBeNull();
  });
});

describe("the installed hook", () => {
  test("of Codex is in hooks.json, with its time-out in seconds", async () => {
    const { stdout } = await cli(["hook", "install", "codex", "--json"], { HOME: tempDir(), CODEX_HOME: "" });
    const { path, diff } = JSON.parse(stdout) as { path: string; diff: string };
    expect(path).toMatch(/\/\.codex\/hooks\.json$/);
    expect(diff).toMatch(/hook codex .* \|\| exit 2",\n.*"timeout": 80$/m);
  });

  test("of Gemini CLI speaks for a command that says nothing, and has its time-out in milliseconds", async () => {
    const { stdout } = await cli(["hook", "install", "gemini-cli", "--json"], { HOME: tempDir() });
    const { path, diff } = JSON.parse(stdout) as { path: string; diff: string };
    expect(path).toMatch(/\/\.gemini\/settings\.json$/);
    expect(diff).toMatch(/hook gemini-cli .* \|\| \{ echo 'DataCrawl: .*' >&2; exit 2; \}",\n.*"timeout": 80000$/m);
    expect(diff).toContain('"BeforeTool"');
  });

  test.each(["codex", "gemini-cli"])("of %s grants no permission", async (host) => {
    const args = ["hook", "install", host, "--grant-permission"];
    const { status, stderr } = await cli(args, { HOME: tempDir() });
    expect([status, stderr]).toEqual([1, expect.stringContaining("cannot grant permissions")]);
    expect((await cli(["hook", host, "--grant-permission"])).status).toBe(64);
  });
});
