import { once } from "node:events";
import type { IncomingHttpHeaders } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fromBinary } from "@bufbuild/protobuf";
import { ErrorInfoSchema } from "@datacrawl/proto/google/rpc/error_details_pb";
import { AUTHORIZE } from "../ask.ts";
import { type Open, openListeners, portOf } from "../open.ts";
import { frame, http, type HttpAnswer, tcp } from "../raw.ts";
import { CREDENTIAL } from "../stand-in.ts";
import { field, text } from "../codec/wire-bytes.ts";

const MIB = 1024 * 1024;
const VALID = '{"tool":"t","idempotencyKey":"k"}';
const BINARY = Buffer.concat([field(1, text("t")), field(3, text("k"))]);

let open: Open;
let port: number;
beforeAll(async () => {
  open = await openListeners();
  port = portOf(open.connect);
});
afterAll(async () => open.close());

/** A valid JSON request of `length` bytes. */
function ofLength(length: number): Buffer {
  return Buffer.from(VALID.slice(0, -1) + " ".repeat(length - VALID.length) + "}");
}

interface ConnectRefusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly reason: string | undefined;
}

function refusalOf({ status, body }: HttpAnswer): ConnectRefusal {
  const { code, message, details = [] } = JSON.parse(body.toString());
  const info = details.find(({ type }: { type: string }) => type === "google.rpc.ErrorInfo");
  const reason = info === undefined ? undefined : fromBinary(ErrorInfoSchema, Buffer.from(info.value, "base64")).reason;
  return { status, code, message, reason };
}

