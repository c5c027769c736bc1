/** Writes HTTP/2 frames (RFC 9113) and gRPC's framing over them, right or wrong, byte by byte. */
import { concat, utf8 } from "./protobuf.ts";
import { type Step, send } from "./script.ts";

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8 } as const;

/** RFC 9113, section 7. */
export const H2_ERROR = {
  "no-error": 0,
  "protocol-error": 1,
  "internal-error": 2,
  "flow-control-error": 3,
  "settings-timeout": 4,
  "stream-closed": 5,
  "frame-size-error": 6,
  "refused-stream": 7,
  cancel: 8,
  "compression-error": 9,
  "connect-error": 10,
  "enhance-your-calm": 11,
  "inadequate-security": 12,
  "http-1-1-required": 13,
} as const;

export type Header = readonly [name: string, value: string | Uint8Array];

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Uint8Array {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return concat(head, payload);
}

export function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A header block in which each field is a literal without indexing and without Huffman coding: no state on either side. */
export function headerBlock(headers: readonly Header[]): Uint8Array {
  return concat(...headers.map(([name, value]) => concat(Uint8Array.of(0), hpackString(name), hpackString(value))));
}

function hpackString(value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === "string" ? utf8(value) : value;
  return concat(hpackInteger(bytes.length), bytes);
}

/** RFC 7541, section 5.1, with a prefix of seven bits of which the first is 0. */
function hpackInteger(value: number): Uint8Array {
  if (value < 127) return Uint8Array.of(value);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Uint8Array.from([...bytes, rest]);
}

export function settings(...values: readonly (readonly [id: number, value: number])[]): Uint8Array {
  const payload = concat(...values.map(([id, value]) => concat(Uint8Array.of(id >> 8, id & 0xff), u32(value))));
  return frame(FRAME.settings, 0, 0, payload);
}

export function goaway(lastStreamId: number, code: number): Uint8Array {
  return frame(FRAME.goaway, 0, 0, concat(u32(lastStreamId), u32(code)));
}

export function ping(): Uint8Array {
  return frame(FRAME.ping, 0, 0, utf8("datacraw"));
}

/** gRPC's length-prefixed message. */
export function envelope(message: Uint8Array, flag = 0, length = message.length): Uint8Array {
  return concat(Uint8Array.of(flag), u32(length), message);
}

/** The frames of one stream. */
export interface H2Stream {
  readonly id: number;
  /** A header block that leaves the stream open. */
  headers(headers: readonly Header[]): Step;
  data(bytes: Uint8Array): Step;
  /** The last DATA frame: ends the stream without trailers. */
  lastData(bytes: Uint8Array): Step;
  /** A header block that ends the stream. */
  trailers(headers: readonly Header[]): Step;
  rst(code: number): Step;
  /** Any frame on this stream. */
  frame(type: number, flags: number, payload: Uint8Array): Step;
}

export function h2Stream(id: number): H2Stream {
  const make = (type: number, flags: number, payload: Uint8Array) => send(frame(type, flags, id, payload));
  return {
    id,
    headers: (headers) => make(FRAME.headers, FLAG.endHeaders, headerBlock(headers)),
    data: (bytes) => make(FRAME.data, 0, bytes),
    lastData: (bytes) => make(FRAME.data, FLAG.endStream, bytes),
    trailers: (headers) => make(FRAME.headers, FLAG.endHeaders | FLAG.endStream, headerBlock(headers)),
    rst: (code) => make(FRAME.rstStream, 0, u32(code)),
    frame: make,
  };
}

/** The headers and trailers of a right gRPC answer. */
export const GRPC_HEADERS: readonly Header[] = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];
export const GRPC_OK: readonly Header[] = [["grpc-status", "0"]];

/** A right gRPC answer around `message`. */
export function grpcAnswer(h2: H2Stream, message: Uint8Array): Step[] {
  return [h2.headers(GRPC_HEADERS), ...inFrames(h2, envelope(message)), h2.trailers(GRPC_OK)];
}

/** The largest frame that every client accepts (RFC 9113, section 4.2). */
const MAX_FRAME_BYTES = 16_384;

function inFrames(h2: H2Stream, bytes: Uint8Array): Step[] {
  const count = Math.ceil(bytes.length / MAX_FRAME_BYTES);
  return Array.from({ length: count }, (_, n) =>
    h2.data(bytes.subarray(n * MAX_FRAME_BYTES, (n + 1) * MAX_FRAME_BYTES)),
  );
}
