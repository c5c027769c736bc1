/** gRPC's envelope: a flag, a length, and exactly one message. */
import { allowing, denying, toProto } from "../answer.ts";
import { ANY, BROKEN, family, grpc, MALFORMED } from "../case.ts";
import { envelope, FLAG, FRAME, frame, GRPC_HEADERS, GRPC_OK, headerBlock } from "../frames.ts";
import { concat, utf8 } from "../protobuf.ts";
import type { Question } from "../question.ts";
import { send } from "../script.ts";

const { cases, stub, guard } = family("framing");
export const framing = cases;

const message = (q: Question) => toProto(allowing(q));
/** A right answer, but for what the DATA frame holds. */
const body = (make: (q: Question) => Uint8Array) =>
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.data(make(q)), h2.trailers(GRPC_OK)]);

for (const flag of [0x02, 0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x7f, 0x80, 0x81, 0xfe, 0xff]) {
  const hex = flag.toString(16).padStart(2, "0");
  guard(
    `flag-${hex}`,
    `The flag is 0x${hex}, which gRPC reserves`,
    body((q) => envelope(message(q), flag)),
    MALFORMED,
  );
}
stub(
  "flag-01-no-encoding",
  "The flag says compressed, and no header says how",
  body((q) => envelope(message(q), 1)),
  MALFORMED,
);

stub(
  "no-data",
  "Headers and trailers with status 0, and no DATA",
  grpc((_, h2) => [h2.headers(GRPC_HEADERS), h2.trailers(GRPC_OK)]),
  MALFORMED,
);
stub(
  "empty-data",
  "An empty DATA frame",
  body(() => new Uint8Array()),
  MALFORMED,
);
stub(
  "trailers-only-ok",
  "Trailers alone, with status 0",
  grpc((_, h2) => [h2.trailers([...GRPC_HEADERS, ...GRPC_OK])]),
  MALFORMED,
);
stub(
  "empty-message",
  "A message of no bytes",
  body(() => envelope(new Uint8Array())),
  MALFORMED,
);
stub("bare-message", "The message without its envelope", body(message), MALFORMED);
stub(
  "prefix-alone",
  "An envelope that promises a message, and no message",
  body((q) => envelope(message(q)).subarray(0, 5)),
  BROKEN,
);
for (const length of [1, 2, 3, 4]) {
  stub(
    `prefix-of-${length}`,
    `${length} of the envelope's five bytes`,
    body((q) => envelope(message(q)).subarray(0, length)),
    BROKEN,
  );
}
stub(
  "length-one-more",
  "The length is one too many",
  body((q) => envelope(message(q), 0, message(q).length + 1)),
  BROKEN,
);
stub(
  "length-one-less",
  "The length is one too few",
  body((q) => envelope(message(q), 0, message(q).length - 1)),
  BROKEN,
);
stub(
  "length-zero",
  "The length is 0, and the message is there",
  body((q) => envelope(message(q), 0, 0)),
  BROKEN,
);
stub(
  "length-double",
  "The length is twice the message's",
  body((q) => envelope(message(q), 0, message(q).length * 2)),
  BROKEN,
);
// A client may also refuse these at once for their size, which gRPC calls RESOURCE_EXHAUSTED.
stub(
  "length-16-mib",
  "The length is 16 MiB",
  body((q) => envelope(message(q), 0, 2 ** 24)),
  ANY,
);
stub(
  "length-two-to-31",
  "The length is 2³¹",
  body((q) => envelope(message(q), 0, 2 ** 31)),
  ANY,
);
stub(
  "length-minus-one",
  "The length is 2³² − 1",
  body((q) => envelope(message(q), 0, 2 ** 32 - 1)),
  ANY,
);
stub(
  "length-little-endian",
  "The length's bytes are reversed",
  body((q) => {
    const bytes = Buffer.from(envelope(message(q)));
    bytes.writeUInt32LE(message(q).length, 1);
    return bytes;
  }),
  ANY,
);
stub(
  "length-of-two-bytes",
  "A length of two bytes",
  body((q) => concat(Uint8Array.of(0, message(q).length >> 8, message(q).length & 0xff), message(q))),
  ANY,
);

