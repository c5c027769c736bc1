import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { codex } from "../../../src/cli/hook/codex.ts";
import { copilotCli } from "../../../src/cli/hook/copilot-cli.ts";
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

/** By Copilot CLI 1.0.102. */
const COPILOT: JsonObject = {
  sessionId: "95c5c5b1",
  timestamp: 1_795_936_146_711,
  cwd: "/work",
  toolName: "bash",
  toolArgs: { command: "ls", description: "List" },
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
      payload: { command: "ls", workdir: "/work" },
      sessionId: "0199a213",
      callId: "call_1",
    });
    expect(codex.read({ ...CODEX, tool_name: "mcp__gmail__send_email" }).tool).toBe("gmail.send_email");
  });

  test("of the shell's tool says where the command runs, whatever its input says", () => {
    const elsewhere = { ...CODEX, cwd: "/etc", tool_input: { command: "ls", workdir: "/work" } };
    expect(codex.read(elsewhere).payload).toEqual({ command: "ls", workdir: "/etc" });
    expect(codex.read({ ...CODEX, tool_name: "view_image", tool_input: { path: "a" } }).payload).toEqual({ path: "a" });
  });

  test.each<[string, JsonObject]>([
    ["of another kind", { hook_event_name: "PermissionRequest" }],
    ["of a command that runs in no directory", { cwd: null }],
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

describe("an event of Copilot CLI", () => {
  const call = {
    tool: "copilot-cli.bash",
    payload: { command: "ls", description: "List" },
    sessionId: "95c5c5b1",
    callId: null,
  };

  test("is a call in the host's session, which has no id, also with arguments that are a text", () => {
    expect(copilotCli.read(COPILOT)).toEqual(call);
    expect(copilotCli.read({ ...COPILOT, toolArgs: '{"command":"ls","description":"List"}' })).toEqual(call);
  });

  test("of an MCP server keeps the host's name, which does not say where the server's ends", () => {
    expect(copilotCli.read({ ...COPILOT, toolName: "my-gmail-send_email" }).tool).toBe(
      "copilot-cli.my-gmail-send_email",
    );
  });

  test.each<[string, JsonObject]>([
    ["of the form that renames tools", { hook_event_name: "PreToolUse" }],
    ["with a name that rules could read differently", { toolName: "bash\u0000" }],
    ["without a name", { toolName: "" }],
    ["whose arguments are a text that is no JSON", { toolArgs: "ls" }],
    ["whose arguments are a text with a member twice", { toolArgs: '{"command":"ls","command":"rm"}' }],
    ["whose arguments are a list", { toolArgs: ["ls"] }],
    ["without arguments", { toolArgs: null }],
    ["without a session", { sessionId: 1 }],
  ])("%s is refused", (_, changes) => {
    expect(() => copilotCli.read({ ...COPILOT, ...changes })).toThrow(HookEventError);
  });

  test("is answered by a deny in the host's form, and by the judged arguments for an allow", () => {
    expect(copilotCli.deny("no")).toEqual({ permissionDecision: "deny", permissionDecisionReason: "no" });
    expect(copilotCli.allow(call, false)).toEqual({ modifiedArgs: call.payload });
    expect(copilotCli.allow(call, true)).toEqual({ permissionDecision: "allow", modifiedArgs: call.payload });
  });

  test("for the self-test is one that the hook can read", () => {
    expect(copilotCli.read(copilotCli.event("DataCrawlSelfTest", "s", "c")).tool).toBe("copilot-cli.DataCrawlSelfTest");
  });
});

describe("the installed hook", () => {
  test("of Codex is in hooks.json, with its time-out in seconds", async () => {
    const { stdout } = await cli(["hook", "install", "codex", "--json"], { HOME: tempDir(), CODEX_HOME: "" });
    const { path, diff } = JSON.parse(stdout) as { path: string; diff: string };
    expect(path).toMatch(/\/\.codex\/hooks\.json$/);
    expect(diff).toMatch(/hook codex .* \|\| \{ echo 'DataCrawl: .*' >&2; exit 2; \}",\n.*"timeout": 80$/m);
  });

  test("of Gemini CLI speaks for a command that says nothing, and has its time-out in milliseconds", async () => {
    const { stdout } = await cli(["hook", "install", "gemini-cli", "--json"], { HOME: tempDir() });
    const { path, diff } = JSON.parse(stdout) as { path: string; diff: string };
    expect(path).toMatch(/\/\.gemini\/settings\.json$/);
    expect(diff).toMatch(/hook gemini-cli .* \|\| \{ echo 'DataCrawl: .*' >&2; exit 2; \}",\n.*"timeout": 80000$/m);
    expect(diff).toContain('"BeforeTool"');
  });

  test("of Copilot CLI is in a file of its own, behind what others have there, and leaves no file", async () => {
    const home = tempDir();
    const install = ["hook", "install", "copilot-cli", "--yes", "--json"];
    const { stdout } = await cli(install, { HOME: home, COPILOT_HOME: "" });
    const { path, diff } = JSON.parse(stdout) as { path: string; diff: string };
    expect(path).toBe(join(home, ".copilot/hooks/datacrawl.json"));
    expect(diff).toMatch(/"bash": ".* hook copilot-cli .* \|\| exit 2",\n.*"timeoutSec": 80$/m);
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ version: 1, hooks: { preToolUse: [{}] } });
    await cli(["hook", "uninstall", "copilot-cli", "--yes"], { HOME: home });
    expect(existsSync(path)).toBe(false);

    const other = { type: "command", bash: "true" };
    writeFileSync(path, JSON.stringify({ version: 1, hooks: { preToolUse: [other], sessionStart: [other] } }));
    await cli(install, { HOME: home });
    await cli([...install, "--timeout", "9s"], { HOME: home });
    const ours = expect.objectContaining({ bash: expect.stringContaining("--timeout 9000ms") });
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({
      version: 1,
      hooks: { preToolUse: [other, ours], sessionStart: [other] },
    });
    await cli(["hook", "uninstall", "copilot-cli", "--yes"], { HOME: home });
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({
      version: 1,
      hooks: { preToolUse: [other], sessionStart: [other] },
    });
  });

  test("of Copilot CLI is not put where it would not run", async () => {
    const home = tempDir();
    mkdirSync(join(home, ".copilot/hooks"), { recursive: true });
    const file = join(home, ".copilot/hooks/datacrawl.json");
    const install = (): ReturnType<typeof cli> => cli(["hook", "install", "copilot-cli", "--yes"], { HOME: home });
    writeFileSync(file, '{"version":1,"disableAllHooks":true}');
    expect(await install()).toMatchObject({ status: 1, stderr: expect.stringContaining("disableAllHooks") });
    writeFileSync(file, '{"version":1,"hooks":{"preToolUse":{}}}');
    expect(await install()).toMatchObject({ status: 1, stderr: expect.stringContaining("correct it first") });
  });

  test.each(["codex", "gemini-cli"])("of %s grants no permission", async (host) => {
    const args = ["hook", "install", host, "--grant-permission"];
    const { status, stderr } = await cli(args, { HOME: tempDir() });
    expect([status, stderr]).toEqual([1, expect.stringContaining("cannot grant permissions")]);
    expect((await cli(["hook", host, "--grant-permission"])).status).toBe(64);
  });
});
