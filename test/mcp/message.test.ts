import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ErrorCode, type Frame, readFrame } from "../../src/mcp/message.ts";

const NONE: ReadonlySet<string> = new Set();
const read = (text: string, options: { batches?: boolean; passMethods?: ReadonlySet<string> } = {}): Frame =>
  readFrame(text, { batches: false, passMethods: NONE, ...options });

const call = (params: object, more: object = {}): string =>
  JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params, ...more });

describe("a call of a tool", () => {
  test("is read with its tool, its arguments and its progress token", () => {
    const params = { name: "send", arguments: { to: ["ann"] }, _meta: { progressToken: "p" } };
    expect(read(call(params)).messages).toEqual([
      { kind: "call", id: 1, tool: "send", payload: { to: ["ann"] }, progressToken: "p", version: null },
    ]);
  });

  test("has no arguments where it has none", () => {
    expect(read(call({ name: "send" })).messages).toMatchObject([{ kind: "call", payload: {} }]);
  });

  test("names its version of the protocol since 2026-07-28", () => {
    const params = { name: "send", _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28" } };
    expect(read(call(params)).messages).toMatchObject([{ version: "2026-07-28" }]);
  });

  test("is found behind escapes", () => {
    const text = '{"jsonrpc":"2.0","id":1,"m\\u0065thod":"tools\\u002fcall","params":{"name":"\\u0073end"}}';
    expect(read(text).messages).toMatchObject([{ kind: "call", tool: "send" }]);
  });

  test("is forwarded as the values that were read, not as it was written", () => {
    const text =
      ' {"jsonrpc":"2.0","id":1,"method":"tools\\/call","params":{"name":"a","arguments":{"n":1.50,"__proto__":{}}}} ';
    expect(read(text).text).toBe(
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"n":1.5,"__proto__":{}}}}',
    );
  });

  test("keeps what else it carries: a task, answers to the server, its state", () => {
    const params = { name: "a", task: { ttl: 1 }, inputResponses: { q: { action: "accept" } }, requestState: "s" };
    expect(JSON.parse(read(call(params)).text).params).toEqual(params);
  });

  test.each<[string, string, number]>([
    ["no params", '{"jsonrpc":"2.0","id":1,"method":"tools/call"}', ErrorCode.invalidParams],
    [
      "params that are a list",
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["send"]}',
      ErrorCode.invalidParams,
    ],
    ["no name", call({ arguments: {} }), ErrorCode.invalidParams],
    ["an empty name", call({ name: "" }), ErrorCode.invalidParams],
    ["a name that is no text", call({ name: 7 }), ErrorCode.invalidParams],
    ["arguments that are null", call({ name: "a", arguments: null }), ErrorCode.invalidParams],
    ["arguments that are a list", call({ name: "a", arguments: [] }), ErrorCode.invalidParams],
    ["arguments in two cases", call({ name: "a", arguments: {}, Arguments: { x: 1 } }), ErrorCode.invalidParams],
    ["a name in another case", call({ Name: "a" }), ErrorCode.invalidParams],
    ["a name with a letter that folds to one", call({ name: "a", argumentſ: {} }), ErrorCode.invalidParams],
    ["a method in two cases", call({ name: "a" }, { Method: "ping" }), ErrorCode.invalidRequest],
    ["a result", call({ name: "a" }, { result: {} }), ErrorCode.invalidRequest],
    ["another version of JSON-RPC", call({ name: "a" }, { jsonrpc: "1.0" }), ErrorCode.invalidRequest],
    [
      "an integer that a double rounds",
      call({ name: "a" }).replace('"a"', '"a","arguments":{"n":9007199254740993}'),
      ErrorCode.invalidRequest,
    ],
    ["a lone surrogate", call({ name: "a", arguments: { s: "\ud800" } }), ErrorCode.invalidRequest],
    ["a name that occurs twice", call({ name: "a" }).replace('"a"', '"a","name":"b"'), ErrorCode.invalidRequest],
    [
      "nesting that is too deep",
      call({ name: "a", arguments: { x: 1 } }).replace("1}}", `${"[".repeat(70)}${"]".repeat(70)}}}`),
      ErrorCode.invalidRequest,
    ],
  ])("is refused with %s", (_, text, code) => {
    expect(read(text).messages).toMatchObject([{ kind: "refused", id: 1, code, answer: "result" }]);
  });

  test.each([null, {}, [], true, 1.5, 2 ** 53])("is refused with the id %j, and nobody can be answered", (id) => {
    expect(read(call({ name: "a" }, { id })).messages).toMatchObject([{ kind: "refused", id: null, answer: "error" }]);
  });

  test("is refused as a notification, without an answer", () => {
    const text = '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}';
    expect(read(text).messages).toMatchObject([{ kind: "refused", id: null, answer: "none" }]);
  });
});

describe("what is no JSON-RPC message", () => {
  test.each<[string, string]>([
    ["no JSON", "tools/call"],
    ["two objects", `${call({ name: "a" })}${call({ name: "b" })}`],
    ["two objects with a space between them", `${call({ name: "a" })} ${call({ name: "b" })}`],
    ["a text", '"tools/call"'],
    ["null", "null"],
    ["a byte order mark", `\ufeff${call({ name: "a" })}`],
    ["a comment", `/**/${call({ name: "a" })}`],
    ["an empty object", "{}"],
    ["neither a method nor a result", '{"jsonrpc":"2.0","id":1}'],
    ["a result and an error", '{"jsonrpc":"2.0","id":1,"result":{},"error":{}}'],
    ["a result without an id", '{"jsonrpc":"2.0","result":{}}'],
    ["a method that is a list", '{"jsonrpc":"2.0","id":1,"method":["tools/call"],"params":{"name":"a"}}'],
  ])("is refused: %s", (_, text) => {
    expect(read(text).messages).toMatchObject([{ kind: "refused", id: null }]);
  });

  test.each([
    '{"method":"ping","method":"tools/call"}',
    '{"method":"tools/call","method":"ping"}',
    '{"jsonrpc":"2.0","id":1,"method":"ping","m\\u0065thod":"tools/call"}',
    '{"jsonrpc":"2.0","id":1,"method":"ping","METHOD":"tools/call","params":{"name":"a"}}',
    '{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}',
  ])("is refused where readers differ: %s", (text) => {
    expect(read(text).messages).toMatchObject([{ kind: "refused" }]);
  });
});

