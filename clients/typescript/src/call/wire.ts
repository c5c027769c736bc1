/** Bytes that are not the one encoding that the contract's encoders produce. */
export class WireError extends Error {
  override readonly name = "WireError";
}

export const WireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;
export type WireType = (typeof WireType)[keyof typeof WireType];

/**
 * Reads protobuf more strictly than protobuf asks: each varint in its shortest form and within 64 bits, no groups, valid
 * UTF-8. Ours because protobuf-es reads a field of any wire type as what the schema says, cuts 2³²+1 to 1, and takes the last
 * of repeated singular fields: each of these turned a spoiled answer into ALLOW.
 */
export class WireReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  tag(): { readonly field: number; readonly type: WireType } {
    const tag = this.varint();
    const field = Math.floor(tag / 8);
    const type = tag % 8;
    if (field < 1 || tag > 0xffff_ffff) throw new WireError("a field number is out of range");
    if (!isWireType(type)) throw new WireError(`field ${field} has wire type ${type}`);
    return { field, type };
  }

  /** Exact up to 2⁵³; above that only its size is to be relied on. */
  varint(): number {
    let value = 0;
    for (let index = 0; index < 10; index++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new WireError("the message is cut short");
      if (index === 9 && byte > 1) break;
      value += (byte & 0x7f) * 2 ** (7 * index);
      if (byte < 0x80) {
        if (byte === 0 && index > 0) throw new WireError("a varint is longer than it need be");
        return value;
      }
    }
    throw new WireError("a varint is over 64 bits");
  }

  /** A view of the next length-delimited field's bytes. */
  bytes(): Uint8Array {
    return this.#take(this.varint());
  }

  string(): string {
    try {
      return utf8.decode(this.bytes());
    } catch (error) {
      if (error instanceof WireError) throw error;
      throw new WireError("a string is not valid UTF-8");
    }
  }

  skip(type: WireType): void {
    switch (type) {
      case WireType.varint:
        this.varint();
        break;
      case WireType.fixed64:
        this.#take(8);
        break;
      case WireType.bytes:
        this.bytes();
        break;
      case WireType.fixed32:
        this.#take(4);
        break;
    }
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new WireError("the message is cut short");
    const view = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return view;
  }
}

// `ignoreBOM` keeps a leading U+FEFF: an echo that differs by one is not the echo.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function isWireType(type: number): type is WireType {
  return type === 0 || type === 1 || type === 2 || type === 5;
}
