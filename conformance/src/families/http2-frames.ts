/** Frames in the wrong place, of the wrong size or without end, around an answer that would allow (RFC 9113). */
import { allowing, toProto } from "../answer.ts";
import { ANY, family, grpc } from "../case.ts";
import {
  envelope,
  FLAG,
  FRAME,
  frame,
  goaway,
  GRPC_HEADERS,
  GRPC_OK,
  grpcAnswer,
  type H2Stream,
  headerBlock,
  ping,
  settings,
  u32,
} from "../frames.ts";
import { concat, utf8 } from "../protobuf.ts";
import type { Question } from "../question.ts";
import { send, STALL, stallWithin, type Step } from "../script.ts";

const { cases, stub, guard } = family("http2-frame");
export const http2Frames = cases;

const NONE = new Uint8Array();
const framed = (q: Question) => envelope(toProto(allowing(q)));
/** A right answer with these frames between its headers and its data. */
const amid = (make: (h2: H2Stream) => Step[]) =>
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), ...make(h2), h2.data(framed(q)), h2.trailers(GRPC_OK)]);
/** A right answer with these bytes before it. */
const after = (...bytes: readonly Uint8Array[]) =>
  grpc((q, h2) => [...bytes.map((one) => send(one)), ...grpcAnswer(h2, toProto(allowing(q)))]);

