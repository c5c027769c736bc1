/** Servers that are slow, or stop in mid-answer. A call ends at its deadline; a later answer does not count. */
import { allowing, toProto } from "../answer.ts";
import { family, grpc, http, LATE } from "../case.ts";
import { envelope, FRAME, frame, GRPC_HEADERS, GRPC_OK, grpcAnswer, headerBlock, ping } from "../frames.ts";
import { chunk, connectAnswer, head, LAST_CHUNK, response } from "../http1.ts";
import type { Question } from "../question.ts";
import { outwait, send, STALL, stallWithin, type Step, wait } from "../script.ts";

const { cases, stub } = family("slow");
export const slowCases = cases;

const message = (q: Question) => toProto(allowing(q));
const framed = (q: Question) => envelope(message(q));

stub(
  "never",
  "No answer",
  grpc(() => [STALL]),
  LATE,
);
stub(
  "headers-only",
  "Headers, and nothing more",
  grpc((_, h2) => [h2.headers(GRPC_HEADERS), STALL]),
  LATE,
);
stub(
  "half-message",
  "Half of the message, and nothing more",
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.data(framed(q).subarray(0, 40)), STALL]),
  LATE,
);
stub(
  "no-trailers",
  "The whole message, and no trailers",
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.data(framed(q)), STALL]),
  LATE,
);
stub(
  "half-frame",
  "Half of a DATA frame, and nothing more",
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), ...stallWithin(frame(FRAME.data, 0, h2.id, framed(q)), 60)]),
  LATE,
);
stub(
  "half-trailers",
  "Half of the trailers' frame, and nothing more",
  grpc((q, h2) => [
    h2.headers(GRPC_HEADERS),
    h2.data(framed(q)),
    ...stallWithin(frame(FRAME.headers, 5, h2.id, headerBlock(GRPC_OK)), 14),
  ]),
  LATE,
);
stub(
  "pings",
  "PINGs every 50 ms, and no answer",
  grpc(function* () {
    for (;;) yield* [send(ping()), wait(50)];
  }),
  LATE,
);
stub(
  "informational",
  "An informational header block every 50 ms, and no answer",
  grpc(function* (_, h2) {
    for (;;) yield* [h2.headers([[":status", "103"]]), wait(50)];
  }),
  LATE,
);
stub(
  "empty-frames",
  "An empty DATA frame every 50 ms, and no message",
  grpc(function* (_, h2) {
    yield h2.headers(GRPC_HEADERS);
    for (;;) yield* [h2.data(new Uint8Array()), wait(50)];
  }),
  LATE,
);
stub(
  "dripped",
  "A byte of the message each time, the last one after the deadline",
  grpc(function* (q, h2) {
    yield h2.headers(GRPC_HEADERS);
    for (const byte of framed(q).subarray(0, -1)) yield* [h2.data(Uint8Array.of(byte)), wait(1)];
    yield* [outwait(100), h2.data(framed(q).subarray(-1)), h2.trailers(GRPC_OK)];
  }),
  LATE,
);
stub(
  "just-late",
  "A right answer, 50 ms after the deadline",
  grpc((q, h2) => [outwait(50), ...grpcAnswer(h2, message(q))]),
  LATE,
);
stub(
  "late",
  "A right answer, 300 ms after the deadline",
  grpc((q, h2) => [outwait(300), ...grpcAnswer(h2, message(q))]),
  LATE,
);
stub(
  "late-trailers",
  "The message at once, the trailers 50 ms after the deadline",
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.data(framed(q)), outwait(50), h2.trailers(GRPC_OK)]),
  LATE,
);

/** The head of a right answer, in one body or in chunks. */
const begun = (type: string, length: number): Step =>
  head(200, [
    ["content-type", type],
    ["content-length", String(length)],
    ["connection", "close"],
  ]);
const chunked = (type: string): Step =>
  head(200, [
    ["content-type", type],
    ["transfer-encoding", "chunked"],
    ["connection", "close"],
  ]);

stub(
  "http-never",
  "No answer",
  http(() => [STALL]),
  LATE,
);
stub(
  "http-half-status",
  "Half of the status line, and nothing more",
  http(() => [send("HTTP/1.1 2"), STALL]),
  LATE,
);
stub(
  "http-half-head",
  "Half of the headers, and nothing more",
  http((_, a) => [send(`HTTP/1.1 200 OK\r\ncontent-type: ${a.contentType}\r\n`), STALL]),
  LATE,
);
stub(
  "http-headers-only",
  "The headers, and nothing more",
  http((_, a) => [begun(a.contentType, a.allow.length), STALL]),
  LATE,
);
stub(
  "http-half-body",
  "Half of the body, and nothing more",
  http((_, a) => [begun(a.contentType, a.allow.length), send(a.allow.subarray(0, 40)), STALL]),
  LATE,
);
stub(
  "http-one-byte-less",
  "The body but for its last byte",
  http((_, a) => [begun(a.contentType, a.allow.length), send(a.allow.subarray(0, -1)), STALL]),
  LATE,
);
stub(
  "http-no-last-chunk",
  "The whole answer in a chunk, and no last chunk",
  http((_, a) => [chunked(a.contentType), send(chunk(a.allow)), STALL]),
  LATE,
);
stub(
  "http-informational",
  "HTTP 103 every 50 ms, and no answer",
  http(function* () {
    for (;;) yield* [send("HTTP/1.1 103 Early Hints\r\n\r\n"), wait(50)];
  }),
  LATE,
);
stub(
  "http-headers-dripped",
  "A header every 50 ms, and no end of them",
  http(function* (_, a) {
    yield send(`HTTP/1.1 200 OK\r\ncontent-type: ${a.contentType}\r\n`);
    for (;;) yield* [send("x-fill: x\r\n"), wait(50)];
  }),
  LATE,
);
stub(
  "http-white-space-dripped",
  "White space every 50 ms, as JSON permits before an answer",
  http(function* (_, a) {
    yield chunked(a.contentType);
    for (;;) yield* [send(chunk(Uint8Array.of(0x20))), wait(50)];
  }),
  LATE,
);
stub(
  "http-dripped",
  "A byte of the body each time, the last one after the deadline",
  http(function* (_, a) {
    yield begun(a.contentType, a.allow.length);
    for (const byte of a.allow.subarray(0, -1)) yield* [send(Uint8Array.of(byte)), wait(1)];
    yield* [outwait(100), send(a.allow.subarray(-1))];
  }),
  LATE,
);
stub(
  "http-just-late",
  "A right answer, 50 ms after the deadline",
  http((_, a) => [outwait(50), ...connectAnswer(a.contentType, a.allow)]),
  LATE,
);
stub(
  "http-late",
  "A right answer, 300 ms after the deadline",
  http((_, a) => [outwait(300), response(200, [["content-type", a.contentType]], a.allow)]),
  LATE,
);
stub(
  "http-late-last-chunk",
  "The answer at once, the last chunk 50 ms after the deadline",
  http((_, a) => [chunked(a.contentType), send(chunk(a.allow)), outwait(50), send(LAST_CHUNK)]),
  LATE,
);
