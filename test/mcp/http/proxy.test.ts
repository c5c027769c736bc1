import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  request as httpRequest,
  type Server,
  type ServerResponse,
} from "node:http";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { JsonObject } from "../../../src/core/json.ts";
import { judge } from "../../../src/core/decision.ts";
import type { DecideOptions, GuardVerdict } from "../../../src/mcp/gate.ts";
import { type EndsSeen, NOT_STARTED, startInto } from "../support/ends.ts";
import { openHttpProxy } from "../../../src/mcp/http/proxy.ts";
import type { Listener } from "../../../src/server/listen.ts";
import { freePort, waitUntil } from "../../support/net.ts";

interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

function verdict(decision: "allow" | "deny" | "needs_review"): GuardVerdict {
  const reason = ({ allow: "RULE_ALLOWED", deny: "RULE_DENIED", needs_review: "REVIEW_PENDING" } as const)[decision];
  const rest = {
    ruleId: "x",
    policyVersion: "",
    replayed: false,
    decidedAt: 0,
    tool: "",
    idempotencyKey: "",
    refusal: null,
  };
  return { ...judge(reason, "why"), decisionId: "d1", source: "service", ...rest };
}

/** What the server received, and how it and the gate answer next. */
const received: Received[] = [];
const asked: [string, unknown][] = [];
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let decide: (options: DecideOptions) => Promise<GuardVerdict>;
const ends: EndsSeen = [];
let start = startInto(ends);
/** Null: lists of tools are not filtered. */
let filter: ((message: JsonObject) => Promise<JsonObject>) | null;
let upstream: Server;
let proxy: Listener;
let url = "";

const json =
  (body: string, status = 200) =>
  (_: IncomingMessage, response: ServerResponse) =>
    void response.writeHead(status, { "content-type": "application/json", "x-own": "1", "alt-svc": "h3" }).end(body);

beforeAll(async () => {
  upstream = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      received.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers, body });
      answer(request, response);
    });
  });
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  const { port } = upstream.address() as { port: number };
  const gate = {
    decide: (call: { tool: string; payload: unknown }, options: DecideOptions) => {
      asked.push([call.tool, call.payload]);
      return decide(options);
    },
    start: (call: { tool: string }) => start(call),
  };
  proxy = await openHttpProxy({
    gate,
    url: new URL(`http://127.0.0.1:${port}/mcp?tenant=a`),
    address: { kind: "tcp", host: "127.0.0.1", port: 0, variable: "--listen" },
    allowedHosts: [],
    passMethods: new Set(),
    get listFilter() {
      return filter && { filter };
    },
  });
  if (proxy.address.kind === "tcp") url = `http://127.0.0.1:${proxy.address.port}/mcp`;
});

beforeEach(() => {
  filter = null;
  start = startInto(ends);
});

afterEach(() => {
  received.length = 0;
  asked.length = 0;
  ends.length = 0;
});

afterAll(async () => {
  await proxy.close({ drainMs: 0 });
  upstream.closeAllConnections();
  upstream.close();
});

const CALL = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "send", arguments: { to: "ann" } } };
const TYPES = { "content-type": "application/json", accept: "application/json, text/event-stream" };

function post(body: string | object, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return fetch(url, {
    method: "POST",
    headers: { ...TYPES, ...headers },
    body: text,
    redirect: "manual",
    ...(signal && { signal }),
  });
}

const events = (text: string): unknown[] =>
  [...text.matchAll(/^data: (.*)$/gm)].map(([, data = ""]) => JSON.parse(data) as unknown);

