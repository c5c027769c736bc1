import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { status } from "@grpc/grpc-js";
import { type Open, openListeners, portOf } from "../open.ts";
import { AUTHORIZE } from "../ask.ts";
import { frame, http2, openStream, rawGrpc, rawGrpcHeaders } from "../raw.ts";
import { CREDENTIAL } from "../stand-in.ts";
import { field, text } from "../codec/wire-bytes.ts";

const MIB = 1024 * 1024;
const VALID = Buffer.concat([field(1, text("t")), field(3, text("k"))]);

let open: Open;
let port: number;
beforeAll(async () => {
  open = await openListeners();
  port = portOf(open.grpc);
});
afterAll(async () => open.close());

/** A valid request but for an unknown field that makes it `length` bytes long. */
function ofLength(length: number): Buffer {
  const padding = field(99, Buffer.alloc(length - VALID.length - 6));
  const bytes = Buffer.concat([VALID, padding]);
  return Buffer.concat([VALID, field(99, Buffer.alloc(length - VALID.length - 6 + length - bytes.length))]);
}

describe("the gRPC transport", () => {
  test.each([
    ["no body", Buffer.alloc(0)],
    ["a frame cut short", frame(VALID).subarray(0, 8)],
    ["a frame's head cut short", Buffer.from([0, 0])],
    ["two messages", Buffer.concat([frame(VALID), frame(VALID)])],
    ["bytes that are no message", frame(Buffer.from([0xff, 0xff, 0xff]))],
    ["a text that is not UTF-8", frame(field(1, Buffer.from([0xff])))],
  ])("answers %s with INVALID_ARGUMENT", async (_title, body) => {
    expect(await rawGrpc(port, body)).toEqual({
      http: 200,
      status: status.INVALID_ARGUMENT,
      reason: "REQUEST_MALFORMED",
    });
  });

  test("takes a message of 1 MiB, in clear and compressed", async () => {
    const headers = { "grpc-encoding": "gzip" };
    expect(ofLength(MIB)).toHaveLength(MIB);
    expect(await rawGrpc(port, frame(ofLength(MIB)))).toMatchObject({ status: status.OK });
    expect(await rawGrpc(port, frame(gzipSync(ofLength(MIB)), 1), headers)).toMatchObject({ status: status.OK });
  });

  test.each([
    ["one byte more", frame(ofLength(MIB + 1)), {}],
    ["a frame that says 4 GiB", Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), {}],
    ["gzip that becomes one byte more", frame(gzipSync(ofLength(MIB + 1)), 1), { "grpc-encoding": "gzip" }],
    [
      "gzip that becomes a hundred times as much",
      frame(gzipSync(Buffer.alloc(100 * MIB)), 1),
      { "grpc-encoding": "gzip" },
    ],
  ])("answers %s with RESOURCE_EXHAUSTED", async (_title, body, headers) => {
    expect(await rawGrpc(port, body, headers)).toEqual({
      http: 200,
      status: status.RESOURCE_EXHAUSTED,
      reason: "MESSAGE_TOO_LARGE",
    });
  });

  test("answers bytes that are no gzip with INVALID_ARGUMENT", async () => {
    const headers = { "grpc-encoding": "gzip" };
    for (const body of [frame(VALID, 1), frame(gzipSync(VALID).subarray(0, 12), 1)]) {
      expect(await rawGrpc(port, body, headers)).toMatchObject({
        status: status.INVALID_ARGUMENT,
        reason: "REQUEST_MALFORMED",
      });
    }
  });

  test("answers an encoding that it does not know with UNIMPLEMENTED", async () => {
    expect(await rawGrpc(port, frame(VALID, 1), { "grpc-encoding": "snappy" })).toMatchObject({
      status: status.UNIMPLEMENTED,
      reason: "ENCODING_UNSUPPORTED",
    });
    expect(open.faultedMethods.at(-1)).toBe("Authorize");
  });

  test("tells of a fault which method had it, with its cause", async () => {
    const path = "/datacrawl.authz.v1.AuthorizeService/SyncGuard";
    const headers = { ":path": path, authorization: "Bearer broken" };
    expect(await rawGrpc(port, frame(Buffer.alloc(0)), headers)).toMatchObject({ status: status.INTERNAL });
    expect(open.faultedMethods.at(-1)).toBe("SyncGuard");
    expect(open.faults.at(-1)).toMatchObject({ code: "INTERNAL", cause: { message: "secret" } });
  });

  test.each(["soon", "S", "5", "", "100000000S", "123456789012m", "-5S", "5 S", "5S5S", "1e3S", "5s"])(
    "answers the timeout %j with INVALID_ARGUMENT, and does not call the handler",
    async (timeout) => {
      open.handler.calls.length = 0;
      expect(await rawGrpc(port, frame(VALID), { "grpc-timeout": timeout })).toEqual({
        http: 200,
        status: status.INVALID_ARGUMENT,
        reason: "REQUEST_MALFORMED",
      });
      expect(open.handler.calls).toEqual([]);
      expect(open.faultedMethods.at(-1)).toBe("Authorize");
    },
  );

  test.each(["99999999H", "99999999M", "3000000S"])(
    "takes the distant timeout %s for its own longest",
    async (timeout) => {
      expect(await rawGrpc(port, frame(VALID), { "grpc-timeout": timeout })).toMatchObject({ status: status.OK });
    },
  );

  test.each<[string, string[]]>([
    ["authorization", ["authorization", CREDENTIAL, "authorization", "Bearer other"]],
    ["authorization in other case", ["Authorization", CREDENTIAL, "AUTHORIZATION", CREDENTIAL]],
    ["grpc-timeout", ["authorization", CREDENTIAL, "grpc-timeout", "5S", "grpc-timeout", "5S"]],
    ["content-type", ["authorization", CREDENTIAL, "content-type", "application/grpc"]],
    ["grpc-encoding", ["authorization", CREDENTIAL, "grpc-encoding", "identity", "grpc-encoding", "gzip"]],
  ])("refuses the header %s twice", async (_name, repeated) => {
    open.handler.calls.length = 0;
    expect(await rawGrpcHeaders(port, frame(VALID), repeated)).toMatchObject({
      status: status.INVALID_ARGUMENT,
      reason: "REQUEST_MALFORMED",
    });
    expect(open.handler.calls).toEqual([]);
  });

  test.each([
    [{ ":authority": "evil.example" }, "HOST_NOT_ALLOWED"],
    [{ ":authority": "127.0.0.1:7440", origin: "http://evil.example" }, "CROSS_SITE"],
    [{ ":authority": "localhost", "sec-fetch-site": "cross-site" }, "CROSS_SITE"],
  ])("refuses %j, health and reflection too", async (headers, reason) => {
    const paths = [
      AUTHORIZE,
      "/grpc.health.v1.Health/Check",
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ];
    for (const path of paths) {
      expect(await rawGrpc(port, frame(VALID), { ...headers, ":path": path })).toEqual({
        http: 200,
        status: status.PERMISSION_DENIED,
        reason,
      });
    }
  });

  test("ends a stream that it refuses, and goes on serving the connection", async () => {
    const session = http2(port);
    for (let index = 0; index < 300; index++) {
      const stream = openStream(session, { ":authority": "evil.example" });
      stream.resume();
      // Its body never ends.
      stream.write(Buffer.from([0]));
      await new Promise((resolve) => void stream.once("close", resolve));
    }
    const stream = openStream(session);
    stream.resume();
    const trailers = new Promise((resolve) => void stream.once("trailers", resolve));
    stream.end(frame(VALID));
    expect(await trailers).toMatchObject({ "grpc-status": "0" });
    session.destroy();
  });

  test("does not work on a request whose deadline has passed", async () => {
    open.handler.calls.length = 0;
    expect(await rawGrpc(port, frame(VALID), { "grpc-timeout": "0m" })).toMatchObject({
      status: status.DEADLINE_EXCEEDED,
    });
    expect(open.handler.calls).toEqual([]);
  });

  test("waits for a body no longer than for anything else", { tags: ["full"] }, async () => {
    const answers = await Promise.all([rawGrpc(port, undefined), rawGrpc(port, undefined, { "grpc-timeout": "200m" })]);
    expect(answers).toEqual(
      answers.map(() => ({ http: 200, status: status.DEADLINE_EXCEEDED, reason: "DEADLINE_EXCEEDED" })),
    );
  });

  test("answers other content types with 415, and other methods with UNIMPLEMENTED", async () => {
    expect(await rawGrpc(port, frame(VALID), { "content-type": "application/json" })).toMatchObject({ http: 415 });
    for (const path of ["/datacrawl.authz.v1.AuthorizeService/Other", "/x", "/\u00e9"]) {
      expect(await rawGrpc(port, frame(VALID), { ":path": path })).toMatchObject({ status: status.UNIMPLEMENTED });
    }
  });

  test("does not repeat a header that it cannot read", async () => {
    const printed: string[] = [];
    const error = console.error;
    console.error = (...args: unknown[]) => void printed.push(args.join(" "));
    try {
      await rawGrpc(port, frame(VALID), { authorization: "Bearer s\u00e9cret" });
    } finally {
      console.error = error;
    }
    expect(printed).toEqual([]);
  });

  test("takes no more requests at once than it can hold", async () => {
    const sessions = [http2(port), http2(port), http2(port), http2(port), http2(port)];
    const statuses: number[] = [];
    for (const session of sessions) {
      for (let index = 0; index < 120; index++) {
        const stream = openStream(session);
        stream.on("error", () => {});
        stream.on("response", (headers) => void statuses.push(Number(headers["grpc-status"])));
        stream.write(Buffer.from([0]));
        stream.resume();
      }
    }
    await expect.poll(() => statuses.length).toBe(600 - 512);
    expect(new Set(statuses)).toEqual(new Set([status.RESOURCE_EXHAUSTED]));
    for (const session of sessions) session.destroy();
    await expect.poll(async () => (await rawGrpc(port, frame(VALID))).status).toBe(status.OK);
  });

  test("outlives thousands of streams that are opened and reset", async () => {
    for (let connection = 0; connection < 5; connection++) {
      const session = http2(port);
      for (let index = 0; index < 2000 && !session.destroyed; index++) {
        const stream = openStream(session);
        stream.on("error", () => {});
        stream.close(8);
        if (index % 100 === 0) await new Promise((resolve) => void setImmediate(resolve));
      }
      session.destroy();
    }
    expect(await rawGrpc(port, frame(VALID))).toMatchObject({ status: status.OK });
    await expect.poll(async () => await open.metrics.metrics()).toContain("datacrawl_in_flight 0");
  });

  test("ends a connection that resets streams without end", async () => {
    const session = http2(port);
    const ended = new Promise<number>((resolve) => void session.once("goaway", resolve));
    for (let index = 0; index < 5000 && !session.destroyed; index++) {
      const stream = openStream(session);
      stream.on("error", () => {});
      stream.write(frame(VALID));
      await new Promise((resolve) => void setImmediate(resolve));
      stream.close(8);
    }
    expect(await ended).toEqual(expect.any(Number));
    session.destroy();
  });
});
