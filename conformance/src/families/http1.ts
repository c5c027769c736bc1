/** HTTP/1.1 messages whose length or headers RFC 9112 forbids, around an answer that would allow. */
import { ANY, family, http } from "../case.ts";
import { chunk, connectAnswer, head, headText, type HttpHeader, LAST_CHUNK, response } from "../http1.ts";
import { concat, utf8 } from "../protobuf.ts";
import { END, send, STALL } from "../script.ts";

const { cases, stub, guard } = family("http1");
export const http1Cases = cases;

const CHUNKED: HttpHeader = ["transfer-encoding", "chunked"];
const CLOSE: HttpHeader = ["connection", "close"];
/** A right answer, but for the headers that say its length. */
const framedBy = (make: (body: Uint8Array) => HttpHeader[]) =>
  http((_, a) => [head(200, [["content-type", a.contentType], ...make(a.allow), CLOSE]), send(a.allow), END]);
/** A right answer in chunks, but for the bytes of the chunks. */
const chunks = (make: (body: Uint8Array) => Uint8Array) =>
  http((_, a) => [head(200, [["content-type", a.contentType], CHUNKED, CLOSE]), send(make(a.allow)), END]);
const L = (value: string | number): HttpHeader => ["content-length", String(value)];

stub(
  "length-less",
  "content-length is two bytes less than there is",
  framedBy((body) => [L(body.length - 2)]),
  ANY,
);
stub(
  "length-zero",
  "content-length is 0",
  framedBy(() => [L(0)]),
  ANY,
);
stub(
  "length-more",
  "content-length is more than there is",
  framedBy((body) => [L(body.length + 10)]),
  ANY,
);
stub(
  "length-huge",
  "content-length is 2⁶⁴",
  framedBy(() => [L("18446744073709551616")]),
  ANY,
);
stub(
  "length-negative",
  "content-length is negative",
  framedBy((body) => [L(-body.length)]),
  ANY,
);
stub(
  "length-text",
  "content-length is no number",
  framedBy(() => [L("all")]),
  ANY,
);
stub(
  "length-plus",
  "content-length has a plus sign",
  framedBy((body) => [L(`+${body.length}`)]),
  ANY,
);
stub(
  "length-hex",
  "content-length is hexadecimal",
  framedBy((body) => [L(`0x${body.length.toString(16)}`)]),
  ANY,
);
stub(
  "length-two",
  "Two values of content-length",
  framedBy((body) => [L(body.length), L(5)]),
  ANY,
);
stub(
  "length-two-reversed",
  "Two values of content-length, the wrong one first",
  framedBy((body) => [L(5), L(body.length)]),
  ANY,
);
guard(
  "length-and-chunked",
  "content-length and chunks",
  http((_, a) => [
    head(200, [["content-type", a.contentType], L(5), CHUNKED, CLOSE]),
    send(concat(chunk(a.allow), LAST_CHUNK)),
  ]),
  ANY,
);
stub(
  "chunked-not-chunks",
  "transfer-encoding says chunked, and there are no chunks",
  chunks((body) => body),
  ANY,
);
stub(
  "chunk-size-text",
  "A chunk's size is no number",
  chunks((body) => concat(utf8("zz\r\n"), body, utf8("\r\n"), LAST_CHUNK)),
  ANY,
);
stub(
  "chunk-size-negative",
  "A chunk's size is negative",
  chunks((body) => concat(utf8("-5\r\n"), body, utf8("\r\n"), LAST_CHUNK)),
  ANY,
);
stub(
  "chunk-size-huge",
  "A chunk's size is beyond 64 bits",
  chunks((body) => concat(utf8("ffffffffffffffffff\r\n"), body, utf8("\r\n"), LAST_CHUNK)),
  ANY,
);
stub(
  "chunk-size-less",
  "A chunk is longer than its size",
  chunks((body) => concat(utf8(`${(body.length - 1).toString(16)}\r\n`), body, utf8("\r\n"), LAST_CHUNK)),
  ANY,
);
stub(
  "chunk-size-more",
  "A chunk is shorter than its size",
  chunks((body) => concat(utf8(`${(body.length + 9).toString(16)}\r\n`), body, utf8("\r\n"), LAST_CHUNK)),
  ANY,
);
stub(
  "last-chunk-first",
  "The last chunk comes before the answer",
  chunks((body) => concat(LAST_CHUNK, chunk(body))),
  ANY,
);
guard(
  "transfer-encoding-unknown",
  "A transfer coding that there is not",
  framedBy(() => [["transfer-encoding", "allow"]]),
  ANY,
);

const withHeader = (raw: string) =>
  http((_, a) => [
    send(
      `HTTP/1.1 200 OK\r\ncontent-type: ${a.contentType}\r\n${raw}\r\ncontent-length: ${a.allow.length}\r\nconnection: close\r\n\r\n`,
    ),
    send(a.allow),
  ]);
guard("header-without-colon", "A header without a colon", withHeader("x-allow yes"), ANY);
guard("header-without-name", "A header without a name", withHeader(": yes"), ANY);
guard("header-nul", "A NUL in a header", withHeader("x-allow: y\0s"), ANY);
guard("header-space-in-name", "A space in a header's name", withHeader("x allow: yes"), ANY);
stub("header-huge", "A header of a megabyte", withHeader(`x-fill: ${"x".repeat(2 ** 20)}`), ANY);
stub(
  "header-flood",
  "Ten thousand headers, and no end of them",
  http((_, a) => [
    send(`HTTP/1.1 200 OK\r\ncontent-type: ${a.contentType}\r\n`),
    send("x-fill: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n".repeat(10_000)),
    STALL,
  ]),
  ANY,
);
stub(
  "body-in-header",
  "The answer is in a header, and the body is empty",
  http((_, a) => [
    response(
      200,
      [
        ["content-type", a.contentType],
        ["x-body", Buffer.from(a.allow).toString("base64")],
      ],
      new Uint8Array(),
    ),
  ]),
  ANY,
);

stub(
  "empty-body",
  "A right head, and an empty body",
  http((_, a) => [response(200, [["content-type", a.contentType]], new Uint8Array())]),
  ANY,
);
stub(
  "deny-then-allow",
  "Two answers on one connection: deny, and then allow",
  http((_, a) => [
    send(concat(Buffer.from(headText(200, [["content-type", a.contentType], L(a.deny.length)]), "latin1"), a.deny)),
    ...connectAnswer(a.contentType, a.allow),
  ]),
  ["RULE_DENIED", "MALFORMED_RESPONSE", "SERVICE_UNAVAILABLE"],
);
stub(
  "enveloped",
  "The answer behind gRPC's and Connect streaming's five-byte prefix",
  http((_, a) => [
    response(
      200,
      [["content-type", a.contentType]],
      concat(Uint8Array.of(0, 0, 0, a.allow.length >> 8, a.allow.length & 0xff), a.allow),
    ),
  ]),
  ANY,
);
stub(
  "two-bodies",
  "The answer, twice in one body, the second a deny",
  http((_, a) => [response(200, [["content-type", a.contentType]], concat(a.allow, a.deny))]),
  ANY,
);
