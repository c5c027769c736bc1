import { describe, expect, it } from "vitest";
import { unframeConnect } from "../../src/transport/framing-connect.ts";
import { unframeGrpc } from "../../src/transport/framing-grpc.ts";
import type { Headers, WholeReply } from "../../src/transport/framing.ts";
import { frame } from "../support/service.ts";

const message = Buffer.from("message");

const lengths = (...values: number[]): [string, string][] => values.map((value) => ["content-length", String(value)]);
const typed = (...types: string[]): Headers => types.map((type) => ["content-type", type]);
const trailers = (...statuses: string[]): Headers => statuses.map((status) => ["grpc-status", status]);
const error = (httpStatus: number, body: unknown): Partial<WholeReply> => ({
  httpStatus,
  headers: [["content-type", "application/json"]],
  body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)),
});

describe("gRPC", () => {
  const good: WholeReply = {
    kind: "reply",
    httpStatus: 200,
    headers: [["content-type", "application/grpc"]],
    body: frame(message),
    trailers: [["grpc-status", "0"]],
  };
  const kindOf = (spoiled: Partial<WholeReply>): string => unframeGrpc({ ...good, ...spoiled }, false).kind;

  it("hands over the one message", () => {
    expect(unframeGrpc(good, false)).toEqual({ kind: "messages", unverifiedMessages: [message] });
    expect(kindOf({ headers: [...typed("application/grpc+proto"), ["grpc-encoding", "identity"]] })).toBe("messages");
    expect(kindOf({ headers: [...typed("application/grpc"), ...lengths(frame(message).length)] })).toBe("messages");
  });

  it.each<[string, Partial<WholeReply>]>([
    ["HTTP 201", { httpStatus: 201 }],
    ["HTTP 503 and everything else right", { httpStatus: 503 }],
    ["a foreign content type", { headers: typed("application/json") }],
    ["a content type with a parameter", { headers: typed("application/grpc; charset=utf-8") }],
    ["a content type in capitals", { headers: typed("Application/gRPC") }],
    ["two content types", { headers: typed("application/grpc", "application/grpc") }],
    ["no content type", { headers: [] }],
    ["a coding", { headers: [...typed("application/grpc"), ["grpc-encoding", "gzip"]] }],
    [
      "two codings",
      { headers: [...typed("application/grpc"), ["grpc-encoding", "identity"], ["grpc-encoding", "gzip"]] },
    ],
    ["a content-length that is too small", { headers: [...typed("application/grpc"), ["content-length", "0"]] }],
    ["two content-lengths", { headers: [...typed("application/grpc"), ...lengths(frame(message).length, 4)] }],
    ["flag 1", { body: frame(message, 1) }],
    ["a reserved flag", { body: frame(message, 0x80) }],
    ["two frames", { body: Buffer.concat([frame(message), frame(message)]) }],
    ["a byte more", { body: Buffer.concat([frame(message), Buffer.of(0)]) }],
    ["a byte less", { body: frame(message).subarray(0, -1) }],
    ["no frame", { body: Buffer.alloc(0) }],
    ["half a prefix", { body: Buffer.alloc(4) }],
    ["no trailers", { trailers: null }],
    ["no status", { trailers: [] }],
    ["an empty status", { trailers: trailers("") }],
    ["status 00", { trailers: trailers("00") }],
    ["status 0x0", { trailers: trailers("0x0") }],
    ["status +0", { trailers: trailers("+0") }],
    ["status 0 with a space", { trailers: trailers("0 ") }],
    ["status 0, 0", { trailers: trailers("0, 0") }],
    ["an unknown status", { trailers: trailers("17") }],
    ["status 0 twice", { trailers: trailers("0", "0") }],
    ["status 0 and 14", { trailers: trailers("0", "14") }],
    ["a status in the headers too", { headers: [...typed("application/grpc"), ["grpc-status", "0"]] }],
    [
      "OK without a message",
      { headers: [...typed("application/grpc"), ["grpc-status", "0"]], trailers: null, body: Buffer.alloc(0) },
    ],
  ])("calls malformed: %s", (_, spoiled) => {
    expect(kindOf(spoiled)).toBe("malformed");
  });

  it.each([
    [1, "failed"],
    [2, "failed"],
    [3, "refused"],
    [4, "late"],
    [5, "refused"],
    [6, "refused"],
    [7, "refused"],
    [8, "refused"],
    [9, "refused"],
    [10, "failed"],
    [11, "refused"],
    [12, "failed"],
    [13, "failed"],
    [14, "unavailable"],
    [15, "failed"],
    [16, "refused"],
  ])("calls status %i %s, in trailers or alone, whatever the body", (status, kind) => {
    const told: Headers = [
      ["grpc-status", String(status)],
      ["grpc-message", "a%20b%0a"],
    ];
    expect(unframeGrpc({ ...good, trailers: told }, false)).toMatchObject({
      kind,
      problem: expect.stringMatching(/^[A-Z_]+: a b $/),
    });
    expect(kindOf({ headers: [...good.headers, ...told], body: Buffer.alloc(0), trailers: null })).toBe(kind);
  });

  it("keeps a status' text, also one that is not percent-encoded", () => {
    const trailers: Headers = [
      ["grpc-status", "14"],
      ["grpc-message", "100%"],
    ];
    const text = unframeGrpc({ ...good, trailers }, false);
    expect(text).toMatchObject({ problem: "UNAVAILABLE: 100%" });
  });

  it.each([502, 503, 504])("takes a gateway's HTTP %i for an absence", (httpStatus) => {
    expect(kindOf({ httpStatus, headers: typed("text/html") })).toBe("unavailable");
    expect(kindOf({ httpStatus, headers: [] })).toBe("unavailable");
  });
});