describe("a call of a tool over HTTP", () => {
  test("is forwarded when it is allowed, with its headers, and the answer passes", async () => {
    decide = async () => verdict("allow");
    answer = json('{"jsonrpc":"2.0","id":1, "result":{}}');
    const response = await post(CALL, { authorization: "Bearer t", "mcp-session-id": "s", "x-custom": "1" });
    expect([response.status, await response.text()]).toEqual([200, '{"jsonrpc":"2.0","id":1, "result":{}}']);
    expect([response.headers.get("x-own"), response.headers.get("alt-svc")]).toEqual(["1", null]);
    expect(received).toMatchObject([
      {
        method: "POST",
        url: "/mcp?tenant=a",
        headers: { authorization: "Bearer t", "mcp-session-id": "s", "x-custom": "1" },
      },
    ]);
    expect(JSON.parse(received[0]?.body ?? "")).toEqual(CALL);
    expect(asked).toEqual([["send", { to: "ann" }]]);
  });

  test.each(["deny", "needs_review"] as const)("is answered when it is not allowed (%s)", async (decision) => {
    decide = async () => verdict(decision);
    const response = await post(CALL);
    expect([response.status, await response.json()]).toMatchObject([200, { id: 1, result: { isError: true } }]);
    expect(received).toEqual([]);
  });

  test("is authorized in each of its rounds", async () => {
    decide = async () => verdict("allow");
    answer = json("{}");
    const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "send" };
    const meta = { _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28" } };
    await post({ ...CALL, params: { ...CALL.params, ...meta } }, headers);
    decide = async () => verdict("deny");
    const second = { ...CALL.params, ...meta, inputResponses: { q: { action: "accept" } }, requestState: "s" };
    const refused = await post({ ...CALL, id: 2, params: second }, headers);
    expect(await refused.json()).toMatchObject({ id: 2, result: { resultType: "complete", isError: true } });
    expect([asked.length, received.length]).toEqual([2, 1]);
  });

  test("is refused with a header that contradicts it, and not even asked about", async () => {
    decide = async () => verdict("allow");
    for (const headers of [{ "mcp-method": "ping" }, { "mcp-method": "tools/call", "mcp-name": "read" }]) {
      const response = await post(CALL, headers);
      expect([response.status, await response.json()]).toMatchObject([400, { id: 1, error: { code: -32020 } }]);
    }
    expect([asked, received]).toEqual([[], []]);
  });

  test("gets progress as a stream while it waits, and then the server's answer in it", async () => {
    const body = { ...CALL, params: { ...CALL.params, _meta: { progressToken: "p" } } };
    decide = async ({ onWaiting }) => {
      onWaiting?.(1, verdict("needs_review"));
      return verdict("allow");
    };
    const progress = { method: "notifications/progress", params: { progressToken: "p" } };
    answer = json('{"jsonrpc":"2.0",\n"id":1,"result":{}}');
    const single = await post(body);
    expect(single.headers.get("content-type")).toBe("text/event-stream");
    expect(await single.text()).toMatch(/data: \{"jsonrpc":"2.0",\ndata: "id":1,"result":\{\}\}\n\n$/);

    answer = (_, response) =>
      response
        .writeHead(200, { "content-type": "text/event-stream" })
        .end('data: {"jsonrpc":"2.0","id":1,"result":{"s":1}}\n\n');
    expect(events(await (await post(body)).text())).toMatchObject([progress, { id: 1, result: { s: 1 } }]);

    answer = json("no", 500);
    expect(events(await (await post(body)).text())).toMatchObject([progress, { id: 1, error: { code: -32603 } }]);

    decide = async ({ onWaiting }) => {
      onWaiting?.(1, verdict("needs_review"));
      return verdict("deny");
    };
    expect(events(await (await post(body)).text())).toMatchObject([progress, { id: 1, result: { isError: true } }]);
  });

  test("gets no stream without a progress token", async () => {
    decide = async ({ onWaiting }) => {
      onWaiting?.(1, verdict("needs_review"));
      return verdict("deny");
    };
    expect((await post(CALL)).headers.get("content-type")).toBe("application/json");
  });

  test("that waits ends with its connection, and is not forwarded", async () => {
    const waiting = Promise.withResolvers<DecideOptions>();
    decide = (options) => {
      waiting.resolve(options);
      return new Promise((resolve) => options.signal.addEventListener("abort", () => resolve(verdict("allow"))));
    };
    const client = new AbortController();
    const posted = post(CALL, {}, client.signal).catch(() => "gone");
    const { signal } = await waiting.promise;
    client.abort();
    expect(await posted).toBe("gone");
    await waitUntil(() => signal.aborted, 30_000, "the wait has not ended");
    expect(received).toEqual([]);
  });

  test("that waits ends when its session cancels it, and no other session's does", async () => {
    answer = (_, response) => void response.writeHead(202).end();
    const waiting = Promise.withResolvers<void>();
    decide = ({ signal }) => {
      waiting.resolve();
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve(verdict("allow"))));
    };
    const posted = post(CALL, { "mcp-session-id": "a" });
    await waiting.promise;
    const cancel = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } };
    expect((await post(cancel, { "mcp-session-id": "b" })).status).toBe(202);
    expect(received).toHaveLength(1);
    const twice = await post(CALL, { "mcp-session-id": "a" });
    expect(await twice.json()).toMatchObject({
      result: { isError: true, content: [{ text: expect.stringContaining("same id") }] },
    });
    expect((await post(cancel, { "mcp-session-id": "a" })).status).toBe(202);
    expect(await (await posted).json()).toMatchObject({ id: 1, error: { message: "The call was cancelled." } });
    expect(received).toHaveLength(1);
  });
});