describe("the Connect transport", () => {
  test.each([
    ["no JSON", "nonsense", "REQUEST_MALFORMED", "The request is not JSON"],
    ["nothing", "", "REQUEST_MALFORMED", "The request is not JSON"],
    ["JSON cut short", VALID.slice(0, -1), "REQUEST_MALFORMED", "ends too early"],
    ["JSON that is not UTF-8", Buffer.from([0x22, 0xff, 0x22]), "REQUEST_MALFORMED", "not valid UTF-8"],
    ["a byte order mark", `\ufeff${VALID}`, "REQUEST_MALFORMED", "not JSON"],
    ["a misspelt field", '{"tool":"t","idempotencykey":"k"}', "FIELD_INVALID", "did you mean idempotencyKey?"],
    ["a name twice", '{"tool":"t","tool":"u","idempotencyKey":"k"}', "FIELD_INVALID", "tool occurs twice"],
    [
      "a name twice in the payload",
      '{"tool":"t","payload":{"a":{"b":1,"b":1}},"idempotencyKey":"k"}',
      "FIELD_INVALID",
      "payload.a.b occurs twice",
    ],
    [
      "a number beyond doubles",
      '{"tool":"t","payload":{"n":[1e400]},"idempotencyKey":"k"}',
      "FIELD_INVALID",
      "payload.n[0]",
    ],
    [
      "an integer that a double rounds",
      '{"tool":"t","payload":{"account":9007199254740993},"idempotencyKey":"k"}',
      "FIELD_INVALID",
      "payload.account is the number 9007199254740993",
    ],
    [
      "a fraction that a double rounds to an integer",
      '{"tool":"t","payload":{"share":0.99999999999999999999},"idempotencyKey":"k"}',
      "FIELD_INVALID",
      "payload.share is the number 0.99999999999999999999",
    ],
    [
      "a lone surrogate",
      '{"tool":"t","payload":{"a":"\\ud800"},"idempotencyKey":"k"}',
      "FIELD_INVALID",
      "payload.a must not contain a lone surrogate",
    ],
    [
      "a lone surrogate in the tool",
      '{"tool":"\\udfff","idempotencyKey":"k"}',
      "FIELD_INVALID",
      "tool must not contain a lone surrogate",
    ],
    [
      "NUL in the key",
      '{"tool":"t","idempotencyKey":"\\u0000"}',
      "FIELD_INVALID",
      "idempotency_key must not contain NUL",
    ],
    ["a field of another type", '{"tool":1,"idempotencyKey":"k"}', "FIELD_INVALID", "tool must be a string"],
    [
      "a hundred thousand lists",
      `{"tool":"t","payload":{"a":${"[".repeat(100_000)}`,
      "FIELD_INVALID",
      "nested too deep",
    ],
  ])("answers %s with invalid_argument", async (_title, body, reason, message) => {
    const refusal = refusalOf(await http(port, { body }));
    expect(refusal).toMatchObject({ status: 400, code: "invalid_argument", reason });
    expect(refusal.message).toContain(message);
  });

  test("answers binary that is no message with invalid_argument", async () => {
    const headers = { "content-type": "application/proto" };
    for (const body of [Buffer.from([0xff, 0xff, 0xff]), BINARY.subarray(0, 4), field(1, Buffer.from([0xff]))]) {
      expect(refusalOf(await http(port, { body, headers }))).toMatchObject({
        code: "invalid_argument",
        reason: "REQUEST_MALFORMED",
      });
    }
  });

  test("keeps a payload's __proto__ as a member", async () => {
    open.handler.calls.length = 0;
    await http(port, { body: '{"tool":"t","payload":{"__proto__":{"admin":true}},"idempotencyKey":"k"}' });
    expect(Object.keys(open.handler.requests.at(-1)?.payload ?? {})).toEqual(["__proto__"]);
  });

  test("takes a message of 1 MiB, in clear and compressed", async () => {
    expect((await http(port, { body: ofLength(MIB) })).status).toBe(200);
    expect((await http(port, { body: gzipSync(ofLength(MIB)), headers: { "content-encoding": "gzip" } })).status).toBe(
      200,
    );
    expect(
      (await http(port, { body: brotliCompressSync(ofLength(MIB)), headers: { "content-encoding": "br" } })).status,
    ).toBe(200);
  });

  test.each([
    ["one byte more", ofLength(MIB + 1), {}],
    ["one byte more, of unknown length", ofLength(MIB + 1), { "transfer-encoding": "chunked" }],
    ["ten times as much", ofLength(10 * MIB), {}],
    ["gzip that becomes one byte more", gzipSync(ofLength(MIB + 1)), { "content-encoding": "gzip" }],
    [
      "brotli that becomes a hundred times as much",
      brotliCompressSync(Buffer.alloc(100 * MIB)),
      { "content-encoding": "br" },
    ],
  ])("answers %s with resource_exhausted", async (_title, body, headers) => {
    expect(refusalOf(await http(port, { body, headers }))).toMatchObject({
      status: 429,
      code: "resource_exhausted",
      reason: "MESSAGE_TOO_LARGE",
    });
  });

  test("answers what is not compressed as it says with invalid_argument", async () => {
    for (const encoding of ["gzip", "br"]) {
      const answer = await http(port, { body: VALID, headers: { "content-encoding": encoding } });
      expect(refusalOf(answer)).toMatchObject({ code: "invalid_argument", reason: "REQUEST_MALFORMED" });
    }
  });

  test("answers encodings that it does not know with unimplemented", async () => {
    const answer = await http(port, { body: VALID, headers: { "content-encoding": "zstd" } });
    expect(refusalOf(answer)).toMatchObject({
      status: 501,
      code: "unimplemented",
      reason: "ENCODING_UNSUPPORTED",
    });
    expect(open.faultedMethods.at(-1)).toBe("Authorize");
  });

  test.each([
    ["GET", { method: "GET" }, 405],
    ["PUT", { method: "PUT", body: VALID }, 405],
    ["no content type", { body: VALID, headers: { "content-type": "" } }, 415],
    ["text", { body: VALID, headers: { "content-type": "text/plain" } }, 415],
    ["a form", { body: "a=1", headers: { "content-type": "application/x-www-form-urlencoded" } }, 415],
    ["another charset", { body: VALID, headers: { "content-type": "application/json; charset=latin1" } }, 415],
    ["Connect's streaming", { body: frame(BINARY), headers: { "content-type": "application/connect+proto" } }, 415],
    [
      "gRPC-Web in base64",
      { body: frame(BINARY).toString("base64"), headers: { "content-type": "application/grpc-web-text" } },
      415,
    ],
    ["another path", { path: "/nothing", body: VALID }, 404],
    ["another method", { path: "/datacrawl.authz.v1.AuthorizeService/Other", body: VALID }, 404],
    ["AdminService", { path: "/datacrawl.authz.v1.AdminService/ListAgents", body: "{}" }, 404],
  ])("answers %s as HTTP does", async (_title, request, status) => {
    open.handler.calls.length = 0;
    expect((await http(port, request)).status).toBe(status);
    expect(open.handler.calls).toEqual([]);
  });

  test.each(["soon", "-1", "+1", "1e9", "12345678901", "9999999999999", "0x100000", "Infinity", "1, 1"])(
    "answers the connect-timeout-ms %s with invalid_argument",
    async (timeout) => {
      open.handler.calls.length = 0;
      const answer = await http(port, { body: VALID, headers: { "connect-timeout-ms": timeout } });
      expect(refusalOf(answer)).toMatchObject({ code: "invalid_argument" });
      expect(open.handler.calls).toEqual([]);
    },
  );

  test.each(["soon", "100000000S", "1e9S", "-5S", "5 S", "0x100S", "5S, 5S"])(
    "answers the grpc-timeout %s with invalid_argument",
    async (timeout) => {
      open.handler.calls.length = 0;
      const headers = { "grpc-timeout": timeout, "content-type": "application/grpc-web+json" };
      const answer = await http(port, { body: frame(Buffer.from(VALID)), headers });
      expect(`${JSON.stringify(answer.headers)}${answer.body.toString()}`).toMatch(/grpc-status"?:\s?"?3\b/);
      expect(open.handler.calls).toEqual([]);
    },
  );

  const post = (headers: readonly string[], host = "localhost"): Promise<string> =>
    tcp(
      port,
      [
        `POST ${AUTHORIZE} HTTP/1.1`,
        ...(host === "" ? [] : [`host: ${host}`]),
        "content-type: application/json",
        `content-length: ${VALID.length}`,
        "connection: close",
        ...headers,
        "",
        VALID,
      ].join("\r\n"),
    );

  test.each<[string, string[]]>([
    ["Authorization", [`Authorization: ${CREDENTIAL}`, "authorization: Bearer other"]],
    ["Authorization, with the same value", [`authorization: ${CREDENTIAL}`, `authorization: ${CREDENTIAL}`]],
    ["Host", [`authorization: ${CREDENTIAL}`, "host: localhost"]],
    ["Content-Type", [`authorization: ${CREDENTIAL}`, "content-type: application/proto"]],
    ["Content-Encoding", [`authorization: ${CREDENTIAL}`, "content-encoding: identity", "content-encoding: gzip"]],
    ["Connect-Timeout-Ms", [`authorization: ${CREDENTIAL}`, "connect-timeout-ms: 5000", "Connect-Timeout-Ms: 5000"]],
  ])("refuses the header %s twice", async (_name, headers) => {
    open.handler.calls.length = 0;
    expect(await post(headers)).toMatch(/^HTTP\/1\.1 400 /);
    expect(open.handler.calls).toEqual([]);
  });

  test("answers as localhost and by its address, and for no other host or site", async () => {
    open.handler.calls.length = 0;
    const credential = `authorization: ${CREDENTIAL}`;
    for (const host of ["localhost", "127.0.0.1:1", "[::1]:7441"]) {
      expect(await post([credential], host), host).toMatch(/^HTTP\/1\.1 200 /);
    }
    expect(open.handler.calls).toHaveLength(3);
    expect(await post([credential], "evil.example")).toMatch(/^HTTP\/1\.1 403 [\s\S]*"permission_denied"/);
    expect(await post([credential, "origin: http://evil.example"])).toMatch(/^HTTP\/1\.1 403 /);
    expect(await post([credential, "sec-fetch-site: same-site"])).toMatch(/^HTTP\/1\.1 403 /);
    expect(open.faults.slice(-3).map(({ code }) => code)).toEqual(["HOST_NOT_ALLOWED", "CROSS_SITE", "CROSS_SITE"]);
    for (const page of ["/metrics", "/readyz"]) {
      expect(await tcp(port, `GET ${page} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n`)).toMatch(
        /^HTTP\/1\.1 403 /,
      );
      expect(await tcp(port, `GET ${page} HTTP/1.0\r\n\r\n`)).toMatch(/^HTTP\/1\.1 200 /);
    }
    expect(open.handler.calls).toHaveLength(3);
  });

  test("over HTTP/2 with TLS refuses a header twice, and takes any name that its certificate may have", async () => {
    const strict = { ca: open.ca, servername: "localhost", strictSingleValueFields: false };
    const session = connectHttp2(`https://127.0.0.1:${portOf(open.connectTls)}`, strict);
    const ask = async (headers: readonly string[]): Promise<number> => {
      const head = [":method", "POST", ":path", AUTHORIZE, ":scheme", "https", ":authority", "authz.example.org"];
      const stream = session.request([...head, "content-type", "application/json", ...headers]);
      stream.resume();
      stream.end(VALID);
      const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders & { ":status": number }];
      return answer[":status"];
    };
    expect(await ask(["authorization", CREDENTIAL])).toBe(200);
    expect(await ask(["authorization", CREDENTIAL, "authorization", CREDENTIAL])).toBe(400);
    session.destroy();
  });

  test("does not work on a request whose deadline has passed", async () => {
    open.handler.calls.length = 0;
    const answer = await http(port, { body: VALID, headers: { "connect-timeout-ms": "0" } });
    expect(refusalOf(answer)).toMatchObject({ code: "deadline_exceeded", reason: "DEADLINE_EXCEEDED" });
    expect(open.handler.calls).toEqual([]);
  });

  test.each([
    ["connect-timeout-ms", "9999999999", "application/json", VALID.replace('"t"', '"hold"')],
    ["grpc-timeout", "99999999H", "application/grpc-web+json", frame(Buffer.from(VALID.replace('"t"', '"hold"')))],
  ])("takes a %s of months for the longest that it allows", async (header, value, type, body) => {
    open.handler.calls.length = 0;
    const asking = http(port, { body, headers: { [header]: value, "content-type": type } });
    await expect.poll(() => open.handler.calls.length).toBe(1);
    await sleep(300);
    expect(open.handler.calls[0]?.signal?.aborted).toBe(false);
    open.handler.release();
    expect((await asking).status).toBe(200);
  });

  test("answers HTTP that is broken with 400, and goes on", async () => {
    const body = `content-type: application/json\r\ncontent-length: ${VALID.length}\r\nconnection: close\r\n\r\n${VALID}`;
    for (const head of [
      `POST ${AUTHORIZE} HTTP/1.1\r\n`,
      `POST ${AUTHORIZE} HTTP/1.1\r\nhost: [\r\n`,
      `POST ${AUTHORIZE} HTTP/1.1\r\nhost: a b\r\n`,
    ]) {
      expect(await tcp(port, head + body)).toMatch(/^HTTP\/1\.1 400 /);
    }
    expect(await tcp(port, `GET / HTTP/1.1\r\n${"x".repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect((await http(port, { body: VALID })).status).toBe(200);
  });

  describe("waits for a body no longer than for anything else", () => {
    const head = `POST ${AUTHORIZE} HTTP/1.1\r\nhost: localhost\r\nauthorization: ${CREDENTIAL}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n`;
    const unavailing = /^HTTP\/1\.1 504 [\s\S]*"deadline_exceeded"/;

    test("by the caller's deadline", async () => {
      expect(await tcp(port, `${head}connect-timeout-ms: 200\r\n\r\n{`)).toMatch(unavailing);
    });

    test("by the service's, of five seconds", { tags: ["full"] }, async () => {
      expect(await tcp(port, `${head}\r\n{`)).toMatch(unavailing);
    });
  });

  test("takes no more requests at once than it can hold", async () => {
    const head = `POST ${AUTHORIZE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\nconnect-timeout-ms: 20000\r\n\r\n`;
    const waiting = Array.from({ length: 512 }, () => {
      const socket = connect(port, "127.0.0.1");
      socket.write(head);
      return socket;
    });
    const refusal = { code: "resource_exhausted", reason: "QUEUE_FULL" };
    await expect.poll(async () => refusalOf(await http(port, { body: VALID }))).toMatchObject(refusal);
    for (const socket of waiting) socket.destroy();
    await expect.poll(async () => (await http(port, { body: VALID })).status).toBe(200);
  });

  test.each([
    ["no body", Buffer.alloc(0)],
    ["a frame cut short", frame(BINARY).subarray(0, 7)],
    ["two messages", Buffer.concat([frame(BINARY), frame(BINARY)])],
    ["a reserved flag", frame(BINARY, 2)],
    ["bytes that are no message", frame(Buffer.from([0xff]))],
  ])("answers %s over gRPC-Web with INVALID_ARGUMENT", async (_title, body) => {
    const answer = await http(port, { body, headers: { "content-type": "application/grpc-web+proto" } });
    expect(answer.status).toBe(200);
    expect(answer.body.toString()).toContain("grpc-status: 3\r\n");
  });
});
