import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { claudeCode } from "../../../src/cli/hook/claude-code.ts";
import { parseEvent } from "../../../src/cli/hook/event.ts";
import { HookEventError, toolName } from "../../../src/cli/hook/host.ts";
import type { JsonObject } from "../../../src/core/json.ts";

/** As Claude Code 2.1.332 sends it. */
const EVENT: JsonObject = {
  session_id: "dd3f72ad-7972-4f5e-a5df-477533be13ac",
  transcript_path: "/home/ann/.claude/projects/-work/dd3f72ad.jsonl",
  cwd: "/work",
  prompt_id: "4eb426b0-bbf7-409f-8652-2dc074504762",
  permission_mode: "default",
  effort: { level: "medium" },
  hook_event_name: "PreToolUse",
  tool_name: "Bash",
  tool_input: { command: "ls", description: "List files" },
  tool_use_id: "toolu_01",
};

describe("an event of Claude Code", () => {
  test("is a call of the tool with its input, in the host's session and under the host's id", () => {
    expect(claudeCode.read(EVENT)).toEqual({
      tool: "claude-code.Bash",
      payload: { command: "ls", description: "List files" },
      sessionId: "dd3f72ad-7972-4f5e-a5df-477533be13ac",
      callId: "toolu_01",
    });
  });

  test("of an older version has no id of the call", () => {
    const { tool_use_id: _, ...older } = EVENT;
    expect(claudeCode.read(older).callId).toBeNull();
  });

  test.each<[string, JsonObject]>([
    ["of another kind", { hook_event_name: "PostToolUse" }],
    ["without a kind", { hook_event_name: null }],
    ["without a tool", { tool_name: "" }],
    ["whose tool is no text", { tool_name: ["Bash"] }],
    ["whose input is a list", { tool_input: [] }],
    ["whose input is null", { tool_input: null }],
    ["without a session", { session_id: 1 }],
    ["whose call's id is no text", { tool_use_id: null }],
  ])("%s is refused", (_, changes) => {
    expect(() => claudeCode.read({ ...EVENT, ...changes })).toThrow(HookEventError);
  });

  test("gets the judged input back with an allow, and the permission only if that was asked for", () => {
    const call = claudeCode.read(EVENT);
    const output = { hookEventName: "PreToolUse", updatedInput: EVENT["tool_input"] };
    expect(claudeCode.allow(call, false)).toEqual({ hookSpecificOutput: output });
    expect(claudeCode.allow(call, true)).toEqual({ hookSpecificOutput: { ...output, permissionDecision: "allow" } });
  });
});

describe("the name of a tool in rules", () => {
  test("is the host's and the tool's, and of an MCP tool its server's and its own", () => {
    expect(toolName("claude-code", "Bash")).toBe("claude-code.Bash");
    expect(toolName("claude-code", "mcp__gmail__send_email")).toBe("gmail.send_email");
    expect(toolName("claude-code", "mcp__a__b__c")).toBe("a.b__c");
    expect(toolName("claude-code", "mcp__git-hub_1__x")).toBe("git-hub_1.x");
  });

  test.each(["mcp__", "mcp__a", "mcp____b", "mcp__a__", "mcp__a.b__c", "mcp__a b__c", "mcp__a__b c", "mcp__é__b"])(
    "is refused where an MCP server could pass for another one: %s",
    (name) => {
      expect(() => toolName("claude-code", name)).toThrow(HookEventError);
    },
  );

  test("is refused for an MCP server that is called as a host", () => {
    expect(() => toolName("claude-code", "mcp__claude-code__Bash")).toThrow("has a host's name");
  });

  test("of an MCP tool is never that of a built-in tool, whatever servers and tools are called", () => {
    const part = fc.string({ unit: fc.constantFrom("a", "-", "_", ".", "claude-code", "Bash"), maxLength: 5 });
    fc.assert(
      fc.property(part, part, (server, tool) => {
        let name: string;
        try {
          name = toolName("claude-code", `mcp__${server}__${tool}`);
        } catch {
          return;
        }
        expect(name.startsWith("claude-code.")).toBe(false);
      }),
    );
  });
});

describe("the host's JSON", () => {
  test.each([
    ["is empty", ""],
    ["is no JSON", "PreToolUse"],
    ["is a list", "[]"],
    ["is null", "null"],
    ["is cut short", '{"tool_name":"Bash"'],
    ["goes on", "{} {}"],
    ["names a member twice", '{"tool_input":{"command":"ls","command":"rm -rf /"}}'],
    ["has a number that a double rounds", '{"tool_input":{"id":9007199254740993}}'],
    ["is nested too deeply", `${'{"a":'.repeat(100)}1${"}".repeat(100)}`],
  ])("is refused if it %s", (_, text) => {
    expect(() => parseEvent(text)).toThrow(HookEventError);
  });

  test("is read as every other reader reads it", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue({ noUnicodeString: false }), { noNullPrototype: true }),
        (value) => {
          const text = JSON.stringify(value);
          let read: unknown;
          try {
            read = parseEvent(text);
          } catch {
            // Stricter than others in numbers and depth.
            return;
          }
          expect(JSON.stringify(read)).toBe(text);
        },
      ),
    );
  });
});