describe("a call that is started, over HTTP", () => {
  const ended = (outcome: "succeeded" | "failed" | "unknown", errorCode?: string): EndsSeen => [
    ["send", { outcome, ...(errorCode !== undefined && { errorCode }) }],
  ];
  const untilEnded = (): Promise<void> => waitUntil(() => ends.length > 0, 30_000, "the call has not ended");
  const stream = (text: string) => (_: IncomingMessage, response: ServerResponse) =>
    void response.writeHead(200, { "content-type": "text/event-stream" }).end(text);
  beforeEach(() => {
    decide = async () => verdict("allow");
  });

  test("is not forwarded where its start was refused", async () => {
    start = async () => NOT_STARTED;
    const response = await post(CALL);
    expect([response.status, await response.json()]).toMatchObject([200, { id: 1, result: { isError: true } }]);
    expect(received).toEqual([]);
  });

  test.each<[string, (request: IncomingMessage, response: ServerResponse) => void, EndsSeen]>([
    ["a result", json('{"jsonrpc":"2.0","id":1,"result":{}}'), ended("succeeded")],
    ["a result with isError", json('{"id":1,"result":{"isError":true}}'), ended("failed", "TOOL_ERROR")],
    ["an error", json('{"id":1,"error":{"code":-32000}}', 400), ended("failed", "JSON_RPC_-32000")],
    ["an answer to another request", json('{"id":2,"result":{}}'), ended("unknown", "NO_ANSWER")],
    [
      "two answers, of which the first counts",
      stream('data: {"id":1,"result":{}}\n\ndata: {"id":1,"error":{}}\n\n'),
      ended("succeeded"),
    ],
    ["no JSON", json("no"), ended("unknown", "NO_ANSWER")],
    ["a refusal", json("no", 401), ended("failed", "HTTP_401")],
    ["a failure", json("no", 503), ended("unknown", "HTTP_503")],
    [
      "a redirect",
      (_, response) => void response.writeHead(307, { location: "/" }).end(),
      ended("unknown", "HTTP_307"),
    ],
    [
      "a switch of protocols",
      ({ socket }) => void socket.write("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
      ended("unknown", "HTTP_101"),
    ],
    [
      "a status that there is none of",
      ({ socket }) => void socket.write("HTTP/1.1 000 X\r\ncontent-length: 0\r\n\r\n"),
      ended("unknown", "HTTP_0"),
    ],
    ["a connection that breaks", (request) => void request.socket.destroy(), ended("unknown", "ECONNRESET")],
    [
      "a stream with the answer",
      stream(': hi\r\n\r\nid: 1\ndata: {"id":1,\ndata: "result":{}}\r\r'),
      ended("succeeded"),
    ],
    ["a stream without the answer", stream('data: {"method":"ping","id":1}\n\n'), ended("unknown", "NO_ANSWER")],
    ["an event that is cut off", stream('data: {"id":1,"result":'), ended("unknown", "NO_ANSWER")],
  ])("ends as it is answered: %s", async (_, answers, expected) => {
    answer = answers;
    await (await post(CALL)).text();
    await untilEnded();
    expect(ends).toEqual(expected);
  });

  test("passes byte for byte, in whatever it is looked at", async () => {
    const text = `: hi\r\n\r\nid: 1\rdata: {"id":1,\rdata:"result":{"é":"${"\u{1f600}".repeat(3)}"}}\r\rdata: cut`;
    answer = stream(text);
    expect(await (await post(CALL)).text()).toBe(text);
    expect(ends).toEqual(ended("succeeded"));
  });

  test("has an unknown end when its client leaves", async () => {
    const got = Promise.withResolvers<void>();
    answer = () => got.resolve();
    const client = new AbortController();
    const posted = post(CALL, {}, client.signal).catch(() => "gone");
    await got.promise;
    client.abort();
    expect(await posted).toBe("gone");
    await untilEnded();
    expect(ends).toEqual(ended("unknown", "CANCELLED"));
  });

  test("has an unknown end when its session cancels it, which the server hears of", async () => {
    const got = Promise.withResolvers<ServerResponse>();
    answer = (_, response) => got.resolve(response);
    const posted = post(CALL, { "mcp-session-id": "a" });
    const response = await got.promise;
    answer = (_, other) => void other.writeHead(202).end();
    const cancel = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } };
    await post(cancel, { "mcp-session-id": "b" });
    expect(ends).toEqual([]);
    await post(cancel, { "mcp-session-id": "a" });
    expect([ends, received.length]).toEqual([ended("unknown", "CANCELLED"), 3]);
    response.end('{"id":1,"result":{}}');
    await (await posted).text();
    expect(ends).toHaveLength(1);
  });

  test("whose stream broke off ends when the session resumes it, and its id is taken until then", async () => {
    const session = { "mcp-session-id": "a" };
    answer = stream("id: 1\ndata: \n\n");
    await (await post(CALL, session)).text();
    const again = await post(CALL, session);
    expect(await again.json()).toMatchObject({ result: { content: [{ text: expect.stringContaining("same id") }] } });
    expect(ends).toEqual([]);
    answer = stream('id: 2\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n');
    const resume = (id: string): Promise<Response> =>
      fetch(url, { headers: { accept: "text/event-stream", "last-event-id": "1", "mcp-session-id": id } });
    await (await resume("b")).text();
    expect(ends).toEqual([]);
    await (await resume("a")).text();
    expect(ends).toEqual(ended("succeeded"));
    expect((await post(CALL, session)).status).toBe(200);
  });
});

