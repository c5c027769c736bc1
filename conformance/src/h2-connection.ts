/**
 * One HTTP/2 connection on which Node reads and the kit writes. Node's own session parses the client's frames (HPACK,
 * padding, flow control) and keeps the connection alive; of what that session writes, only SETTINGS, PING and
 * WINDOW_UPDATE reach the client. Every other byte comes from a case's script, so nothing corrects it on the way.
 */
import { type IncomingHttpHeaders, performServerHandshake, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { FLAG, FRAME } from "./frames.ts";
import { Gate } from "./gate.ts";
import type { Wire } from "./script.ts";

export interface H2Request {
  readonly streamId: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
  /** Where this stream's answer goes. */
  readonly wire: Wire;
  /** Aborted when the client gives the stream or the connection up. */
  readonly gone: AbortSignal;
}

const PREFACE_BYTES = 24;
const FRAME_HEAD_BYTES = 9;
const NODE_MAY_WRITE: readonly number[] = [FRAME.settings, FRAME.ping, FRAME.windowUpdate];

/** Reads requests from `socket` until it closes. */
export function readRequests(socket: Socket, onRequest: (request: H2Request) => void): void {
  const gate = new Gate(socket);
  const nodes = gate.wire(0);
  const fromNode = frameSplitter(0, (frame) => {
    if (NODE_MAY_WRITE.includes(frame[3] ?? -1) && nodes.open) nodes.write(frame);
  });
  const inner = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      fromNode(chunk);
      done();
    },
  });
  let settingsAcks = 0;
  const toNode = frameSplitter(PREFACE_BYTES, (frame) => {
    const ack = ((frame[4] ?? 0) & FLAG.ack) !== 0;
    // Answers to the frames that scripts sent: the session did not send those, and would take the answers for errors.
    if (frame[3] === FRAME.ping && ack) return;
    if (frame[3] === FRAME.settings && ack && ++settingsAcks > 1) return;
    inner.push(frame);
  });
  const connection = new AbortController();
  socket.on("data", toNode);
  socket.on("error", () => {});
  socket.on("close", () => {
    connection.abort();
    inner.destroy();
  });
  const session = performServerHandshake(inner, { settings: { enableConnectProtocol: false } });
  session.on("error", () => {});
  session.on("stream", (stream, headers) => void collect(stream, headers, gate, connection.signal, onRequest));
}

async function collect(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  gate: Gate,
  connectionGone: AbortSignal,
  onRequest: (request: H2Request) => void,
): Promise<void> {
  const cancelled = new AbortController();
  stream.on("error", () => {});
  stream.on("close", () => cancelled.abort());
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  } catch {
    return; // The client went away before it had asked.
  }
  const gone = AbortSignal.any([cancelled.signal, connectionGone]);
  const streamId = stream.id ?? 0;
  onRequest({ streamId, headers, body: Buffer.concat(chunks), wire: gate.wire(streamId), gone });
}

/** Cuts a stream of bytes into whole frames; the first `preface` bytes count as one. */
function frameSplitter(preface: number, onFrame: (frame: Buffer) => void): (bytes: Buffer) => void {
  let rest = Buffer.alloc(0);
  let ahead = preface;
  return (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    for (;;) {
      const size = ahead > 0 ? ahead : FRAME_HEAD_BYTES + (rest.length >= FRAME_HEAD_BYTES ? rest.readUIntBE(0, 3) : 0);
      if (rest.length < size) return;
      onFrame(rest.subarray(0, size));
      rest = rest.subarray(size);
      ahead = 0;
    }
  };
}
