/** Header blocks that RFC 9113 and RFC 7541 forbid, around an answer that would allow. */
import { allowing, toProto } from "../answer.ts";
import { ANY, family, grpc } from "../case.ts";
import { envelope, FLAG, FRAME, GRPC_HEADERS, GRPC_OK, type Header, headerBlock } from "../frames.ts";
import { concat } from "../protobuf.ts";
import type { Question } from "../question.ts";

const { cases, stub } = family("http2-header");
export const http2Headers = cases;

const framed = (q: Question) => envelope(toProto(allowing(q)));
const withHeaders = (...more: readonly Header[]) =>
  grpc((q, h2) => [h2.headers([...GRPC_HEADERS, ...more]), h2.data(framed(q)), h2.trailers(GRPC_OK)]);
const withTrailers = (...more: readonly Header[]) =>
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.data(framed(q)), h2.trailers([...GRPC_OK, ...more])]);

// Malformed header blocks. What a client's HTTP/2 library drops in silence it cannot deny for, so those are not here.
stub(
  "header-in-capitals",
  "Content-Type in capitals",
  grpc((q, h2) => [
    h2.headers([
      [":status", "200"],
      ["Content-Type", "application/grpc"],
    ]),
    h2.data(framed(q)),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);
stub(
  "pseudo-after-regular",
  ":status after another header",
  grpc((q, h2) => [
    h2.headers([
      ["content-type", "application/grpc"],
      [":status", "200"],
    ]),
    h2.data(framed(q)),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);
stub(
  "pseudo-unknown",
  "A pseudo-header that there is not",
  grpc((q, h2) => [
    h2.headers([
      [":status", "200"],
      [":allow", "1"],
      ["content-type", "application/grpc"],
    ]),
    h2.data(framed(q)),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);
stub(
  "pseudo-of-requests",
  ":path in an answer",
  grpc((q, h2) => [
    h2.headers([
      [":status", "200"],
      [":path", "/"],
      ["content-type", "application/grpc"],
    ]),
    h2.data(framed(q)),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);
stub("header-connection", "connection: close, which HTTP/2 forbids", withHeaders(["connection", "close"]), ANY);
stub(
  "header-transfer-encoding",
  "transfer-encoding: chunked, which HTTP/2 forbids",
  withHeaders(["transfer-encoding", "chunked"]),
  ANY,
);
stub("header-upgrade", "upgrade: h3, which HTTP/2 forbids", withHeaders(["upgrade", "h3"]), ANY);
stub("content-length-less", "content-length is less than there is", withHeaders(["content-length", "5"]), ANY);
stub("content-length-more", "content-length is more than there is", withHeaders(["content-length", "100000"]), ANY);
stub("content-length-zero", "content-length is 0", withHeaders(["content-length", "0"]), ANY);
stub("content-length-text", "content-length is no number", withHeaders(["content-length", "allow"]), ANY);
stub(
  "content-length-twice",
  "Two values of content-length",
  withHeaders(["content-length", "5"], ["content-length", "6"]),
  ANY,
);
stub("trailer-connection", "connection: close among the trailers", withTrailers(["connection", "close"]), ANY);

// HPACK.
const block = (bytes: Uint8Array) =>
  grpc((q, h2) => [
    h2.frame(FRAME.headers, FLAG.endHeaders, concat(headerBlock(GRPC_HEADERS), bytes)),
    h2.data(framed(q)),
    h2.trailers(GRPC_OK),
  ]);
stub("hpack-index-0", "A header of index 0", block(Uint8Array.of(0x80)), ANY);
stub("hpack-index-beyond", "A header of an index beyond the tables", block(Uint8Array.of(0xff, 0xff, 0x01)), ANY);
stub(
  "hpack-integer-overflow",
  "An index of more than 64 bits",
  block(Uint8Array.of(0xff, ...new Uint8Array(11).fill(0xff), 0x0f)),
  ANY,
);
stub("hpack-cut-string", "A string longer than its block", block(Uint8Array.of(0, 10, 0x61)), ANY);
stub(
  "hpack-huffman-eos",
  "A string that holds Huffman's end sign",
  block(Uint8Array.of(0, 0x84, 0xff, 0xff, 0xff, 0xff, 0)),
  ANY,
);
stub(
  "hpack-huffman-padding",
  "A string with too much Huffman padding",
  block(Uint8Array.of(0, 0x82, 0x1f, 0xff, 0)),
  ANY,
);
stub(
  "hpack-table-too-large",
  "A table size beyond what the client permits",
  grpc((q, h2) => [
    h2.frame(
      FRAME.headers,
      FLAG.endHeaders,
      concat(Uint8Array.of(0x3f, 0xff, 0xff, 0xff, 0x07), headerBlock(GRPC_HEADERS)),
    ),
    h2.data(framed(q)),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);
stub("hpack-size-update-late", "A change of the table's size after a header", block(Uint8Array.of(0x20)), ANY);
stub(
  "hpack-noise",
  "Noise for a header block",
  grpc((q, h2) => [
    h2.frame(FRAME.headers, FLAG.endHeaders, new Uint8Array(40).fill(0xfe)),
    h2.data(framed(q)),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);
stub(
  "headers-empty",
  "An empty header block",
  grpc((q, h2) => [h2.headers([]), h2.data(framed(q)), h2.trailers(GRPC_OK)]),
  ANY,
);
