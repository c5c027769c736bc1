/** Who may write on an HTTP/2 connection: many streams, one at a time. */
import type { Socket } from "node:net";
import { FLAG, FRAME } from "./frames.ts";
import { type Wire, wireOf } from "./script.ts";

const FRAME_HEAD_BYTES = 9;

/**
 * Holds back what others write while a script is within a frame or a header block, also while it stalls there: a frame of
 * another stream in its midst would be a fault that no case speaks of. Follows the bytes as the client does.
 */
export class Gate {
  readonly #wire: Wire;
  readonly #waiting: { owner: number; bytes: Uint8Array }[] = [];
  /** Whose frame or header block is open. */
  #owner = 0;
  #head: number[] = [];
  #payloadLeft = 0;
  #inHeaderBlock = false;

  constructor(socket: Socket) {
    this.#wire = wireOf(socket);
  }

  /** A stream's way to the client. */
  wire(streamId: number): Wire {
    const wire = this.#wire;
    return {
      write: (bytes) => this.#write(streamId, bytes),
      end: () => wire.end(),
      reset: () => wire.reset(),
      get open() {
        return wire.open;
      },
    };
  }

  #write(owner: number, bytes: Uint8Array): void {
    if (!this.#aligned && owner !== this.#owner) {
      this.#waiting.push({ owner, bytes });
      return;
    }
    this.#owner = owner;
    this.#follow(bytes);
    this.#wire.write(bytes);
    const next = this.#aligned ? this.#waiting.shift() : undefined;
    if (next !== undefined) this.#write(next.owner, next.bytes);
  }

  get #aligned(): boolean {
    return this.#head.length === 0 && !this.#inHeaderBlock;
  }

  #follow(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#head.length < FRAME_HEAD_BYTES) {
        this.#head.push(bytes[at++] ?? 0);
        if (this.#head.length === FRAME_HEAD_BYTES) this.#payloadLeft = Buffer.from(this.#head).readUIntBE(0, 3);
      } else {
        const taken = Math.min(this.#payloadLeft, bytes.length - at);
        this.#payloadLeft -= taken;
        at += taken;
      }
      if (this.#head.length === FRAME_HEAD_BYTES && this.#payloadLeft === 0) this.#endFrame();
    }
  }

  #endFrame(): void {
    const [type, flags = 0] = this.#head.slice(3);
    const opens = type === FRAME.headers || type === FRAME.pushPromise || type === FRAME.continuation;
    if (opens) this.#inHeaderBlock = (flags & FLAG.endHeaders) === 0;
    this.#head = [];
  }
}
