import { PassThrough } from "node:stream";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { judge } from "../../src/core/decision.ts";
import type { CallStart, DecideOptions, GuardVerdict } from "../../src/mcp/gate.ts";
import type { ListFilter } from "../../src/mcp/list-filter.ts";
import type { ToolCall } from "../../src/mcp/message.ts";
import { runStdioProxy } from "../../src/mcp/stdio/proxy.ts";
import type { ServerEnd } from "../../src/mcp/stdio/server-process.ts";
import { type EndsSeen, NOT_STARTED, runInto, startInto } from "./support/ends.ts";

type Call = Pick<ToolCall, "tool" | "payload">;
type Decide = (call: Call, options: DecideOptions) => Promise<GuardVerdict>;

function verdict(allowed: boolean): GuardVerdict {
  const { decision, reason, message } = judge(allowed ? "RULE_ALLOWED" : "RULE_DENIED", 'Rule "x" denies this call.');
  const rest = {
    ruleId: "x",
    policyVersion: "",
    replayed: false,
    decidedAt: 0,
    tool: "",
    idempotencyKey: "",
    refusal: null,
  };
  return { decision, reason, message, decisionId: "d1", source: "service", ...rest };
}

/** The messages in whole lines. */
function messagesIn(lines: string) {
  return lines
    .trim()
    .split("\n")
    .map((text) => JSON.parse(text));
}

const ALLOW: Decide = async () => verdict(true);
const DENY: Decide = async () => verdict(false);

interface Others {
  readonly passMethods?: readonly string[];
  readonly filter?: ListFilter["filter"];
  readonly start?: (call: Call) => Promise<CallStart>;
}

/** A proxy between streams of this process. */
function open(decide: Decide, { passMethods = [], filter, start }: Others = {}) {
  const ends: EndsSeen = [];
  const [input, output, stdin, stdout] = [new PassThrough(), new PassThrough(), new PassThrough(), new PassThrough()];
  const { promise: ended, resolve: end } = Promise.withResolvers<ServerEnd>();
  const warnings: string[] = [];
  const server = {
    stdin,
    stdout,
    ended,
    stop: async () => {
      stdin.end();
      stdout.end();
      end({ how: "has ended with status 0", isClean: true });
    },
  };
  const warn = (problem: string): unknown => warnings.push(problem);
  const listFilter = filter === undefined ? null : { filter };
  const gate = { decide, start: start ?? startInto(ends) };
  const streams = { server, input, output };
  const done = runStdioProxy({ gate, ...streams, passMethods: new Set(passMethods), listFilter, warn });
  return {
    input,
    stdout,
    warnings,
    ends,
    done,
    die: (how: string) => {
      stdout.end();
      end({ how, isClean: false });
    },
    /** What each side has received when the client has ended: as lines. */
    finish: async () => {
      input.end();
      const result = await done;
      const text = (stream: PassThrough): string => String(stream.read() ?? "");
      return { result, server: text(stdin), client: text(output) };
    },
    toClient: () => String(output.read() ?? ""),
    toServer: () => String(stdin.read() ?? ""),
  };
}

