/** Right answers in every HTTP/2 envelope that gRPC permits and a strict client can accept. */
import { allowing, toProto } from "../answer.ts";
import { family, grpc } from "../case.ts";
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
  type Header,
  ping,
  settings,
} from "../frames.ts";
import { advertised } from "./codings.ts";
import { concat, utf8 } from "../protobuf.ts";
import type { Question } from "../question.ts";
import { drip, send, type Step, wait } from "../script.ts";

const { cases, allow } = family("control-grpc");
export const grpcControls = cases;

const framed = (q: Question) => envelope(toProto(allowing(q)));
/** A right answer with these headers and trailers beside the necessary ones. */
const beside = (headers: readonly Header[], trailers: readonly Header[] = []) =>
  grpc((q, h2) => [
    h2.headers([...GRPC_HEADERS, ...headers]),
    h2.data(framed(q)),
    h2.trailers([...GRPC_OK, ...trailers]),
  ]);
/** A right answer with these frames between the headers and the data. */
const amid = (make: (h2: H2Stream) => Step[]) =>
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), ...make(h2), h2.data(framed(q)), h2.trailers(GRPC_OK)]);

allow(
  "plus-proto",
  "content-type application/grpc+proto",
  grpc((q, h2) => [
    h2.headers([
      [":status", "200"],
      ["content-type", "application/grpc+proto"],
    ]),
    h2.data(framed(q)),
    h2.trailers(GRPC_OK),
  ]),
);
allow(
  "extra-headers",
  "Headers and trailers that nobody asked for",
  beside(
    [
      ["x-request-id", "1"],
      ["date", "Thu, 01 Jan 1970 00:00:00 GMT"],
    ],
    [["x-trace", "a"]],
  ),
);
allow("empty-grpc-message", "An empty grpc-message beside status 0", beside([], [["grpc-message", ""]]));
allow("grpc-message", "A grpc-message beside status 0", beside([], [["grpc-message", "OK"]]));
allow("encoding-identity", "grpc-encoding identity", beside([["grpc-encoding", "identity"]]));
allow(
  "accept-encoding",
  "The server says which encodings it accepts",
  beside([["grpc-accept-encoding", "identity,gzip"]]),
);
allow(
  "byte-by-byte",
  "One DATA frame for each byte",
  grpc((q, h2) => [
    h2.headers(GRPC_HEADERS),
    ...Array.from(framed(q), (byte) => h2.data(Uint8Array.of(byte))),
    h2.trailers(GRPC_OK),
  ]),
);
allow(
  "split-in-the-prefix",
  "The message's length is split over two DATA frames",
  grpc((q, h2) => [
    h2.headers(GRPC_HEADERS),
    h2.data(framed(q).subarray(0, 3)),
    h2.data(framed(q).subarray(3)),
    h2.trailers(GRPC_OK),
  ]),
);
allow(
  "empty-data-frames",
  "Empty DATA frames around the message",
  grpc((q, h2) => [
    h2.headers(GRPC_HEADERS),
    h2.data(new Uint8Array()),
    h2.data(framed(q)),
    h2.data(new Uint8Array()),
    h2.trailers(GRPC_OK),
  ]),
);
allow(
  "padded-data",
  "DATA with 100 bytes of padding",
  grpc((q, h2) => [
    h2.headers(GRPC_HEADERS),
    h2.frame(FRAME.data, FLAG.padded, concat(Uint8Array.of(100), framed(q), new Uint8Array(100))),
    h2.trailers(GRPC_OK),
  ]),
);
allow(
  "padded-headers",
  "HEADERS with padding",
  grpc((q, h2) => [
    h2.frame(
      FRAME.headers,
      FLAG.endHeaders | FLAG.padded,
      concat(Uint8Array.of(9), headerBlock(GRPC_HEADERS), new Uint8Array(9)),
    ),
    h2.data(framed(q)),
    h2.trailers(GRPC_OK),
  ]),
);
allow(
  "continuation",
  "Headers and trailers each in two frames",
  grpc((q, h2) => [
    h2.frame(FRAME.headers, 0, headerBlock(GRPC_HEADERS).subarray(0, 10)),
    h2.frame(FRAME.continuation, FLAG.endHeaders, headerBlock(GRPC_HEADERS).subarray(10)),
    h2.data(framed(q)),
    h2.frame(FRAME.headers, FLAG.endStream, headerBlock(GRPC_OK).subarray(0, 5)),
    h2.frame(FRAME.continuation, FLAG.endHeaders, headerBlock(GRPC_OK).subarray(5)),
  ]),
);
allow(
  "ping-amid",
  "A PING in mid-answer",
  amid(() => [send(ping())]),
);
allow(
  "settings-amid",
  "SETTINGS in mid-answer",
  amid(() => [send(settings([3, 50]))]),
);
allow(
  "window-update-amid",
  "WINDOW_UPDATE in mid-answer",
  amid((h2) => [h2.frame(FRAME.windowUpdate, 0, Uint8Array.of(0, 0, 1, 0))]),
);
allow(
  "unknown-frame-amid",
  "A frame of a type that nobody knows",
  amid((h2) => [h2.frame(0xbe, 0xff, utf8("grease")), send(frame(0xef, 0, 0, utf8("grease")))]),
);
allow(
  "goaway-graceful",
  "GOAWAY without error that lets this call finish, and then the answer",
  grpc((q, h2) => [send(goaway(h2.id, 0)), wait(20), ...grpcAnswer(h2, toProto(allowing(q)))]),
);
allow(
  "goaway-amid",
  "GOAWAY without error between headers and data",
  amid((h2) => [send(goaway(h2.id, 0)), wait(20)]),
);
allow(
  "goaway-after",
  "GOAWAY without error after the answer",
  grpc((q, h2) => [...grpcAnswer(h2, toProto(allowing(q))), send(goaway(h2.id, 0))]),
);
allow(
  "a-little-late",
  "The answer takes 100 ms",
  grpc((q, h2) => [wait(100), ...grpcAnswer(h2, toProto(allowing(q)))]),
);
allow(
  "pauses",
  "A pause of 30 ms before each part",
  grpc((q, h2) => grpcAnswer(h2, toProto(allowing(q))).flatMap((step) => [wait(30), step])),
);
allow(
  "dripped",
  "The bytes of the answer's frames arrive four at a time",
  grpc(function* (q, h2) {
    for (const step of grpcAnswer(h2, toProto(allowing(q)))) if (step.do === "send") yield* drip(step.bytes, 4, 0);
  }),
);

allow(
  "compressed-as-advertised",
  "Compressed if the client said that it can read it, else plain",
  grpc((q, h2) => {
    const coding = advertised(q);
    if (coding === undefined) return grpcAnswer(h2, toProto(allowing(q)));
    const compressed = envelope(coding.compress(toProto(allowing(q))), 1);
    return [h2.headers([...GRPC_HEADERS, ["grpc-encoding", coding.name]]), h2.data(compressed), h2.trailers(GRPC_OK)];
  }),
);