stub(
  "allow-twice",
  "Two messages: allow, and allow",
  body((q) => concat(envelope(message(q)), envelope(message(q)))),
  MALFORMED,
);
stub(
  "allow-then-deny",
  "Two messages: allow, and deny",
  body((q) => concat(envelope(message(q)), envelope(toProto(denying(q))))),
  MALFORMED,
);
stub(
  "deny-then-allow",
  "Two messages: deny, and allow",
  body((q) => concat(envelope(toProto(denying(q))), envelope(message(q)))),
  MALFORMED,
);
stub(
  "empty-then-allow",
  "Two messages: an empty one, and allow",
  body((q) => concat(envelope(new Uint8Array()), envelope(message(q)))),
  MALFORMED,
);
stub(
  "allow-then-empty",
  "Two messages: allow, and an empty one",
  body((q) => concat(envelope(message(q)), envelope(new Uint8Array()))),
  MALFORMED,
);
stub(
  "two-messages-two-frames",
  "Two messages, each in a DATA frame",
  grpc((q, h2) => [
    h2.headers(GRPC_HEADERS),
    h2.data(envelope(message(q))),
    h2.data(envelope(message(q))),
    h2.trailers(GRPC_OK),
  ]),
  MALFORMED,
);
stub(
  "junk-after",
  "A byte after the message",
  body((q) => concat(envelope(message(q)), Uint8Array.of(0))),
  BROKEN,
);
stub(
  "cut-envelope-after",
  "An envelope without its message after the message",
  body((q) => concat(envelope(message(q)), Uint8Array.of(0, 0, 0, 0, 9))),
  BROKEN,
);
stub(
  "line-break-before",
  "A line break before the message",
  body((q) => concat(utf8("\r\n"), envelope(message(q)))),
  ANY,
);
stub(
  "web-trailers-in-data",
  "gRPC-Web's trailers in DATA, and none of HTTP/2's",
  grpc((q, h2) => [
    h2.headers(GRPC_HEADERS),
    h2.data(envelope(message(q))),
    h2.lastData(envelope(utf8("grpc-status: 0\r\n"), 0x80)),
  ]),
  BROKEN,
);
stub(
  "web-trailers-beside",
  "gRPC-Web's trailers in DATA, and HTTP/2's too",
  grpc((q, h2) => [
    h2.headers(GRPC_HEADERS),
    h2.data(concat(envelope(message(q)), envelope(utf8("grpc-status: 0\r\n"), 0x80))),
    h2.trailers(GRPC_OK),
  ]),
  MALFORMED,
);
stub(
  "web-text",
  "The envelope in base64, as gRPC-Web has it",
  body((q) => utf8(Buffer.from(envelope(message(q))).toString("base64"))),
  ANY,
);
stub(
  "json-in-the-envelope",
  "JSON in the envelope",
  body(() => envelope(utf8('{"decision":"DECISION_ALLOW"}'))),
  MALFORMED,
);
stub(
  "event-stream",
  "A server-sent event",
  body(() => utf8("data: DECISION_ALLOW\n\n")),
  ANY,
);

stub(
  "data-after-trailers",
  "The message comes after the trailers",
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.trailers(GRPC_OK), h2.data(envelope(message(q)))]),
  ANY,
);
stub(
  "trailers-then-data",
  "Trailers that do not end the stream, and then the message",
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.headers(GRPC_OK), h2.lastData(envelope(message(q)))]),
  ANY,
);
stub(
  "data-before-headers",
  "The message comes before the headers",
  grpc((q, h2) => [h2.data(envelope(message(q))), h2.headers(GRPC_HEADERS), h2.trailers(GRPC_OK)]),
  ANY,
);
stub(
  "data-without-headers",
  "The message and trailers, and no headers",
  grpc((q, h2) => [h2.data(envelope(message(q))), h2.trailers(GRPC_OK)]),
  ANY,
);
stub(
  "data-on-stream-0",
  "The message is on stream 0",
  grpc((q, h2) => [
    h2.headers(GRPC_HEADERS),
    send(frame(FRAME.data, 0, 0, envelope(message(q)))),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);
stub(
  "answer-on-another-stream",
  "The whole answer is on a stream that nobody opened",
  grpc((q, h2) => {
    const id = h2.id + 100;
    return [
      send(frame(FRAME.headers, FLAG.endHeaders, id, headerBlock(GRPC_HEADERS))),
      send(frame(FRAME.data, 0, id, envelope(message(q)))),
      send(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, headerBlock(GRPC_OK))),
    ];
  }),
  ANY,
);