const line = (message: object): string => `${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`;
const CALL = line({ id: 1, method: "tools/call", params: { name: "send", arguments: { to: "ann" } } });
/** Streams of this process carry what was written within a few turns of its loop, and wait for nothing else. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
}

describe("a call of a tool", () => {
  test("is forwarded when it is allowed", async () => {
    const proxy = open(ALLOW);
    proxy.input.write(CALL);
    expect(await proxy.finish()).toEqual({ result: null, server: CALL, client: "" });
  });

  test("is answered when it is denied, with the reason and the decision's id, and not forwarded", async () => {
    const proxy = open(DENY);
    proxy.input.write(CALL);
    const { server, client } = await proxy.finish();
    expect(server).toBe("");
    expect(JSON.parse(client)).toEqual({
      jsonrpc: "2.0",
      id: 1,
      result: {
        content: [
          { type: "text", text: 'DataCrawl denied this call: Rule "x" denies this call (RULE_DENIED, decision d1).' },
        ],
        isError: true,
        _meta: { "dev.datacrawl/decision": { decision: "deny", reason: "RULE_DENIED", decisionId: "d1" } },
      },
    });
  });

  test("is answered with a complete result to a client of 2026-07-28", async () => {
    const proxy = open(DENY);
    const meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" };
    proxy.input.write(line({ id: 1, method: "tools/call", params: { name: "a", _meta: meta } }));
    expect(JSON.parse((await proxy.finish()).client).result).toMatchObject({ resultType: "complete", isError: true });
  });

  test.each<[string, unknown]>([
    ["a decision that nobody knows", "ALLOW"],
    ["true", true],
    ["nothing", undefined],
  ])("is not forwarded for %s", async (_, decision) => {
    const proxy = open(async () => ({ ...verdict(true), decision: decision as "allow" }));
    proxy.input.write(CALL);
    expect((await proxy.finish()).server).toBe("");
  });

  test("does not wait for another one, and holds up nothing else", async () => {
    const slow = Promise.withResolvers<GuardVerdict>();
    const proxy = open(({ tool }) =>
      tool === "slow" ? slow.promise : ALLOW({ tool, payload: {} }, {} as DecideOptions),
    );
    const second = line({ id: 2, method: "tools/call", params: { name: "quick" } });
    const ping = line({ id: 3, method: "ping" });
    proxy.input.write(line({ id: 1, method: "tools/call", params: { name: "slow" } }) + second + ping);
    await settled();
    expect(proxy.toServer().split("\n").toSorted()).toEqual(["", second.trim(), ping.trim()].toSorted());
    slow.resolve(verdict(false));
    await proxy.finish();
  });

  test("is refused while another request has its id", async () => {
    const proxy = open(ALLOW);
    proxy.input.write(CALL + CALL.replace("ann", "bob"));
    const { server, client } = await proxy.finish();
    expect(server).toBe(CALL);
    expect(JSON.parse(client)).toMatchObject({ id: 1, result: { isError: true } });
  });

  test("may have the id of one that was answered", async () => {
    const proxy = open(ALLOW);
    proxy.input.write(CALL);
    await settled();
    proxy.stdout.write(line({ id: 1, result: {} }));
    await settled();
    proxy.input.write(CALL);
    expect((await proxy.finish()).server).toBe(CALL + CALL);
  });
});

describe("a call that waits for people", () => {
  const waiting: Decide = (_, { signal, hurry, onWaiting }) =>
    new Promise((resolve) => {
      onWaiting?.(1, verdict(false));
      onWaiting?.(2, verdict(false));
      for (const end of [signal, hurry]) end?.addEventListener("abort", () => resolve(verdict(true)));
    });

  test("says so to a client that asked for its progress", async () => {
    const proxy = open(waiting);
    proxy.input.write(line({ id: 1, method: "tools/call", params: { name: "a", _meta: { progressToken: "p" } } }));
    await settled();
    const notices = messagesIn(proxy.toClient());
    expect(notices).toMatchObject([
      { method: "notifications/progress", params: { progressToken: "p", progress: 0.001 } },
      { method: "notifications/progress", params: { progressToken: "p", progress: 0.002 } },
    ]);
    await proxy.finish();
  });

  test("says nothing to one that did not", async () => {
    const proxy = open(waiting);
    proxy.input.write(CALL);
    await settled();
    expect(proxy.toClient()).toBe("");
    await proxy.finish();
  });

  test("ends when it is cancelled: neither is forwarded, and nothing is answered, whatever is decided", async () => {
    const proxy = open(waiting);
    proxy.input.write(CALL + line({ method: "notifications/cancelled", params: { requestId: 1 } }));
    expect(await proxy.finish()).toEqual({ result: null, server: "", client: "" });
  });

  test("is not cancelled by another request's end, which the server hears of", async () => {
    const proxy = open(waiting);
    const other = line({ method: "notifications/cancelled", params: { requestId: "1" } });
    proxy.input.write(CALL + other);
    await settled();
    expect(proxy.toServer()).toBe(other);
    await proxy.finish();
  });

  test("ends when the client does", async () => {
    const proxy = open(waiting);
    proxy.input.write(CALL);
    expect((await proxy.finish()).result).toBeNull();
  });
});

describe("everything else", () => {
  test("passes both ways, byte for byte", async () => {
    const proxy = open(DENY);
    const up =
      '{"jsonrpc":"2.0", "id":1,"method":"initialize","params":{"x":1e2}}\n{"jsonrpc":"2.0","id":"s1","result":{"é":"\\u00e9"}}\r\n';
    const down = '{"jsonrpc":"2.0","id":"s1","method":"sampling/createMessage", "params":{}}\n no JSON \n[1, 2]\n';
    proxy.input.write(up);
    proxy.stdout.write(down);
    await settled();
    expect(await proxy.finish()).toEqual({ result: null, server: up.replace("\r", ""), client: down });
  });

  test.each(["\u0085", "\u2028", "\u2029"])(
    "has no end of a line in it that only some readers see (%j)",
    async (end) => {
      const proxy = open(ALLOW);
      const text = `${end}${CALL.trim()}${end}`;
      proxy.input.write(line({ id: 7, method: "ping", params: { text } }));
      proxy.input.write(line({ id: 8, method: "tools/call", params: { name: "send", arguments: { text } } }));
      const { server } = await proxy.finish();
      expect(server).not.toContain(end);
      const messages = messagesIn(server);
      expect(messages).toMatchObject([
        { id: 7, params: { text } },
        { id: 8, params: { arguments: { text } } },
      ]);
    },
  );

  test.each<[string, string | Buffer]>([
    ["a carriage return inside", '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":\r{"jsonrpc":"2.0"}\r}}\n'],
    ["bytes that are not UTF-8", Buffer.from([0x22, 0xff, 0x22, 0x0a])],
    ["more than a message may have", `${"a".repeat(16 * 1024 * 1024 + 1)}\n`],
  ])("is refused with %s, and what follows is read", async (_, bytes) => {
    const proxy = open(ALLOW);
    proxy.input.write(bytes);
    proxy.input.write(line({ id: 2, method: "ping" }));
    const { server, client } = await proxy.finish();
    expect(server).toBe(line({ id: 2, method: "ping" }));
    expect(JSON.parse(client)).toMatchObject({ error: { code: -32700 } });
  });

  test("that is refused and has no sender who waits is a warning", async () => {
    const proxy = open(ALLOW);
    proxy.input.write(line({ method: "tools/call", params: { name: "a" } }));
    expect(await proxy.finish()).toMatchObject({ server: "", client: "" });
    expect(proxy.warnings).toEqual([expect.stringContaining("a call of a tool needs an id")]);
  });

  test("is nothing in an empty line", async () => {
    const proxy = open(ALLOW);
    proxy.input.write("\n \n\r\n");
    expect(await proxy.finish()).toMatchObject({ server: "", client: "" });
  });
});

describe("a batch", () => {
  const agree = async (proxy: ReturnType<typeof open>, version: string): Promise<void> => {
    proxy.input.write(line({ id: 0, method: "initialize", params: {} }));
    await settled();
    proxy.stdout.write(line({ id: 0, result: { protocolVersion: version } }));
    await settled();
    proxy.toServer();
    proxy.toClient();
  };
  const batch = `[${CALL.trim()},${CALL.trim().replace('"id":1', '"id":2').replace("send", "exec")},{"jsonrpc":"2.0","id":3,"method":"ping"}]\n`;

  test("is forwarded whole when each of its calls is allowed", async () => {
    const proxy = open(ALLOW);
    await agree(proxy, "2025-03-26");
    proxy.input.write(batch);
    expect(await proxy.finish()).toMatchObject({ server: batch, client: "" });
  });

  test("is not forwarded when one of them is denied, and all are answered", async () => {
    const proxy = open(async ({ tool }) => verdict(tool === "send"));
    await agree(proxy, "2025-03-26");
    proxy.input.write(batch);
    const { server, client } = await proxy.finish();
    expect(server).toBe("");
    const answers = messagesIn(client);
    expect(answers).toMatchObject([
      { id: 1, result: { isError: true } },
      { id: 2, result: { isError: true, _meta: { "dev.datacrawl/decision": { reason: "RULE_DENIED" } } } },
      { id: 3, error: { code: -32600 } },
    ]);
  });

  test("is not forwarded when one of them cannot be started, and what was started ends so", async () => {
    const ends: EndsSeen = [];
    const starts = startInto(ends);
    const proxy = open(ALLOW, { start: async (call) => (call.tool === "exec" ? NOT_STARTED : await starts(call)) });
    await agree(proxy, "2025-03-26");
    proxy.input.write(batch);
    const { server, client } = await proxy.finish();
    expect(server).toBe("");
    const answers = messagesIn(client);
    expect(answers).toMatchObject([
      { id: 1, result: { isError: true } },
      { id: 2, result: { isError: true, _meta: { "dev.datacrawl/start": { reason: "SERVICE_UNAVAILABLE" } } } },
      { id: 3, error: { code: -32600 } },
    ]);
    expect(ends).toEqual([["send", { outcome: "failed", errorCode: "NOT_FORWARDED" }]]);
  });

  test("is refused in every other version, and before one is agreed on", async () => {
    for (const version of ["2025-06-18", "2025-11-25", null]) {
      const proxy = open(ALLOW);
      if (version !== null) await agree(proxy, version);
      proxy.input.write(batch);
      expect(await proxy.finish()).toMatchObject({ server: "", client: expect.stringContaining("batches") });
    }
  });
});

describe("a server that ends", () => {
  test("leaves no request without an answer", async () => {
    const proxy = open(ALLOW);
    proxy.input.write(CALL + line({ id: "x", method: "tools/list" }) + line({ id: 3, method: "ping" }));
    await settled();
    proxy.stdout.write(line({ id: 3, result: {} }));
    await settled();
    proxy.toClient();
    proxy.die("was ended by SIGKILL");
    expect(await proxy.done).toEqual({ how: "was ended by SIGKILL", isClean: false });
    const answers = messagesIn(proxy.toClient());
    expect(answers.toSorted((one, other) => String(one.id).localeCompare(String(other.id)))).toMatchObject([
      { id: 1, error: { code: -32603, message: expect.stringContaining("was ended by SIGKILL") } },
      { id: "x", error: { code: -32603 } },
    ]);
  });

  test("gets nothing that is allowed afterwards", async () => {
    const late = Promise.withResolvers<GuardVerdict>();
    const proxy = open(() => late.promise);
    proxy.input.write(CALL);
    await settled();
    proxy.die("was ended by SIGKILL");
    await settled();
    late.resolve(verdict(true));
    await proxy.done;
    expect(proxy.toServer()).toBe("");
    expect(JSON.parse(proxy.toClient())).toMatchObject({
      id: 1,
      error: { message: expect.stringContaining("not forwarded") },
    });
    expect(proxy.ends).toEqual([["send", { outcome: "failed", errorCode: "NOT_FORWARDED" }]]);
  });
});

describe("a call that is started", () => {
  const answered = async (answer: object): Promise<EndsSeen> => {
    const proxy = open(ALLOW);
    proxy.input.write(CALL);
    await settled();
    proxy.stdout.write(line({ id: 1, ...answer }));
    await settled();
    expect(proxy.toClient()).toBe(line({ id: 1, ...answer }));
    await proxy.finish();
    return proxy.ends;
  };

  test("ends as the server answers it, and the answer passes", async () => {
    expect(await answered({ result: { content: [] } })).toEqual([["send", { outcome: "succeeded" }]]);
    expect(await answered({ error: { code: -32602, message: "no" } })).toEqual([
      ["send", { outcome: "failed", errorCode: "JSON_RPC_-32602" }],
    ]);
  });

  test("is not forwarded, and answered with the reason, where its start was refused or not answered", async () => {
    const proxy = open(ALLOW, { start: async () => NOT_STARTED });
    proxy.input.write(CALL);
    const { server, client } = await proxy.finish();
    expect(server).toBe("");
    expect(JSON.parse(client)).toEqual({
      jsonrpc: "2.0",
      id: 1,
      result: {
        content: [{ type: "text", text: expect.stringContaining("(SERVICE_UNAVAILABLE, decision d1)") }],
        isError: true,
        _meta: { "dev.datacrawl/start": { state: "refused", reason: "SERVICE_UNAVAILABLE", decisionId: "d1" } },
      },
    });
  });

  test("is not forwarded where it was started before", async () => {
    const before = { state: "already_started", startedAt: 0, startedBy: "c", reportDueAt: 0, end: null } as const;
    const named = { message: "", decisionId: "d1", source: "service" } as const;
    const proxy = open(ALLOW, { start: async () => ({ ...named, ...before }) });
    proxy.input.write(CALL);
    const { server, client } = await proxy.finish();
    expect([server, JSON.parse(client).result.isError]).toEqual(["", true]);
    expect(client).toContain("(ALREADY_STARTED, decision d1)");
  });

  test("is not forwarded if it is cancelled meanwhile, and that is its end", async () => {
    const starting = Promise.withResolvers<void>();
    const ends: EndsSeen = [];
    const proxy = open(ALLOW, {
      start: async ({ tool }) => {
        await starting.promise;
        return { state: "started", run: runInto(ends, tool) };
      },
    });
    proxy.input.write(CALL);
    await settled();
    proxy.input.write(line({ method: "notifications/cancelled", params: { requestId: 1 } }));
    await settled();
    starting.resolve();
    expect(await proxy.finish()).toMatchObject({ server: "", client: "" });
    expect(ends).toEqual([["send", { outcome: "failed", errorCode: "NOT_FORWARDED" }]]);
  });

  test("is not even started if it was cancelled before", async () => {
    const late = Promise.withResolvers<GuardVerdict>();
    const started: Call[] = [];
    const proxy = open(() => late.promise, {
      start: async (call) => {
        started.push(call);
        return NOT_STARTED;
      },
    });
    proxy.input.write(CALL + line({ method: "notifications/cancelled", params: { requestId: 1 } }));
    await settled();
    late.resolve(verdict(true));
    await proxy.finish();
    expect(started).toEqual([]);
  });

  test("has an unknown end when it is cancelled, and a late answer passes and changes nothing", async () => {
    const proxy = open(ALLOW);
    const cancel = line({ method: "notifications/cancelled", params: { requestId: 1 } });
    proxy.input.write(CALL);
    await settled();
    proxy.input.write(cancel);
    await settled();
    proxy.stdout.write(line({ id: 1, result: {} }));
    expect(await proxy.finish()).toMatchObject({ server: CALL + cancel, client: line({ id: 1, result: {} }) });
    expect(proxy.ends).toEqual([["send", { outcome: "unknown", errorCode: "CANCELLED" }]]);
  });

  test("has an unknown end when the server dies, or never answers", async () => {
    const died = open(ALLOW);
    died.input.write(CALL);
    await settled();
    died.die("was ended by SIGKILL");
    await died.done;
    expect(died.ends).toEqual([["send", { outcome: "unknown", errorCode: "SERVER_ENDED" }]]);
    const silent = open(ALLOW);
    silent.input.write(CALL);
    await silent.finish();
    expect(silent.ends).toEqual([["send", { outcome: "unknown", errorCode: "NO_ANSWER" }]]);
  });

  test("has no end by an answer to another request, nor by what has a method", async () => {
    const proxy = open(ALLOW);
    proxy.input.write(CALL);
    await settled();
    proxy.stdout.write(line({ id: "1", result: {} }) + line({ id: 1, method: "ping", result: {} }) + "[null, 1]\n");
    await settled();
    expect(proxy.ends).toEqual([]);
    await proxy.finish();
  });

  test("is not confused with another request that takes its id, which is refused", async () => {
    const proxy = open(ALLOW);
    proxy.input.write(CALL + line({ id: 1, method: "ping" }));
    await settled();
    proxy.input.write(line({ id: 1, method: "ping" }));
    await settled();
    proxy.stdout.write(line({ id: 1, result: { isError: true } }));
    const { server } = await proxy.finish();
    expect(server).toBe(CALL);
    expect(proxy.ends).toEqual([["send", { outcome: "failed", errorCode: "TOOL_ERROR" }]]);
  });
});

describe("whatever a client sends, in whatever parts", () => {
  const words = fc.constantFrom(
    "tools/call",
    "ping",
    "send",
    "exec",
    "notifications/cancelled",
    "\r",
    "\n",
    '"',
    "\\u002f",
    // What a server that takes more characters for the end of a line would read as a call of its own.
    ...["\u2028", "\u2029", "\u0085"].map(
      (end) => end + line({ id: 9, method: "tools/call", params: { name: "x" } }).trim() + end,
    ),
  );
  const value = fc.oneof(
    words,
    fc.integer(),
    fc.double(),
    fc.constant(null),
    fc.dictionary(words, fc.integer(), { maxKeys: 2 }),
  );
  const message = fc
    .record(
      {
        jsonrpc: fc.constantFrom("2.0"),
        id: fc.integer({ min: 0, max: 3 }),
        method: words,
        params: fc.record({
          name: words,
          arguments: fc.dictionary(words, value, { maxKeys: 3 }),
          requestId: fc.integer({ min: 0, max: 3 }),
        }),
      },
      { requiredKeys: ["jsonrpc"] },
    )
    .map((one) => JSON.stringify(one));
  const text = fc.array(
    fc.oneof(
      message,
      message,
      fc.tuple(message, message, fc.nat()).map(([a, b, at]) => a.slice(0, at % a.length) + b),
      fc.string(),
    ),
    { maxLength: 8 },
  );

  test("the server gets as calls only what was judged, with the same arguments, and allowed", async () => {
    await fc.assert(
      fc.asyncProperty(
        text,
        fc.array(fc.nat(200), { maxLength: 5 }),
        fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
        async (lines, cuts, answers) => {
          const allowed: string[] = [];
          const proxy = open(async (call) => {
            const isAllowed = answers.shift() ?? false;
            if (isAllowed) allowed.push(JSON.stringify([call.tool, call.payload]));
            return verdict(isAllowed);
          });
          let bytes = Buffer.from(lines.map((one) => `${one}\n`).join(""));
          for (const cut of cuts) {
            proxy.input.write(bytes.subarray(0, cut));
            bytes = bytes.subarray(cut);
          }
          proxy.input.write(bytes);
          const { server } = await proxy.finish();
          const got = server
            .split(/[\r\n\u0085\u2028\u2029]/)
            .flatMap((one) => {
              try {
                return [JSON.parse(one) as { method?: string; params?: { name?: unknown; arguments?: unknown } }];
              } catch {
                return [];
              }
            })
            .filter(({ method }) => method === "tools/call")
            .map(({ params }) => JSON.stringify([params?.name, params?.arguments ?? {}]));
          expect(got.toSorted()).toEqual(
            allowed
              .slice(0)
              .toSorted()
              .filter((one) => got.includes(one)),
          );
          for (const one of got) expect(allowed).toContain(one);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("a list of tools", () => {
  const LIST = line({ id: 4, method: "tools/list" });
  const answer = line({ id: 4, result: { tools: [{ name: "send" }] } });
  const hide: ListFilter["filter"] = async ({ id }) => ({ jsonrpc: "2.0", id: id as number, result: { tools: [] } });
  const hidden = line({ id: 4, result: { tools: [] } });

  test("passes as it is without a filter", async () => {
    const proxy = open(DENY);
    proxy.input.write(LIST);
    await settled();
    proxy.stdout.write(answer);
    expect(await proxy.finish()).toMatchObject({ server: LIST, client: answer });
  });

  test("is filtered where it answers a request of the client's, once, and nothing else is", async () => {
    const proxy = open(DENY, { filter: hide });
    const [notice, other] = [
      line({ method: "notifications/tools/list_changed" }),
      line({ id: 5, result: { tools: [] } }),
    ];
    const asked = line({ id: 4, method: "sampling/createMessage" });
    proxy.input.write(LIST);
    await settled();
    proxy.stdout.write(notice + other + asked + answer);
    await settled();
    proxy.stdout.write(answer);
    const { client } = await proxy.finish();
    expect(client).toBe(notice + other + asked + hidden + answer);
  });

  test("is filtered in a batch of 2025-03-26, and after its request was cancelled", async () => {
    const proxy = open(DENY, { filter: hide });
    proxy.input.write(line({ id: 0, method: "initialize", params: { protocolVersion: "2025-03-26" } }));
    await settled();
    proxy.stdout.write(line({ id: 0, result: { protocolVersion: "2025-03-26" } }));
    await settled();
    proxy.input.write(`[${LIST.trim()},${line({ id: 5, method: "ping" }).trim()}]\n`);
    proxy.input.write(line({ method: "notifications/cancelled", params: { requestId: 4 } }));
    await settled();
    proxy.toClient();
    proxy.stdout.write(`[${line({ id: 5, result: {} }).trim()}, ${answer.trim()}]\n`);
    const { client } = await proxy.finish();
    expect(client).toBe(`[${line({ id: 5, result: {} }).trim()},${hidden.trim()}]\n`);
  });

  test("delays no other answer, and is still answered when the client or the server has ended", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const proxy = open(DENY, {
      filter: async (message) => {
        await promise;
        return hide(message);
      },
    });
    proxy.input.write(LIST + line({ id: 5, method: "ping" }));
    await settled();
    const pong = line({ id: 5, result: {} });
    proxy.stdout.write(answer + pong);
    await settled();
    expect(proxy.toClient()).toBe(pong);
    proxy.die("has ended with status 1");
    await settled();
    resolve();
    await proxy.done;
    expect(proxy.toClient()).toBe(hidden);
  });
});