describe("Connect", () => {
  const good: WholeReply = {
    kind: "reply",
    httpStatus: 200,
    headers: [
      ["content-type", "application/proto"],
      ["content-length", "7"],
    ],
    body: message,
    trailers: null,
  };
  const kindOf = (spoiled: Partial<WholeReply>): string => unframeConnect({ ...good, ...spoiled }, false).kind;
  const length = ["content-length", "7"] as const;

  it("hands over the body", () => {
    expect(unframeConnect(good, false)).toEqual({ kind: "messages", unverifiedMessages: [message] });
    expect(
      kindOf({
        headers: [
          ["content-type", "application/proto"],
          ["transfer-encoding", "chunked"],
        ],
      }),
    ).toBe("messages");
    expect(kindOf({ headers: [...good.headers, ["content-encoding", "identity"]] })).toBe("messages");
  });

  it.each<[string, Partial<WholeReply>]>([
    ["HTTP 201", { httpStatus: 201 }],
    ["HTTP 302", { httpStatus: 302 }],
    ["JSON", { headers: [["content-type", "application/json"], length] }],
    ["a content type with a parameter", { headers: [["content-type", "application/proto; a=b"], length] }],
    [
      "two content types",
      { headers: [["content-type", "application/proto"], ["content-type", "application/proto"], length] },
    ],
    ["no content type", { headers: [length] }],
    ["a coding", { headers: [...good.headers, ["content-encoding", "gzip"]] }],
    ["a body that ends with the connection", { headers: [["content-type", "application/proto"]] }],
    ["a foreign error", error(500, { error: "internal" })],
    ["an error that says OK", error(400, { code: "ok" })],
    ["an error that is not JSON", error(400, "<html>")],
    ["an error that is null", error(400, "null")],
    ["an error with 200", error(200, { code: "unavailable" })],
  ])("calls malformed: %s", (_, spoiled) => {
    expect(kindOf(spoiled)).toBe("malformed");
  });

  it.each([
    ["canceled", 499, "failed"],
    ["unknown", 500, "failed"],
    ["invalid_argument", 400, "refused"],
    ["deadline_exceeded", 504, "late"],
    ["permission_denied", 403, "refused"],
    ["resource_exhausted", 429, "refused"],
    ["unimplemented", 501, "failed"],
    ["internal", 500, "failed"],
    ["unavailable", 503, "unavailable"],
    ["unauthenticated", 401, "refused"],
  ])("calls an error %s %s", (code, status, kind) => {
    expect(kindOf(error(status, { code, message: "why" }))).toBe(kind);
  });

  it("takes a gateway's page for an absence", () => {
    expect(kindOf({ httpStatus: 503, headers: [["content-type", "text/html"]] })).toBe("unavailable");
  });
});