describe("everything else over HTTP", () => {
  test("passes: other messages, streams of the server, the end of a session", async () => {
    answer = (_, response) =>
      response
        .writeHead(200, { "content-type": "text/event-stream", "mcp-session-id": "s" })
        .end("id: 7\ndata: {}\n\n");
    const body = '{ "jsonrpc":"2.0","id":1,"method":"initialize","params":{}}';
    const response = await post(body);
    expect([response.headers.get("mcp-session-id"), await response.text()]).toEqual(["s", "id: 7\ndata: {}\n\n"]);
    const stream = await fetch(url, {
      headers: { accept: "text/event-stream", "last-event-id": "6", "mcp-session-id": "s" },
    });
    expect(await stream.text()).toBe("id: 7\ndata: {}\n\n");
    await (await fetch(url, { method: "DELETE", headers: { "mcp-session-id": "s" } })).text();
    expect(received).toMatchObject([
      { method: "POST", body },
      { method: "GET", headers: { "last-event-id": "6", "mcp-session-id": "s" } },
      { method: "DELETE", headers: { "mcp-session-id": "s" } },
    ]);
  });

  test.each([301, 302, 307, 308])("is no redirect (%i): neither side goes anywhere else", async (status) => {
    answer = (_, response) => response.writeHead(status, { location: "http://127.0.0.1:1/mcp" }).end();
    const response = await post({ jsonrpc: "2.0", id: 1, method: "ping" });
    expect([response.status, response.headers.get("location"), await response.json()]).toMatchObject([
      502,
      null,
      { id: 1, error: {} },
    ]);
  });

  test("passes the server's refusals, such as for a missing token", async () => {
    answer = (_, response) => response.writeHead(401, { "www-authenticate": "Bearer x" }).end();
    const response = await post({ jsonrpc: "2.0", id: 1, method: "ping" });
    expect([response.status, response.headers.get("www-authenticate")]).toEqual([401, "Bearer x"]);
  });

  test.each<[string, string, Record<string, string>, number]>([
    ["no JSON", "tools/call", {}, 400],
    ["another content type", JSON.stringify(CALL), { "content-type": "text/plain" }, 415],
    ["another charset", JSON.stringify(CALL), { "content-type": "application/json; charset=utf-16" }, 415],
    ["a compressed body", JSON.stringify(CALL), { "content-encoding": "gzip" }, 415],
    ["a body that is too long", `"${"a".repeat(16 * 1024 * 1024)}"`, {}, 413],
    ["a notification that calls a tool", JSON.stringify({ ...CALL, id: undefined }), {}, 400],
    [
      "an unknown method, to a client of 2026-07-28",
      '{"jsonrpc":"2.0","id":1,"method":"x/run"}',
      { "mcp-protocol-version": "2026-07-28" },
      404,
    ],
    ["an unknown method, to another client", '{"jsonrpc":"2.0","id":1,"method":"x/run"}', {}, 200],
    ["a batch where the version has none", JSON.stringify([CALL]), { "mcp-protocol-version": "2025-06-18" }, 400],
    ["another site's page", JSON.stringify(CALL), { origin: "http://evil.example" }, 403],
    ["another site's page, as the browser says", JSON.stringify(CALL), { "sec-fetch-site": "cross-site" }, 403],
  ])("is refused: %s", async (_, body, headers, status) => {
    const response = await post(body, headers);
    expect([response.status, await response.json()]).toMatchObject([status, { error: {} }]);
    expect(received).toEqual([]);
  });

  test.each<[string, Record<string, string | string[]>, number]>([
    ["for another host, as after DNS rebinding", { host: "evil.example" }, 403],
    ["with two content types", { "content-type": ["application/json", "text/plain"] }, 400],
    ["with two names of a tool", { "mcp-method": "tools/call", "mcp-name": ["send", "read"] }, 400],
  ])("is refused %s", async (_, headers, status) => {
    const request = httpRequest(url, { method: "POST", headers: { ...TYPES, ...headers } });
    request.end(JSON.stringify(CALL));
    const [response] = (await once(request, "response")) as [IncomingMessage];
    response.resume();
    expect(response.statusCode).toBe(status);
    expect(received).toEqual([]);
  });

  test("is found at the server's own path alone, and by three methods", async () => {
    const other = await fetch(url.replace("/mcp", "/other"), {
      method: "POST",
      headers: TYPES,
      body: JSON.stringify(CALL),
    });
    expect(other.status).toBe(404);
    const put = await fetch(url, { method: "PUT", headers: TYPES, body: "{}" });
    expect([put.status, put.headers.get("allow")]).toEqual([405, "POST, GET, DELETE"]);
    expect(received).toEqual([]);
  });

  test("in a batch of 2025-03-26 passes whole or not at all", async () => {
    answer = json("[]");
    const batch = [CALL, { jsonrpc: "2.0", id: 2, method: "ping" }];
    decide = async () => verdict("allow");
    expect((await post(batch, { "mcp-protocol-version": "2025-03-26" })).status).toBe(200);
    expect(JSON.parse(received[0]?.body ?? "")).toEqual(batch);
    decide = async () => verdict("deny");
    const denied = await post(batch, { "mcp-protocol-version": "2025-03-26" });
    expect(await denied.json()).toMatchObject([
      { id: 1, result: { isError: true } },
      { id: 2, error: {} },
    ]);
    expect(received).toHaveLength(1);
  });
});

