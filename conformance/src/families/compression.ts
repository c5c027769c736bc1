/**
 * Compressed answers that are not what they say. What a client has not advertised it cannot be sent; what it
 * has, it may still refuse to inflate without bound.
 */
import { deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { allowing, denying, encode, toProto } from "../answer.ts";
import { ANY, family, grpc, http } from "../case.ts";
import { envelope, GRPC_HEADERS, GRPC_OK, type Header } from "../frames.ts";
import { type HttpHeader, response } from "../http1.ts";
import { concat, lenField, utf8 } from "../protobuf.ts";
import type { Question } from "../question.ts";
import { unadvertised } from "./codings.ts";

const { cases, stub, guard } = family("compression");
export const compression = cases;

/** An answer over gRPC whose flag says compressed. */
const compressed = (encodings: readonly string[], make: (q: Question) => Uint8Array) =>
  grpc((q, h2) => [
    h2.headers([...GRPC_HEADERS, ...encodings.map((name): Header => ["grpc-encoding", name])]),
    h2.data(envelope(make(q), 1)),
    h2.trailers(GRPC_OK),
  ]);
/** An answer over HTTP/1.1 with a content coding. */
const coded = (encodings: readonly string[], make: (q: Question) => Uint8Array) =>
  http((q, a) => [
    response(
      200,
      [["content-type", a.contentType], ...encodings.map((name): HttpHeader => ["content-encoding", name])],
      make(q),
    ),
  ]);
const allow = (q: Question) => encode(allowing(q), q);
const cut = (bytes: Uint8Array, lost: number) => bytes.subarray(0, bytes.length - lost);

/** Over both transports, with the same bytes. */
function both(
  add: typeof stub,
  what: string,
  says: string,
  encodings: readonly string[],
  make: (q: Question) => Uint8Array,
): void {
  add(`grpc-${what}`, says, compressed(encodings, make), ANY);
  add(`http-${what}`, says, coded(encodings, make), ANY);
}

both(stub, "not-compressed", "gzip is promised, and the answer is plain", ["gzip"], allow);
both(stub, "unknown", "An encoding that there is not", ["x-allow"], allow);
both(stub, "empty", "gzip is promised, and there are no bytes", ["gzip"], () => new Uint8Array());
both(stub, "gzip-head-alone", "The ten bytes of gzip's head", ["gzip"], (q) => gzipSync(allow(q)).subarray(0, 10));
both(stub, "gzip-half", "Half of the gzip stream", ["gzip"], (q) =>
  cut(gzipSync(allow(q)), gzipSync(allow(q)).length / 2),
);
both(stub, "gzip-without-checksum", "gzip without its last eight bytes", ["gzip"], (q) => cut(gzipSync(allow(q)), 8));
both(stub, "gzip-half-checksum", "gzip without its last four bytes", ["gzip"], (q) => cut(gzipSync(allow(q)), 4));
both(stub, "gzip-wrong-checksum", "gzip with a wrong checksum", ["gzip"], (q) =>
  gzipSync(allow(q)).map((byte, at, all) => (at === all.length - 8 ? byte ^ 1 : byte)),
);
both(stub, "gzip-wrong-length", "gzip with a wrong length", ["gzip"], (q) =>
  gzipSync(allow(q)).map((byte, at, all) => (at === all.length - 1 ? byte ^ 1 : byte)),
);
both(stub, "gzip-of-nothing", "gzip of an empty message", ["gzip"], () => gzipSync(new Uint8Array()));
both(stub, "gzip-twice", "gzip of gzip", ["gzip"], (q) => gzipSync(gzipSync(allow(q))));
both(stub, "deflate-as-gzip", "deflate, said to be gzip", ["gzip"], (q) => deflateSync(allow(q)));
both(stub, "noise", "Noise, said to be gzip", ["gzip"], () =>
  Uint8Array.from({ length: 100 }, (_, n) => (n * 89) & 0xff),
);
both(stub, "raw-as-unknown", "Raw deflate, under a name that nobody knows", ["deflate-raw"], (q) =>
  deflateRawSync(allow(q)),
);
both(guard, "two-encodings", "Two encodings, of which the second is not there", ["gzip", "x-allow"], (q) =>
  gzipSync(allow(q)),
);
stub("grpc-identity", "The flag says compressed, and the encoding is identity", compressed(["identity"], allow), ANY);
stub(
  "grpc-deny",
  "A compressed deny with an allow's reason",
  compressed(["gzip"], (q) => gzipSync(toProto({ ...allowing(q), decision: 2 }))),
  ANY,
);
stub(
  "http-deny",
  "A compressed deny with an allow's reason",
  coded(["gzip"], (q) => gzipSync(encode({ ...denying(q), reason: 1 }, q))),
  ANY,
);

guard(
  "grpc-unadvertised",
  "A right answer in an encoding that the client did not advertise",
  grpc((q, h2) => [
    h2.headers([...GRPC_HEADERS, ["grpc-encoding", unadvertised(q).name]]),
    h2.data(envelope(unadvertised(q).compress(allow(q)), 1)),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);
guard(
  "http-unadvertised",
  "A right answer in an encoding that the client did not advertise",
  http((q, a) => [
    response(
      200,
      [
        ["content-type", a.contentType],
        ["content-encoding", unadvertised(q).name],
      ],
      unadvertised(q).compress(allow(q)),
    ),
  ]),
  ANY,
);

/** 12 MiB in 12 KiB: within one frame, and once inflated three times what gRPC clients take by default. */
const BOMB_BYTES = 12 * 2 ** 20;
let zeros: Uint8Array | undefined;
const bombOfZeros = () => (zeros ??= gzipSync(new Uint8Array(BOMB_BYTES), { level: 9 }));
/** An answer that would be right, if a string of that size could be passed over. */
const bombAround = (q: Question) => {
  const filler = " ".repeat(BOMB_BYTES);
  const whole = q.codec === "json" ? concat(utf8(filler), allow(q)) : concat(lenField(100, filler), allow(q));
  return gzipSync(whole, { level: 9 });
};
both(stub, "bomb-zeros", "12 MiB of zeros in 12 KiB", ["gzip"], bombOfZeros);
both(guard, "bomb-around-an-allow", "A right answer after 12 MiB of filling, in 12 KiB", ["gzip"], bombAround);