// CONTINUATION.
stub(
  "continuation-alone",
  "CONTINUATION that continues nothing",
  amid((h2) => [h2.frame(FRAME.continuation, FLAG.endHeaders, headerBlock([["x-a", "b"]]))]),
  ANY,
);
stub(
  "continuation-interrupted",
  "DATA in the midst of a header block",
  grpc((q, h2) => [
    h2.frame(FRAME.headers, 0, headerBlock(GRPC_HEADERS)),
    h2.data(framed(q)),
    h2.frame(FRAME.continuation, FLAG.endHeaders, NONE),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);
stub(
  "continuation-ping",
  "PING in the midst of a header block",
  grpc((q, h2) => [
    h2.frame(FRAME.headers, 0, headerBlock(GRPC_HEADERS)),
    send(ping()),
    h2.frame(FRAME.continuation, FLAG.endHeaders, NONE),
    h2.data(framed(q)),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);
stub(
  "continuation-other-stream",
  "CONTINUATION on another stream",
  grpc((q, h2) => [
    h2.frame(FRAME.headers, 0, headerBlock(GRPC_HEADERS)),
    send(frame(FRAME.continuation, FLAG.endHeaders, h2.id + 2, NONE)),
    h2.data(framed(q)),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);
stub(
  "continuation-flood",
  "A header block of 5,000 frames that never ends",
  grpc((_, h2) => [
    h2.frame(FRAME.headers, 0, headerBlock(GRPC_HEADERS)),
    ...Array.from({ length: 5000 }, () => h2.frame(FRAME.continuation, 0, NONE)),
    ...stallWithin(frame(FRAME.continuation, FLAG.endHeaders, h2.id, NONE), 0),
  ]),
  ANY,
);
stub(
  "header-flood",
  "A header block of a megabyte that never ends",
  grpc((_, h2) => [
    h2.frame(FRAME.headers, 0, headerBlock(GRPC_HEADERS)),
    ...Array.from({ length: 64 }, () => h2.frame(FRAME.continuation, 0, headerBlock([["x-fill", "x".repeat(16_000)]]))),
    ...stallWithin(frame(FRAME.continuation, FLAG.endHeaders, h2.id, NONE), 0),
  ]),
  ANY,
);

// Frames in the wrong place or of the wrong size.
const on0 = (type: number, payload: Uint8Array) => frame(type, 0, 0, payload);
stub(
  "headers-on-stream-0",
  "HEADERS on stream 0",
  after(frame(FRAME.headers, FLAG.endHeaders, 0, headerBlock(GRPC_HEADERS))),
  ANY,
);
stub("rst-on-stream-0", "RST_STREAM on stream 0", after(on0(FRAME.rstStream, u32(0))), ANY);
stub(
  "rst-on-idle-stream",
  "RST_STREAM on a stream that nobody opened",
  after(frame(FRAME.rstStream, 0, 2 ** 30 + 1, u32(0))),
  ANY,
);
stub(
  "rst-short",
  "RST_STREAM of three bytes",
  amid((h2) => [h2.frame(FRAME.rstStream, 0, new Uint8Array(3))]),
  ANY,
);
stub(
  "settings-on-a-stream",
  "SETTINGS on a stream",
  amid((h2) => [h2.frame(FRAME.settings, 0, NONE)]),
  ANY,
);
stub("settings-odd-length", "SETTINGS of five bytes", after(on0(FRAME.settings, new Uint8Array(5))), ANY);
stub(
  "settings-ack-with-payload",
  "An acknowledgement of SETTINGS that holds settings",
  after(frame(FRAME.settings, FLAG.ack, 0, new Uint8Array(6))),
  ANY,
);
stub("settings-window-too-large", "An initial window of 2³²−1", after(settings([4, 2 ** 32 - 1])), ANY);
stub("settings-frame-size-too-small", "A largest frame of 100 bytes", after(settings([5, 100])), ANY);
stub("settings-push-two", "ENABLE_PUSH = 2", after(settings([2, 2])), ANY);
stub("settings-push-by-server", "ENABLE_PUSH = 1 from a server", after(settings([2, 1])), ANY);
stub("ping-short", "PING of seven bytes", after(on0(FRAME.ping, new Uint8Array(7))), ANY);
stub(
  "ping-on-a-stream",
  "PING on a stream",
  amid((h2) => [h2.frame(FRAME.ping, 0, new Uint8Array(8))]),
  ANY,
);
stub(
  "goaway-on-a-stream",
  "GOAWAY on a stream",
  amid((h2) => [h2.frame(FRAME.goaway, 0, new Uint8Array(8))]),
  ANY,
);
stub("goaway-short", "GOAWAY of four bytes", after(on0(FRAME.goaway, u32(0))), ANY);
stub(
  "window-update-zero",
  "WINDOW_UPDATE by 0 on the stream",
  amid((h2) => [h2.frame(FRAME.windowUpdate, 0, u32(0))]),
  ANY,
);
stub(
  "window-update-zero-connection",
  "WINDOW_UPDATE by 0 on the connection",
  after(on0(FRAME.windowUpdate, u32(0))),
  ANY,
);
stub(
  "window-update-overflow",
  "WINDOW_UPDATE beyond 2³¹−1 on the connection",
  after(on0(FRAME.windowUpdate, u32(2 ** 31 - 1)), on0(FRAME.windowUpdate, u32(2 ** 31 - 1))),
  ANY,
);
stub(
  "frame-too-large",
  "A DATA frame of 20,000 bytes",
  amid((h2) => [h2.data(new Uint8Array(20_000))]),
  ANY,
);
stub(
  "frame-length-lies",
  "A DATA frame that claims 16 MiB",
  grpc((q, h2) => [
    h2.headers(GRPC_HEADERS),
    send(concat(Uint8Array.of(0xff, 0xff, 0xff, FRAME.data, 0), u32(h2.id), framed(q))),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);
stub(
  "padding-too-long",
  "DATA with more padding than there is frame",
  grpc((q, h2) => [
    h2.headers(GRPC_HEADERS),
    h2.frame(FRAME.data, FLAG.padded, concat(Uint8Array.of(255), framed(q).subarray(0, 10))),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);
stub(
  "push-promise",
  "PUSH_PROMISE, which the client has not permitted, with the answer on the pushed stream",
  grpc((q, h2) => [
    h2.frame(
      FRAME.pushPromise,
      FLAG.endHeaders,
      concat(
        u32(2),
        headerBlock([
          [":method", "GET"],
          [":scheme", "http"],
          [":path", "/"],
          [":authority", "x"],
        ]),
      ),
    ),
    send(frame(FRAME.headers, FLAG.endHeaders, 2, headerBlock(GRPC_HEADERS))),
    send(frame(FRAME.data, FLAG.endStream, 2, framed(q))),
    STALL,
  ]),
  ANY,
);
stub(
  "noise",
  "Bytes that are no frames",
  grpc((q, h2) => [send(utf8("HTTP/1.1 200 OK\r\n\r\nALLOW")), ...grpcAnswer(h2, toProto(allowing(q)))]),
  ANY,
);
stub(
  "http-1-answer",
  "A whole HTTP/1.1 answer",
  grpc((q) => [send("HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 0\r\n\r\n"), send(framed(q))]),
  ANY,
);

// Floods that lead to nothing.
stub(
  "settings-storm",
  "2,000 SETTINGS, and no answer",
  grpc(() => [...Array.from({ length: 2000 }, () => send(settings([3, 100]))), STALL]),
  ANY,
);
stub(
  "ping-flood",
  "5,000 PINGs, and no answer",
  grpc(() => [...Array.from({ length: 5000 }, () => send(ping())), STALL]),
  ANY,
);
stub(
  "empty-data-flood",
  "5,000 empty DATA frames, and no message",
  grpc((_, h2) => [h2.headers(GRPC_HEADERS), ...Array.from({ length: 5000 }, () => h2.data(NONE)), STALL]),
  ANY,
);
stub(
  "informational-flood",
  "1,000 informational header blocks, and no answer",
  grpc((_, h2) => [...Array.from({ length: 1000 }, () => h2.headers([[":status", "103"]])), STALL]),
  ANY,
);
stub(
  "window-beyond",
  "80 KiB of DATA without regard to the client's window, and no end",
  grpc((_, h2) => [
    h2.headers(GRPC_HEADERS),
    ...Array.from({ length: 80 }, () => h2.data(new Uint8Array(1024))),
    STALL,
  ]),
  ANY,
);
// The server has said that it did not process this call.
guard(
  "goaway-disowned",
  "GOAWAY that disowns this call, and then its answer",
  grpc((q, h2) => [send(goaway(0, 0)), ...grpcAnswer(h2, toProto(allowing(q)))]),
  ANY,
);