describe("a list of tools over HTTP", () => {
  const LIST = { jsonrpc: "2.0", id: 4, method: "tools/list" };
  const listed = '{"jsonrpc":"2.0","id":4, "result":{"tools":[{"name":"send"}]}}';
  const other = '{"jsonrpc":"2.0","id":5, "result":{"tools":[{"name":"send"}]}}';
  const hidden = { jsonrpc: "2.0", id: 4, result: { tools: [] } };
  const stream = (text: string) => (_: IncomingMessage, response: ServerResponse) =>
    void response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "x-own": "1" }).end(text);
  beforeEach(() => {
    filter = async ({ id }) => ({ jsonrpc: "2.0", id: id as number, result: { tools: [] } });
  });

  test("passes as it is without a filter", async () => {
    filter = null;
    answer = json(listed);
    expect(await (await post(LIST)).text()).toBe(listed);
    answer = stream(`data: ${listed}\n\n`);
    expect(await (await fetch(url)).text()).toBe(`data: ${listed}\n\n`);
  });

  test("leaves the server's stream when the client has left its own", async () => {
    const left = Promise.withResolvers<void>();
    answer = (_, response) => {
      response.once("close", () => left.resolve());
      response.writeHead(200, { "content-type": "text/event-stream" }).write(": hi\n\n");
    };
    const leave = new AbortController();
    await fetch(url, { headers: { accept: "text/event-stream" }, signal: leave.signal });
    leave.abort();
    await left.promise;
  });

  test("is filtered in an answer of JSON, whose headers pass", async () => {
    answer = json(listed);
    const response = await post(LIST);
    expect([response.status, response.headers.get("x-own"), await response.json()]).toEqual([200, "1", hidden]);
  });

  test("is filtered in a stream of events, where all else passes byte for byte", async () => {
    const before = `: hi\n\nid: 1\r\ndata: {"method": "notifications/tools/list_changed"}\r\n\r\ndata: ${other}\n\n`;
    answer = stream(`${before}id: 2\ndata: ${listed}\n\n`);
    const response = await post(LIST);
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(await response.text()).toBe(`${before}id: 2\ndata: ${JSON.stringify(hidden)}\n\n`);
  });

  test("is filtered where a stream of before is resumed", async () => {
    answer = stream(`data: {"method": "ping", "id": 4}\n\ndata: ${listed}\n\n`);
    const response = await fetch(url, { headers: { accept: "text/event-stream", "last-event-id": "1" } });
    expect(events(await response.text())).toEqual([{ method: "ping", id: 4 }, hidden]);
  });

  test("is filtered in a batch with a call that waited for people", async () => {
    decide = async ({ onWaiting }) => {
      onWaiting?.(1, verdict("needs_review"));
      return verdict("allow");
    };
    const call = { ...CALL, params: { ...CALL.params, _meta: { progressToken: 7 } } };
    answer = json(`[${listed}, {"jsonrpc":"2.0","id":1,"result":{}}]`);
    const response = await post([call, LIST], { "mcp-protocol-version": "2025-03-26" });
    expect(events(await response.text())).toEqual([
      expect.objectContaining({ method: "notifications/progress" }),
      [hidden, { jsonrpc: "2.0", id: 1, result: {} }],
    ]);
    answer = stream(`data: ${listed}\n\n`);
    const streamed = await post([call, LIST], { "mcp-protocol-version": "2025-03-26" });
    expect(events(await streamed.text())).toEqual([expect.anything(), hidden]);
  });

  test("is not looked for in answers to other requests, nor in errors", async () => {
    answer = json(listed);
    expect(await (await post({ ...LIST, method: "ping" })).text()).toBe(listed);
    answer = json(listed, 500);
    expect(await (await post(LIST)).text()).toBe(listed);
  });

  test("is an error where the answer is compressed", async () => {
    answer = (_, response) =>
      void response.writeHead(200, { "content-type": "application/json", "content-encoding": "br" }).end("x");
    const response = await post(LIST);
    expect([response.status, await response.json()]).toMatchObject([502, { id: 4, error: { code: -32603 } }]);
  });

  test("passes where it is no JSON, as it came", async () => {
    answer = json("no\ufffdJSON");
    expect(await (await post(LIST)).text()).toBe("no\ufffdJSON");
  });
});

test("a server that is not there is an error of each request", async () => {
  const address = { kind: "tcp", host: "127.0.0.1", port: 0, variable: "--listen" } as const;
  const nowhere = new URL(`http://127.0.0.1:${await freePort()}/mcp`);
  const seen: EndsSeen = [];
  const gate = { decide: async () => verdict("allow"), start: startInto(seen) };
  const alone = await openHttpProxy({
    gate,
    url: nowhere,
    address,
    allowedHosts: [],
    passMethods: new Set(),
    listFilter: null,
  });
  const { port } = alone.address as { port: number };
  const response = await fetch(`http://127.0.0.1:${port}/mcp`, {
    method: "POST",
    headers: TYPES,
    body: JSON.stringify(CALL),
  });
  expect([response.status, await response.json()]).toMatchObject([502, { id: 1, error: { code: -32603 } }]);
  expect(seen).toEqual([["send", { outcome: "failed", errorCode: "ECONNREFUSED" }]]);
  await alone.close({ drainMs: 0 });
});
