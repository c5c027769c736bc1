/** Streams and connections that break off: at each phase of an answer, in each way. */
import { allowing, toProto } from "../answer.ts";
import { ANY, BROKEN, family, grpc, http } from "../case.ts";
import {
  envelope,
  FRAME,
  frame,
  goaway,
  GRPC_HEADERS,
  GRPC_OK,
  H2_ERROR,
  type H2Stream,
  headerBlock,
} from "../frames.ts";
import { head, headText } from "../http1.ts";
import type { Question } from "../question.ts";
import { END, RESET, send, type Step, wait } from "../script.ts";

const reset = family("rst-stream");
const bye = family("goaway");
const drop = family("drop");
export const streamResets = reset.cases;
export const goaways = bye.cases;
export const drops = drop.cases;

const framed = (q: Question) => envelope(toProto(allowing(q)));
const half = (bytes: Uint8Array) => bytes.subarray(0, bytes.length / 2);

/** How far an answer got. */
const PHASES: Record<string, { says: string; sent: (q: Question, h2: H2Stream) => Step[] }> = {
  "before-headers": { says: "before the headers", sent: () => [] },
  "after-headers": { says: "after the headers", sent: (_, h2) => [h2.headers(GRPC_HEADERS)] },
  "in-message": {
    says: "in the middle of the message",
    sent: (q, h2) => [h2.headers(GRPC_HEADERS), h2.data(half(framed(q)))],
  },
  "before-trailers": {
    says: "after the message, before the trailers",
    sent: (q, h2) => [h2.headers(GRPC_HEADERS), h2.data(framed(q))],
  },
};
const CODES: Record<string, number> = { ...H2_ERROR, "unknown-255": 255, "unknown-max": 2 ** 32 - 1 };

for (const [phase, { says, sent }] of Object.entries(PHASES)) {
  for (const [name, code] of Object.entries(CODES)) {
    reset.stub(
      `${phase}-${name}`,
      `RST_STREAM with ${name} ${says}`,
      grpc((q, h2) => [...sent(q, h2), h2.rst(code)]),
      ANY,
    );
  }
}

for (const [phase, { says, sent }] of Object.entries(PHASES)) {
  for (const name of ["no-error", "internal-error", "enhance-your-calm"] as const) {
    const code = H2_ERROR[name];
    bye.stub(
      `${phase}-${name}`,
      `GOAWAY with ${name} ${says}, and the end of the connection`,
      grpc((q, h2) => [...sent(q, h2), send(goaway(h2.id, code)), END]),
      ANY,
    );
    bye.stub(
      `${phase}-${name}-reset`,
      `GOAWAY with ${name} ${says}, and a TCP reset`,
      grpc((q, h2) => [...sent(q, h2), send(goaway(h2.id, code)), RESET]),
      ANY,
    );
  }
  bye.stub(
    `${phase}-disowned`,
    `GOAWAY that disowns the call ${says}, and the end of the connection`,
    grpc((q, h2) => [...sent(q, h2), send(goaway(0, 0)), END]),
    ANY,
  );
}

const CUTS: Record<string, { says: string; sent: (q: Question, h2: H2Stream) => Step[] }> = {
  ...PHASES,
  "in-headers-frame": {
    says: "in the middle of the HEADERS frame",
    sent: (_, h2) => [send(half(frame(FRAME.headers, 4, h2.id, headerBlock(GRPC_HEADERS))))],
  },
  "in-frame-head": {
    says: "in the middle of a frame's head",
    sent: (_, h2) => [send(frame(FRAME.headers, 4, h2.id, headerBlock(GRPC_HEADERS)).subarray(0, 5))],
  },
  "in-data-frame": {
    says: "in the middle of the DATA frame",
    sent: (q, h2) => [h2.headers(GRPC_HEADERS), send(half(frame(FRAME.data, 0, h2.id, framed(q))))],
  },
  "in-trailers-frame": {
    says: "in the middle of the trailers",
    sent: (q, h2) => [
      h2.headers(GRPC_HEADERS),
      h2.data(framed(q)),
      send(half(frame(FRAME.headers, 5, h2.id, headerBlock(GRPC_OK)))),
    ],
  },
};
const WAYS: Record<string, { says: string; step: Step }> = {
  end: { says: "the connection ends", step: END },
  reset: { says: "the connection is reset", step: RESET },
};
for (const [way, { says: happens, step }] of Object.entries(WAYS)) {
  for (const [cut, { says, sent }] of Object.entries(CUTS)) {
    drop.stub(
      `grpc-${way}-${cut}`,
      `${happens} ${says}`,
      grpc((q, h2) => [...sent(q, h2), step]),
      BROKEN,
    );
  }
}

/** How much of an HTTP/1.1 answer was sent. */
const HTTP_CUTS: Record<string, { says: string; sent: (type: string, body: Uint8Array) => Step[] }> = {
  "before-status": { says: "before the status line", sent: () => [] },
  "in-status": { says: "in the status line", sent: () => [send("HTTP/1.1 20")] },
  "in-headers": {
    says: "in the headers",
    sent: (type) => [send(`HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-le`)],
  },
  "after-headers": {
    says: "after the headers",
    sent: (type, body) => [
      head(200, [
        ["content-type", type],
        ["content-length", String(body.length)],
      ]),
    ],
  },
  "in-body": {
    says: "in the middle of the body",
    sent: (type, body) => [
      head(200, [
        ["content-type", type],
        ["content-length", String(body.length)],
      ]),
      send(half(body)),
    ],
  },
  "one-byte-short": {
    says: "one byte before the end of the body",
    sent: (type, body) => [
      head(200, [
        ["content-type", type],
        ["content-length", String(body.length)],
      ]),
      send(body.subarray(0, -1)),
    ],
  },
  "promised-more": {
    says: "after a whole answer, of which the headers promised one byte more",
    sent: (type, body) => [
      head(200, [
        ["content-type", type],
        ["content-length", String(body.length + 1)],
      ]),
      send(body),
    ],
  },
  "before-last-chunk": {
    says: "after a chunk that holds the whole answer, without the last chunk",
    sent: (type, body) => [
      send(
        headText(200, [
          ["content-type", type],
          ["transfer-encoding", "chunked"],
        ]),
      ),
      send(`${body.length.toString(16)}\r\n`),
      send(body),
      send("\r\n"),
    ],
  },
  "in-last-chunk": {
    says: "in the last chunk",
    sent: (type, body) => [
      send(
        headText(200, [
          ["content-type", type],
          ["transfer-encoding", "chunked"],
        ]),
      ),
      send(`${body.length.toString(16)}\r\n`),
      send(body),
      send("\r\n0\r\n"),
    ],
  },
};
for (const [way, { says: happens, step }] of Object.entries(WAYS)) {
  for (const [cut, { says, sent }] of Object.entries(HTTP_CUTS)) {
    const script = http((_, a) => [...sent(a.contentType, a.allow), wait(5), step]);
    drop.stub(`http-${way}-${cut}`, `${happens} ${says}`, script, BROKEN);
  }
}
