import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { OpenGuard } from "@datacrawl/client/internal/call/open";
import type { JsonObject } from "../../src/core/json.ts";
import { filterText, ListFilter } from "../../src/mcp/list-filter.ts";

type Heard = Awaited<ReturnType<OpenGuard["callableTools"]>>;

/** A filter before a service that answers so, and the questions that the service got. */
function open(answer: (names: readonly string[]) => readonly string[] | Heard) {
  const asked: (readonly string[])[] = [];
  const callableTools = async (names: readonly string[]): Promise<Heard> => {
    asked.push(names);
    const heard = answer(names);
    return "kind" in heard ? heard : { kind: "answered", policyVersion: "", tools: new Set(heard) };
  };
  const filter = new ListFilter({
    guard: { callableTools },
    server: "shop",
    timeoutMs: 5,
    clock: { monotonic: () => 0 },
  });
  return { filter, asked };
}

const list = (names: readonly unknown[], more: JsonObject = {}): JsonObject =>
  ({ jsonrpc: "2.0", id: 7, result: { tools: names.map((name) => ({ name })), ...more } }) as JsonObject;
const namesOf = (message: JsonObject): unknown =>
  ((message["result"] as JsonObject)["tools"] as JsonObject[]).map(({ name }) => name);
const ONLY_BUY = (names: readonly string[]): string[] => names.filter((name) => name === "shop.buy");

describe("a list of tools", () => {
  test("shows those that are callable under the server's name, as they were, and keeps the rest of the result", async () => {
    const { filter, asked } = open(ONLY_BUY);
    const buy = { name: "buy", inputSchema: { type: "object" }, _meta: { a: [1] } };
    const result = { tools: [{ name: "sell" }, buy, buy], nextCursor: "2", _meta: { b: null } };
    expect(await filter.filter({ jsonrpc: "2.0", id: 7, result })).toEqual({
      jsonrpc: "2.0",
      id: 7,
      result: { ...result, tools: [buy, buy], cacheScope: "private" },
    });
    expect(asked).toEqual([["shop.sell", "shop.buy"]]);
  });

  test.each<[JsonObject, JsonObject]>([
    [{}, { cacheScope: "private" }],
    [
      { cacheScope: "public", ttlMs: 0 },
      { cacheScope: "private", ttlMs: 0 },
    ],
    [
      { cacheScope: "private", ttlMs: 3_600_000 },
      { cacheScope: "private", ttlMs: 60_000 },
    ],
    [{ ttlMs: "long" }, { cacheScope: "private", ttlMs: 60_000 }],
  ])("with %j is this agent's alone, and not kept for long", async (hints, expected) => {
    const { tools: _, ...rest } = (await open(ONLY_BUY).filter.filter(list(["buy"], hints)))["result"] as JsonObject;
    expect(rest).toEqual(expected);
  });

  test("leaves out what no call could name, and does not ask about it", async () => {
    const { filter, asked } = open((names) => names);
    const odd = list(["buy", "", 7, undefined, "a\0", "a".repeat(256), "\ud800"]);
    (odd["result"] as { tools: unknown[] }).tools.push(null, "buy", ["buy"]);
    expect(namesOf(await filter.filter(odd))).toEqual(["buy"]);
    expect(asked).toEqual([["shop.buy"]]);
  });

  test("is asked about in parts of 1000 names, and not at all when it is empty", async () => {
    const { filter, asked } = open((names) => names);
    const names = Array.from({ length: 2001 }, (_, index) => `t${index}`);
    expect(namesOf(await filter.filter(list(names)))).toEqual(names);
    expect(asked.map(({ length }) => length)).toEqual([1000, 1000, 1]);
    expect(namesOf(await filter.filter(list([])))).toEqual([]);
    expect(asked).toHaveLength(3);
  });

  test("is an error where the service cannot say, in any of the parts", async () => {
    const unanswered: Heard = {
      kind: "unanswered",
      reason: "SERVICE_UNAVAILABLE",
      message: "The service failed: UNIMPLEMENTED.",
      refusal: null,
    };
    const names = Array.from({ length: 1001 }, (_, index) => `t${index}`);
    const { filter } = open((part) => (part.length === 1 ? unanswered : part));
    expect(await filter.filter(list(names))).toEqual({
      jsonrpc: "2.0",
      id: 7,
      error: {
        code: -32603,
        message:
          "DataCrawl could not tell which tools may be called, so it shows none: The service failed: UNIMPLEMENTED. List the tools again later.",
      },
    });
  });

  test("is an error where it is none", async () => {
    const { filter } = open((names) => names);
    for (const tools of [{}, null, "buy"])
      expect(await filter.filter({ jsonrpc: "2.0", id: 7, result: { tools } })).toHaveProperty("error");
  });

  test.each<JsonObject>([
    { jsonrpc: "2.0", id: 7, error: { code: -32603, message: "no" } },
    { jsonrpc: "2.0", id: 7, result: {} },
    { jsonrpc: "2.0", id: 7, result: null },
    { jsonrpc: "2.0", id: 7, result: { resultType: "input_required", inputRequests: {} } },
  ])("passes as it is where there is none in %j", async (message) => {
    const { filter, asked } = open(() => []);
    expect(await filter.filter(message)).toBe(message);
    expect(asked).toEqual([]);
  });

  test("shows no tool that the service did not name, whatever is in it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(fc.jsonValue(), fc.record({ name: fc.string() }))), async (tools) => {
        const heard = await open(ONLY_BUY).filter.filter({ jsonrpc: "2.0", id: 1, result: { tools: tools as never } });
        for (const name of namesOf(heard) as unknown[]) expect(name).toBe("buy");
      }),
    );
  });
});

