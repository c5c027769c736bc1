/**
 * What one request looks like on the wire, built once: the HTTP/2 frames of a unary gRPC call (RFC 9113, RFC 7541), of
 * which only the stream's id and the idempotency key change from call to call.
 */

export const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8 } as const;
export const FLAG = { ack: 1, endStream: 1, endHeaders: 4, padded: 8 } as const;
export const FRAME_HEADER = 9;
/** A gRPC message's own header: one byte of flags, four of length. */
export const MESSAGE_HEADER = 5;

/** Receive windows so large that the generator need not give credit back while it counts. */
const STREAM_WINDOW = 1 << 20;
const CONNECTION_WINDOW_INCREMENT = 2 ** 31 - 1 - 65_535;

/** A unary call as bytes. */
export interface RequestFrames {
  readonly bytes: Buffer;
  /** Where the stream's id stands: once in HEADERS, once in DATA. */
  readonly streamIdAt: readonly [number, number];
  /** Where the idempotency key starts. */
  readonly keyAt: number;
  /** Bytes that count against the server's flow-control window. */
  readonly flowControlled: number;
}

export interface UnaryCall {
  readonly path: string;
  readonly authority: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly message: Buffer;
  /** Where in `message` the key starts. */
  readonly keyAt: number;
}

/** Client preface, our SETTINGS (no push, large windows), and the connection's window. */
export function connectionPreface(): Buffer {
  const settings = Buffer.alloc(12);
  settings.writeUInt16BE(0x2, 0); // ENABLE_PUSH
  settings.writeUInt32BE(0, 2);
  settings.writeUInt16BE(0x4, 6); // INITIAL_WINDOW_SIZE
  settings.writeUInt32BE(STREAM_WINDOW, 8);
  const increment = Buffer.alloc(4);
  increment.writeUInt32BE(CONNECTION_WINDOW_INCREMENT);
  return Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1"),
    frame(FRAME.settings, 0, 0, settings),
    frame(FRAME.windowUpdate, 0, 0, increment),
  ]);
}

/**
 * The frames of `call`: as the first call of a connection, which puts its headers into the HPACK table, and as every later
 * one, which only refers to them (as grpc-go and gRPC's C core do).
 */
export function unaryFrames(call: UnaryCall): { readonly first: RequestFrames; readonly later: RequestFrames } {
  const headers: [string, string][] = [
    [":path", call.path],
    [":authority", call.authority],
    ["te", "trailers"],
    ["content-type", "application/grpc"],
    ["user-agent", "datacrawl-bench"],
    ["grpc-timeout", "5S"],
    ...Object.entries(call.metadata),
  ];
  const postOverHttp = [0x80 | 3, 0x80 | 6]; // static table: ":method: POST", ":scheme: http"
  const literal = headers.flatMap(([name, value]) => [0x40, ...hpackString(name), ...hpackString(value)]);
  const indexed = headers.map((_, i) => 0x80 | (62 + headers.length - 1 - i)); // the newest entry is 62
  return {
    first: assemble(call, Buffer.from([...postOverHttp, ...literal])),
    later: assemble(call, Buffer.from([...postOverHttp, ...indexed])),
  };
}

function assemble(call: UnaryCall, headerBlock: Buffer): RequestFrames {
  const prefix = Buffer.alloc(MESSAGE_HEADER);
  prefix.writeUInt32BE(call.message.length, 1);
  const headers = frame(FRAME.headers, FLAG.endHeaders, 0, headerBlock);
  const data = frame(FRAME.data, FLAG.endStream, 0, Buffer.concat([prefix, call.message]));
  return {
    bytes: Buffer.concat([headers, data]),
    streamIdAt: [5, headers.length + 5],
    keyAt: headers.length + FRAME_HEADER + MESSAGE_HEADER + call.keyAt,
    flowControlled: MESSAGE_HEADER + call.message.length,
  };
}

export function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEADER);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** A literal string without Huffman coding. */
function hpackString(text: string): number[] {
  const bytes = [...Buffer.from(text, "utf8")];
  if (bytes.length < 127) return [bytes.length, ...bytes];
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return [...length, rest, ...bytes];
}