it.each([
  ["unreachable", "unavailable"],
  ["reset", "failed"],
  ["protocol", "malformed"],
] as const)("a reply that is %s is %s", (how, kind) => {
  for (const unframe of [unframeGrpc, unframeConnect]) {
    expect(unframe({ kind: "broken", how, problem: "\u001b[31mred\u202e" }, false)).toMatchObject({ kind });
  }
});

describe("a stream over gRPC", () => {
  const good: WholeReply = {
    kind: "reply",
    httpStatus: 200,
    headers: typed("application/grpc"),
    body: Buffer.concat([frame(message), frame(Buffer.alloc(0))]),
    trailers: trailers("0"),
  };
  const read = (spoiled: Partial<WholeReply>) => unframeGrpc({ ...good, ...spoiled }, true);

  it("hands over its messages in order", () => {
    expect(read({})).toEqual({ kind: "messages", unverifiedMessages: [message, Buffer.alloc(0)] });
  });

  it.each<[string, Partial<WholeReply>, string]>([
    ["no message", { body: Buffer.alloc(0) }, "malformed"],
    ["half a prefix behind", { body: Buffer.concat([good.body, Buffer.alloc(3)]) }, "malformed"],
    ["a byte less", { body: frame(message).subarray(0, -1) }, "malformed"],
    ["a compressed frame", { body: Buffer.concat([frame(message), frame(message, 1)]) }, "malformed"],
    ["no trailers", { trailers: null }, "malformed"],
    ["status 00", { trailers: trailers("00") }, "malformed"],
    ["HTTP 500", { httpStatus: 500 }, "malformed"],
    ["a foreign content type", { headers: typed("application/grpc-web") }, "malformed"],
    ["a status behind the messages", { trailers: trailers("14") }, "unavailable"],
  ])("%s", (_name, spoiled, kind) => {
    expect(read(spoiled).kind).toBe(kind);
  });
});

describe("a stream over Connect", () => {
  const end = (value: unknown): Buffer =>
    frame(Buffer.from(typeof value === "string" ? value : JSON.stringify(value)), 2);
  const body = (...frames: Buffer[]): Partial<WholeReply> => ({ body: Buffer.concat(frames) });
  const headers: Headers = [...typed("application/connect+proto"), ["transfer-encoding", "chunked"]];
  const good: WholeReply = {
    kind: "reply",
    httpStatus: 200,
    headers,
    body: Buffer.concat([frame(message), end({})]),
    trailers: null,
  };
  const read = (spoiled: Partial<WholeReply>) => unframeConnect({ ...good, ...spoiled }, true);

  it("hands over its messages in order", () => {
    expect(read({})).toEqual({ kind: "messages", unverifiedMessages: [message] });
    expect(read(body(frame(message), frame(message), end({ metadata: {} })))).toMatchObject({
      unverifiedMessages: [message, message],
    });
  });

  it.each<[string, Partial<WholeReply>, string]>([
    ["no end", body(frame(message)), "malformed"],
    ["an end and no message", body(end({})), "malformed"],
    ["a message behind the end", body(end({}), frame(message)), "malformed"],
    ["two ends", body(frame(message), end({}), end({})), "malformed"],
    ["a compressed message", body(frame(message, 1), end({})), "malformed"],
    ["a compressed end", body(frame(message), frame(Buffer.from("{}"), 3)), "malformed"],
    ["a cut end", { body: good.body.subarray(0, -1) }, "malformed"],
    ["an end that is no JSON", body(frame(message), end("{")), "malformed"],
    ["an end that is null", body(frame(message), end("null")), "malformed"],
    ["an error without a code", body(frame(message), end({ error: {} })), "malformed"],
    ["an error that is null", body(frame(message), end({ error: null })), "malformed"],
    ["an error behind a message", body(frame(message), end({ error: { code: "unavailable" } })), "unavailable"],
    [
      "an unary content type",
      { headers: [...typed("application/proto"), ["transfer-encoding", "chunked"]] },
      "malformed",
    ],
    ["HTTP 201", { httpStatus: 201 }, "malformed"],
    ["HTTP 503", { httpStatus: 503 }, "unavailable"],
    ["a coding", { headers: [...headers, ["connect-content-encoding", "gzip"]] }, "malformed"],
    ["a body that does not tell its length", { headers: typed("application/connect+proto") }, "malformed"],
  ])("%s", (_name, spoiled, kind) => {
    expect(read(spoiled).kind).toBe(kind);
  });
});
