import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type OutgoingHttpHeaders,
} from "node:http2";
import { connect as connectTcp } from "node:net";
import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { ErrorInfoSchema, StatusSchema } from "@datacrawl/proto/google/rpc/error_details_pb";
import { AUTHORIZE } from "./ask.ts";
import { CREDENTIAL } from "./stand-in.ts";

/** An answer over HTTP, as it came. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** One HTTP/1.1 request on a connection of its own. */
export function http(
  port: number,
  options: { path?: string; method?: string; headers?: Record<string, string | number>; body?: Buffer | string } = {},
): Promise<HttpAnswer> {
  const { path = AUTHORIZE, method = "POST", headers = {}, body = "" } = options;
  return new Promise((resolve, reject) => {
    const all = { authorization: CREDENTIAL, "content-type": "application/json", ...headers };
    const request = httpRequest({ host: "127.0.0.1", port, path, method, headers: all, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** Sends `text` over TCP and gives what comes back until the server closes. */
export function tcp(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connectTcp(port, "127.0.0.1", () => socket.write(text));
    socket.on("data", (chunk: Buffer) => (received += chunk.toString()));
    socket.on("close", () => resolve(received));
    socket.on("error", reject);
  });
}

/** A gRPC answer: the status of HTTP, that of gRPC, and the reason in its details. */
export interface GrpcAnswer {
  readonly http: number;
  readonly status: number;
  readonly reason: string | undefined;
}

/** A connection that speaks HTTP/2 in clear, and does what gRPC's libraries would not. */
export function http2(port: number): ClientHttp2Session {
  // So that it sends what it should not.
  const lax = { strictSingleValueFields: false } as object;
  const session = connectHttp2(`http://127.0.0.1:${port}`, lax);
  session.on("error", () => {});
  return session;
}

export function openStream(session: ClientHttp2Session, headers: OutgoingHttpHeaders = {}) {
  return session.request({
    ":method": "POST",
    ":path": AUTHORIZE,
    "content-type": "application/grpc",
    te: "trailers",
    authorization: CREDENTIAL,
    ...headers,
  });
}

/** One call, whose body is `body` byte for byte; undefined leaves it open. */
export function rawGrpc(
  port: number,
  body: Buffer | undefined,
  headers: OutgoingHttpHeaders = {},
): Promise<GrpcAnswer> {
  const session = http2(port);
  const stream = openStream(session, headers);
  if (body === undefined) stream.write(Buffer.from([0]));
  else stream.end(body);
  return answerOf(stream).finally(() => session.destroy());
}

function answerOf(stream: ClientHttp2Stream): Promise<GrpcAnswer> {
  return new Promise<GrpcAnswer>((resolve, reject) => {
    let all: IncomingHttpHeaders & { ":status"?: number | undefined } = {};
    stream.on("response", (received) => (all = { ...all, ...received }));
    stream.on("trailers", (received) => (all = { ...all, ...received }));
    // The answer may be there before the request has ended.
    stream.on("end", () => stream.close());
    stream.on("error", reject);
    stream.on("close", () =>
      resolve({ http: all[":status"] ?? 0, status: Number(all["grpc-status"]), reason: reasonOf(all) }),
    );
    stream.resume();
  });
}

/** One call with these names and values in turn, in any case and number, besides those that it needs. */
export function rawGrpcHeaders(port: number, body: Buffer, headers: readonly string[]): Promise<GrpcAnswer> {
  const session = http2(port);
  const needed = [":method", "POST", ":path", AUTHORIZE, ":scheme", "http", ":authority", `127.0.0.1:${port}`];
  const stream = session.request([...needed, "content-type", "application/grpc", "te", "trailers", ...headers]);
  stream.end(body);
  return answerOf(stream).finally(() => session.destroy());
}

function reasonOf(headers: IncomingHttpHeaders): string | undefined {
  const details = headers["grpc-status-details-bin"];
  if (typeof details !== "string") return undefined;
  const status = fromBinary(StatusSchema, Buffer.from(details, "base64"));
  return status.details.map((any) => anyUnpack(any, ErrorInfoSchema)?.reason).find((reason) => reason !== undefined);
}

/** A gRPC frame. */
export function frame(message: Buffer, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
