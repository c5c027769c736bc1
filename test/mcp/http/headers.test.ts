import { describe, expect, test } from "vitest";
import { headerProblem } from "../../../src/mcp/http/headers.ts";
import { type ClientMessage, readFrame } from "../../../src/mcp/message.ts";

function message(method: string, params: object, version?: string, id: number | undefined = 1): ClientMessage {
  const meta = version === undefined ? {} : { _meta: { "io.modelcontextprotocol/protocolVersion": version } };
  const text = JSON.stringify({ jsonrpc: "2.0", id, method, params: { ...params, ...meta } });
  return readFrame(text, { batches: false, passMethods: new Set() }).messages[0] as ClientMessage;
}

const NEW = "2026-07-28";
const CALL = message("tools/call", { name: "send", arguments: { region: "us", deep: { n: 42, yes: true } } }, NEW);
const HEADERS = { "mcp-protocol-version": NEW, "mcp-method": "tools/call", "mcp-name": "send" };

/** As Node gives them: a list for each. */
const lists = (headers: Record<string, string | string[]>) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value].flat()]));

describe("headers that agree with the body pass", () => {
  test.each<[string, Record<string, string>, ClientMessage]>([
    ["all of a call", HEADERS, CALL],
    ["a name in Base64", { ...HEADERS, "mcp-name": "=?base64?c2VuZA==?=" }, CALL],
    ["an argument", { ...HEADERS, "mcp-param-region": "us", "mcp-param-n": "42.0", "mcp-param-yes": "true" }, CALL],
    ["an argument in Base64", { ...HEADERS, "mcp-param-region": "=?base64?dXM=?=" }, CALL],
    ["none, before 2026-07-28", { "mcp-protocol-version": "2025-11-25" }, message("tools/call", { name: "send" })],
    ["none at all", {}, message("tools/call", { name: "send" })],
    [
      "a resource",
      { ...HEADERS, "mcp-method": "resources/read", "mcp-name": "file:///a" },
      message("resources/read", { uri: "file:///a" }, NEW),
    ],
    [
      "a task",
      { ...HEADERS, "mcp-method": "tasks/get", "mcp-name": "t1" },
      message("tasks/get", { taskId: "t1" }, NEW),
    ],
    ["a list", { "mcp-protocol-version": NEW, "mcp-method": "tools/list" }, message("tools/list", {}, NEW)],
  ])("%s", (_, headers, body) => {
    expect(headerProblem(lists(headers), body)).toBeNull();
  });
});

describe("headers that contradict the body are a problem", () => {
  const { "mcp-method": _, ...withoutMethod } = HEADERS;
  const { "mcp-name": __, ...withoutName } = HEADERS;
  const { "mcp-protocol-version": ___, ...withoutVersion } = HEADERS;
  test.each<[string, Record<string, string | string[]>, ClientMessage | null]>([
    ["another method", { ...HEADERS, "mcp-method": "ping" }, CALL],
    ["a method in another case", { ...HEADERS, "mcp-method": "Tools/call" }, CALL],
    ["a call's, before another method", HEADERS, message("prompts/get", { name: "send" }, NEW)],
    ["another tool", { ...HEADERS, "mcp-name": "read" }, CALL],
    [
      "another tool, before 2026-07-28",
      { "mcp-method": "tools/call", "mcp-name": "read" },
      message("tools/call", { name: "send" }),
    ],
    ["another tool in Base64", { ...HEADERS, "mcp-name": "=?base64?cmVhZA==?=" }, CALL],
    ["broken Base64", { ...HEADERS, "mcp-name": "=?base64?c2VuZA?=" }, CALL],
    [
      "a name that is not ASCII",
      { ...HEADERS, "mcp-name": "s\u00ebnd" },
      message("tools/call", { name: "s\u00ebnd" }, NEW),
    ],
    ["a name of what has none", { ...HEADERS, "mcp-method": "tools/list" }, message("tools/list", {}, NEW)],
    [
      "broken Base64 for what has no name",
      { ...HEADERS, "mcp-method": "tools/list", "mcp-name": "=?base64?c?=" },
      message("tools/list", {}, NEW),
    ],
    ["a name without a method", withoutMethod, message("tools/list", {})],
    ["no method", withoutMethod, CALL],
    ["no name", withoutName, CALL],
    ["no version", withoutVersion, CALL],
    ["another version", { ...HEADERS, "mcp-protocol-version": "2025-11-25" }, CALL],
    ["two methods", { ...HEADERS, "mcp-method": ["tools/call", "ping"] }, CALL],
    ["two names", { ...HEADERS, "mcp-name": ["send", "send"] }, CALL],
    ["an argument's value that no argument has", { ...HEADERS, "mcp-param-region": "eu" }, CALL],
    ["an argument's value twice", { ...HEADERS, "mcp-param-region": ["us", "us"] }, CALL],
    ["a method for a batch", { "mcp-method": "tools/call" }, null],
  ])("%s", (_name, headers, body) => {
    expect(headerProblem(lists(headers), body)).toMatch(/^The header /);
  });
});
