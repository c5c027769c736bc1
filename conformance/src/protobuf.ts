/** Writes the protobuf wire format, right or wrong, byte by byte. */

export const WIRE = { varint: 0, fixed64: 1, len: 2, startGroup: 3, endGroup: 4, fixed32: 5 } as const;

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The shortest varint of `value`; negative numbers as the 64-bit two's complement, which takes ten bytes. */
export function varint(value: number | bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  return Uint8Array.from([...bytes, Number(rest)]);
}

/** `value` below 128 as a varint of `length` bytes, more than it needs. */
export function overlong(value: number, length: number): Uint8Array {
  return Uint8Array.from([value | 0x80, ...Array.from({ length: length - 2 }, () => 0x80), 0x00]);
}

export function tag(field: number, wireType: number): Uint8Array {
  return varint(BigInt(field) * 8n + BigInt(wireType));
}

export function varintField(field: number, value: number | bigint): Uint8Array {
  return concat(tag(field, WIRE.varint), varint(value));
}

export function lenField(field: number, value: Uint8Array | string): Uint8Array {
  const bytes = typeof value === "string" ? utf8(value) : value;
  return concat(tag(field, WIRE.len), varint(bytes.length), bytes);
}

export function fixed32Field(field: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return concat(tag(field, WIRE.fixed32), bytes);
}

export function fixed64Field(field: number, value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return concat(tag(field, WIRE.fixed64), bytes);
}

export function groupField(field: number, inside: Uint8Array): Uint8Array {
  return concat(tag(field, WIRE.startGroup), inside, tag(field, WIRE.endGroup));
}

/** `bytes` with one bit the other way round; bit 0 is the lowest of the first byte. Counts round past the end. */
export function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const at = Math.floor(bit / 8) % copy.length;
  copy[at] = (copy[at] ?? 0) ^ (1 << (bit % 8));
  return copy;
}