describe("other messages", () => {
  test.each<[string, string]>([
    [
      "request",
      '{ "jsonrpc":"2.0","id":"x","method":"resources/read","params":{"uri":"file:///a","n":9007199254740993}}',
    ],
    ["notification", '{"jsonrpc":"2.0","method":"notifications/initialized"}'],
    ["response", '{"jsonrpc":"2.0","id":7,"result":{"roots":[]},"x":1}'],
    ["response", '{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no"}}'],
  ])("pass as they came: a %s", (kind, text) => {
    const frame = read(text);
    expect(frame.messages).toMatchObject([{ kind }]);
    expect(frame.text).toBe(text);
  });

  test.each([
    "tools/Call",
    "Tools/call",
    "tools/call ",
    "tools/call\u0000",
    "tools/execute",
    "x/run",
    "constructor",
    "sampling/createMessage",
  ])("are refused where their method is not known: %j", (method) => {
    const text = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { name: "a" } });
    expect(read(text).messages).toMatchObject([
      { kind: "refused", id: 1, code: ErrorCode.unknownMethod, answer: "error" },
    ]);
  });

  test("pass where their method was named, but not a call", () => {
    const passMethods = new Set(["x/run", "tools/call"]);
    const text = (method: string): string => JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { name: "a" } });
    expect(read(text("x/run"), { passMethods }).messages).toMatchObject([{ kind: "request" }]);
    expect(read(text("tools/call"), { passMethods }).messages).toMatchObject([{ kind: "call" }]);
  });

  test("are refused as notifications of an unknown name, and as requests sent without an id", () => {
    for (const method of ["notifications/run", "tools/list"])
      expect(read(JSON.stringify({ jsonrpc: "2.0", method })).messages).toMatchObject([
        { kind: "refused", answer: "none" },
      ]);
  });
});

describe("a batch", () => {
  const batch = `[${call({ name: "a" })},{"jsonrpc":"2.0","id":2,"method":"ping"}]`;

  test("is refused where the protocol knows none", () => {
    expect(read(batch).messages).toMatchObject([{ kind: "refused" }]);
  });

  test("is read message by message in the version that knows them", () => {
    const { messages, isBatch } = read(batch, { batches: true });
    expect([isBatch, messages]).toMatchObject([
      true,
      [
        { kind: "call", tool: "a" },
        { kind: "request", method: "ping" },
      ],
    ]);
  });

  test.each(["[]", `[${batch}]`, "[1]"])("is refused where it has no messages: %s", (text) => {
    expect(read(text, { batches: true }).messages).toMatchObject([{ kind: "refused" }]);
  });
});

describe("whatever comes", () => {
  const names = fc.constantFrom(
    "jsonrpc",
    "id",
    "method",
    "params",
    "Method",
    "name",
    "arguments",
    "_meta",
    "result",
    "__proto__",
  );
  const words = fc.constantFrom("2.0", "tools/call", "ping", "notifications/initialized", "a");
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof(
      { maxDepth: 4 },
      words,
      fc.integer(),
      fc.constant(null),
      fc.double(),
      tie("object"),
      fc.array(tie("json"), { maxLength: 3 }),
    ),
    object: fc.dictionary(names, tie("json"), { maxKeys: 5 }),
  }));
  const envelope = fc.record(
    {
      jsonrpc: fc.constant("2.0"),
      id: fc.oneof(fc.integer(), words),
      method: words,
      params: fc.record({ name: words, arguments: json, x: json }, { requiredKeys: [] }),
    },
    { requiredKeys: ["jsonrpc"] },
  );
  const text = fc.oneof(
    fc.string(),
    json.map((value) => JSON.stringify(value)),
    envelope.map((value) => JSON.stringify(value)),
    // A part of one message replaced by a part of another one.
    fc.tuple(envelope, envelope, fc.nat(), fc.nat()).map(([one, other, from, to]) => {
      const [a, b] = [JSON.stringify(one), JSON.stringify(other)];
      return a.slice(0, from % a.length) + b.slice(to % b.length);
    }),
  );

  test("is a call with these very arguments, or no call for any reader", () => {
    fc.assert(
      fc.property(text, (sent) => {
        const { messages, text: forwarded } = read(sent);
        const [message] = messages;
        if (message?.kind === "refused") return;
        // How the laxest server reads it: the last of equal names counts, and case does not.
        const sees = (object: unknown, name: string): unknown =>
          Object.entries(object ?? {}).findLast(([key]) => new RegExp(`^${name}$`, "iu").test(key))?.[1];
        const parsed: unknown = JSON.parse(forwarded);
        const [method, params] = [sees(parsed, "method"), sees(parsed, "params")];
        if (method !== "tools/call") {
          expect(message?.kind).not.toBe("call");
          return;
        }
        expect(message).toMatchObject({ kind: "call", tool: sees(params, "name") });
        expect(message).toHaveProperty("payload", sees(params, "arguments") ?? {});
      }),
      { numRuns: 2000 },
    );
  });
});
