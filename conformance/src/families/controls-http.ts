/** Right answers in every HTTP/1.1 envelope that Connect permits and a strict client can accept. */
import { allowing, encode } from "../answer.ts";
import { family, http } from "../case.ts";
import { chunk, connectAnswer, head, type HttpHeader, LAST_CHUNK, response } from "../http1.ts";
import { drip, send, wait } from "../script.ts";
import { advertised } from "./codings.ts";

const { cases, allow } = family("control-http");
export const httpControls = cases;

allow(
  "compressed-as-advertised",
  "Compressed if the client said that it can read it, else plain",
  http((q, a) => {
    const coding = advertised(q);
    if (coding === undefined) return connectAnswer(a.contentType, a.allow);
    return [
      response(
        200,
        [
          ["content-type", a.contentType],
          ["content-encoding", coding.name],
        ],
        coding.compress(a.allow),
      ),
    ];
  }),
);

const CLOSE: HttpHeader = ["connection", "close"];
const CHUNKED: HttpHeader = ["transfer-encoding", "chunked"];
allow(
  "chunked",
  "A body in two chunks",
  http((_, a) => [
    head(200, [["content-type", a.contentType], CHUNKED, CLOSE]),
    send(chunk(a.allow.subarray(0, 7))),
    send(chunk(a.allow.subarray(7))),
    send(LAST_CHUNK),
  ]),
);
allow(
  "chunk-per-byte",
  "A body with a chunk for each byte",
  http((_, a) => [
    head(200, [["content-type", a.contentType], CHUNKED, CLOSE]),
    ...Array.from(a.allow, (byte) => send(chunk(Uint8Array.of(byte)))),
    send(LAST_CHUNK),
  ]),
);
allow(
  "names-in-capitals",
  "Header names in capitals: HTTP/1.1 does not care",
  http((_, a) => [
    head(200, [
      ["CONTENT-TYPE", a.contentType],
      ["CONTENT-LENGTH", String(a.allow.length)],
      ["CONNECTION", "close"],
    ]),
    send(a.allow),
  ]),
);
allow(
  "extra-headers",
  "Headers that nobody asked for",
  http((_, a) => [
    response(
      200,
      [
        ["content-type", a.contentType],
        ["server", "conformance"],
        ["x-a", ""],
      ],
      a.allow,
    ),
  ]),
);
allow(
  "other-reason-phrase",
  "Another reason phrase than OK",
  http((_, a) => [response("HTTP/1.1 200 Denied", [["content-type", a.contentType]], a.allow)]),
);
allow(
  "a-little-late",
  "The answer takes 100 ms",
  http((_, a) => [wait(100), ...connectAnswer(a.contentType, a.allow)]),
);
allow(
  "dripped",
  "The answer arrives eight bytes at a time",
  http(function* (_, a) {
    for (const step of connectAnswer(a.contentType, a.allow)) if (step.do === "send") yield* drip(step.bytes, 8, 1);
  }),
);
allow(
  "accept-encoding-echo",
  "content-encoding identity",
  http((q, a) => [
    response(
      200,
      [
        ["content-type", a.contentType],
        ["content-encoding", "identity"],
      ],
      encode(allowing(q), q),
    ),
  ]),
);
