import type { Socket } from "node:net";
import { connectionPreface, FLAG, FRAME, FRAME_HEADER, frame, MESSAGE_HEADER, type RequestFrames } from "./frames.ts";

/** What happened to one call: an answer's message as `bytes[start, end)`, or why there is none. */
export interface CallSink {
  answered(slot: number, bytes: Buffer, start: number, end: number): void;
  failed(slot: number, why: string): void;
}

interface OpenCall {
  readonly slot: number;
  /** The answer so far, where a message came in more than one DATA frame or before its trailers. */
  message: Buffer | null;
}

/**
 * One HTTP/2 connection of the generator, on a bare socket: node:http2's client costs a core at the rates measured here.
 * It knows what unary gRPC calls need and throws on all else. It does not decode response headers: a call is answered if
 * a whole message came and the stream was then closed in good order, which a gRPC fault never does.
 */
export class LoadConnection {
  private readonly socket: Socket;
  private readonly sink: CallSink;
  private readonly frames: { readonly first: RequestFrames; readonly later: RequestFrames };
  private readonly open = new Map<number, OpenCall>();
  private nextStreamId = 1;
  private sendWindow = 65_535;
  private outgoing: Buffer[] = [];
  private partial: Buffer | null = null;
  private closing = false;
  private onSettings: () => void = () => {};
  readonly ready = new Promise<void>((resolve) => (this.onSettings = resolve));

  constructor(socket: Socket, frames: { first: RequestFrames; later: RequestFrames }, sink: CallSink) {
    this.socket = socket;
    this.frames = frames;
    this.sink = sink;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => this.receive(chunk));
    socket.on("close", () => {
      if (!this.closing) throw new Error("the server closed the connection");
    });
    socket.write(connectionPreface());
  }

  /** Queues one call; `flush` sends what is queued in one write. */
  call(slot: number, key: Buffer): void {
    const streamId = this.nextStreamId;
    const { bytes, streamIdAt, keyAt, flowControlled } = streamId === 1 ? this.frames.first : this.frames.later;
    const out = Buffer.allocUnsafe(bytes.length);
    out.set(bytes);
    out.writeUInt32BE(streamId, streamIdAt[0]);
    out.writeUInt32BE(streamId, streamIdAt[1]);
    out.set(key, keyAt);
    this.sendWindow -= flowControlled;
    if (this.sendWindow < 0) throw new Error("the server's flow-control window is exhausted");
    this.open.set(streamId, { slot, message: null });
    this.nextStreamId += 2;
    this.outgoing.push(out);
  }

  close(): void {
    this.closing = true;
    this.socket.destroy();
  }

  flush(): void {
    if (this.outgoing.length === 0) return;
    this.socket.write(this.outgoing.length === 1 ? this.outgoing[0]! : Buffer.concat(this.outgoing));
    this.outgoing = [];
  }

  private receive(chunk: Buffer): void {
    const bytes = this.partial === null ? chunk : Buffer.concat([this.partial, chunk]);
    let at = 0;
    while (bytes.length - at >= FRAME_HEADER) {
      const end = at + FRAME_HEADER + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      this.handle(bytes, bytes[at + 3]!, bytes[at + 4]!, bytes.readUInt32BE(at + 5), at + FRAME_HEADER, end);
      at = end;
    }
    this.partial = at === bytes.length ? null : bytes.subarray(at);
    this.flush();
  }

  private handle(bytes: Buffer, type: number, flags: number, streamId: number, start: number, end: number): void {
    switch (type) {
      case FRAME.data:
        this.onData(bytes, flags, streamId, start, end);
        break;
      case FRAME.headers:
        if ((flags & FLAG.endStream) !== 0) this.end(streamId);
        break;
      case FRAME.reset:
        this.fail(streamId, `the stream was reset, code ${bytes.readUInt32BE(start)}`);
        break;
      case FRAME.windowUpdate:
        if (streamId === 0) this.sendWindow += bytes.readUInt32BE(start);
        break;
      case FRAME.settings:
        if ((flags & FLAG.ack) === 0) this.acceptSettings(bytes, start, end);
        break;
      case FRAME.ping:
        if ((flags & FLAG.ack) === 0) {
          this.outgoing.push(frame(FRAME.ping, FLAG.ack, 0, Buffer.from(bytes.subarray(start, end))));
        }
        break;
      case FRAME.goaway:
        throw new Error(`the server closed the connection, code ${bytes.readUInt32BE(start + 4)}`);
      default:
        throw new Error(`unexpected HTTP/2 frame of type ${type}`);
    }
  }

  private acceptSettings(bytes: Buffer, start: number, end: number): void {
    for (let at = start; at < end; at += 6) {
      const id = bytes.readUInt16BE(at);
      const value = bytes.readUInt32BE(at + 2);
      // The prebuilt frames count on a table of the default size and on large enough a window for one request.
      if ((id === 0x1 && value < 4096) || (id === 0x4 && value < 16_384)) throw new Error(`setting ${id}=${value}`);
    }
    this.outgoing.push(frame(FRAME.settings, FLAG.ack, 0, Buffer.alloc(0)));
    this.onSettings();
  }

  private onData(bytes: Buffer, flags: number, streamId: number, start: number, end: number): void {
    if ((flags & FLAG.padded) !== 0) throw new Error("padded DATA frame");
    const call = this.open.get(streamId);
    if (call === undefined) return;
    const part = bytes.subarray(start, end);
    call.message = call.message === null ? part : Buffer.concat([call.message, part]);
    if ((flags & FLAG.endStream) !== 0) this.end(streamId);
  }

  private end(streamId: number): void {
    const call = this.open.get(streamId);
    if (call === undefined) return;
    const { message } = call;
    if (message === null || message.length < MESSAGE_HEADER) return this.fail(streamId, "a gRPC fault");
    if (message[0] !== 0 || message.readUInt32BE(1) !== message.length - MESSAGE_HEADER) {
      return this.fail(streamId, "not one whole uncompressed message");
    }
    this.open.delete(streamId);
    this.sink.answered(call.slot, message, MESSAGE_HEADER, message.length);
  }

  private fail(streamId: number, why: string): void {
    const call = this.open.get(streamId);
    if (call === undefined) return;
    this.open.delete(streamId);
    this.sink.failed(call.slot, why);
  }
}
