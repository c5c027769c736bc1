import { describe, expect, test } from "vitest";
import type { JsonObject } from "../../src/core/json.ts";
import { Ends, endOf } from "../../src/mcp/ends.ts";
import { looselyRead } from "../../src/mcp/message.ts";
import type { End } from "../../src/mcp/runs.ts";
import { type EndsSeen, runInto } from "./support/ends.ts";

describe("how a call ended", () => {
  test.each<[string, JsonObject, End]>([
    ["a result", { result: { content: [] } }, { outcome: "succeeded" }],
    ["a result with isError", { result: { isError: true } }, { outcome: "failed", errorCode: "TOOL_ERROR" }],
    ["a result without an error", { result: { isError: false } }, { outcome: "succeeded" }],
    ["an error", { error: { code: -32603 } }, { outcome: "failed", errorCode: "JSON_RPC_-32603" }],
    ["an error without a code", { error: "no" }, { outcome: "failed", errorCode: "JSON_RPC" }],
    ["an error whose code is text", { error: { code: "\n" } }, { outcome: "failed", errorCode: "JSON_RPC" }],
    ["an error beside a result", { result: {}, error: { code: 1 } }, { outcome: "failed", errorCode: "JSON_RPC_1" }],
    ["no result", {}, { outcome: "unknown", errorCode: "MALFORMED_ANSWER" }],
    ["a result that is a list", { result: [] }, { outcome: "unknown", errorCode: "MALFORMED_ANSWER" }],
    [
      "a round that asks for input",
      { result: { resultType: "input_required" } },
      { outcome: "succeeded", summary: "The tool asks for input." },
    ],
  ])("is read from %s", (_, answer, end) => {
    expect(endOf(answer)).toEqual(end);
  });
});

describe("a call that became a task", () => {
  const SUCCEEDED: EndsSeen = [["send", { outcome: "succeeded" }]];
  const FAILED: EndsSeen = [["send", { outcome: "failed", errorCode: "TASK_FAILED" }]];

  function taskOf(answer: JsonObject) {
    const seen: EndsSeen = [];
    const ends = new Ends();
    ends.answered(runInto(seen, "send"), answer);
    return { ends, seen };
  }

  test.each<[string, JsonObject, EndsSeen]>([
    [
      "a notification",
      { method: "notifications/tasks/status", params: { taskId: "t", status: "completed" } },
      SUCCEEDED,
    ],
    ["an answer about it", { id: 2, result: { taskId: "t", status: "failed" } }, FAILED],
    [
      "its cancellation",
      { id: 2, result: { taskId: "t", status: "cancelled" } },
      [["send", { outcome: "unknown", errorCode: "CANCELLED" }]],
    ],
    [
      "what its call came to",
      { id: 2, result: { isError: true, _meta: { "io.modelcontextprotocol/related-task": { taskId: "t" } } } },
      [["send", { outcome: "failed", errorCode: "TOOL_ERROR" }]],
    ],
    [
      "its state, with what its call came to",
      { id: 2, result: { taskId: "t", status: "completed", result: { isError: true } } },
      [["send", { outcome: "failed", errorCode: "TOOL_ERROR" }]],
    ],
  ])("ends with the task: %s", (_, message, expected) => {
    for (const handle of [{ task: { taskId: "t", status: "working" } }, { resultType: "task", taskId: "t" }]) {
      const { ends, seen } = taskOf({ id: 1, result: handle });
      ends.heard({ id: 9, result: { taskId: "t", status: "working" } });
      ends.heard({ id: 9, result: { taskId: "other", status: "completed" } });
      expect(seen).toEqual([]);
      ends.heard(message);
      ends.heard({ id: 9, result: { taskId: "t", status: "failed" } });
      expect(seen).toEqual(expected);
    }
  });

  test("is forgotten when there are too many, and has no end then", () => {
    const { ends, seen } = taskOf({ result: { task: { taskId: "t" } } });
    for (let count = 0; count < 1000; count++)
      ends.answered(runInto([], "other"), { result: { task: { taskId: `t${count}` } } });
    ends.heard({ result: { taskId: "t", status: "completed" } });
    expect(seen).toEqual([]);
  });
});

test("messages of a server are read loosely, and what is no message is passed over", () => {
  expect(looselyRead('\uFEFF{"id":1}')).toEqual([{ id: 1 }]);
  expect(looselyRead('[{"id":1}, 2, null, [3]]')).toEqual([{ id: 1 }]);
  for (const text of ["", "no", "null", "1", '{"id":']) expect(looselyRead(text)).toEqual([]);
});