describe("text of a server", () => {
  const filter = async (message: JsonObject): Promise<JsonObject> => ({ filtered: message["id"] as number });
  const isSeven = ({ id }: JsonObject): boolean => id === 7;

  test.each([
    ["an answer to it", '{"id":7,"result":{}}', '{"filtered":7}'],
    ["an error", '{"id":7,"error":{}}', '{"filtered":7}'],
    ["a batch with one", '[{"id":8,"result":{}}, {"id":7,"result":{}}]', '[{"id":8,"result":{}},{"filtered":7}]'],
    ["an answer behind a byte order mark", '\uFEFF{"id":7,"result":{}}', '{"filtered":7}'],
  ])("is filtered where it is %s", async (_, text, expected) => {
    expect(await filterText(text, isSeven, filter)).toBe(expected);
  });

  test.each([
    '{"id": 8, "result": {}}',
    '{"id": 7, "method": "sampling/createMessage"}',
    '{"method": "notifications/tools/list_changed"}',
    '[ {"id": 8, "result": {}} ]',
    "not JSON",
    "7",
    "null",
    "",
  ])("passes as it is where it is %s", async (text) => {
    expect(await filterText(text, isSeven, filter)).toBe(text);
  });

  test("shows no list that is nested too deeply to be written again", async () => {
    const deep = (id: number): string =>
      `{"id":${id},"result":{"tools":[${"[".repeat(100_000)}${"]".repeat(100_000)}]}}`;
    const error = { jsonrpc: "2.0", id: 7, error: { message: expect.stringContaining("nested too deeply") } };
    expect(JSON.parse(await filterText(deep(7), isSeven, filter))).toMatchObject(error);
    expect(JSON.parse(await filterText(`[${deep(7)},${deep(7)}]`, isSeven, filter))).toMatchObject([error, error]);
    expect(await filterText(deep(8), isSeven, filter)).toBe(deep(8));
  });

  test("keeps numbers that a double would round", async () => {
    const same = async (message: JsonObject): Promise<JsonObject> => ({ ...message });
    const text = '{"id":7,"result":{"maximum":9223372036854775807,"step":0.1,"huge":1e400,"few":3}}';
    expect(await filterText(text, isSeven, same)).toBe(text);
  });
});
