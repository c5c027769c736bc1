/** Protobuf by hand: for messages that no encoder writes. */

export function varint(value: number): Buffer {
  const bytes = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Buffer.from([...bytes, rest]);
}

export function text(value: string): Buffer {
  return Buffer.from(value);
}

export function field(number: number, content: Buffer): Buffer {
  return Buffer.concat([varint(number * 8 + 2), varint(content.length), content]);
}

export function varintField(number: number, value: number): Buffer {
  return Buffer.concat([varint(number * 8), varint(value)]);
}

export function fixed64(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([varint(number * 8 + 1), bytes]);
}

/** A `google.protobuf.Value` that is a number. */
export function doubleValue(value: number): Buffer {
  return fixed64(2, value);
}

/** A `google.protobuf.Struct` of names and encoded values. */
export function struct(members: readonly (readonly [name: string | Buffer, value: Buffer])[]): Buffer {
  return Buffer.concat(
    members.map(([name, value]) => field(1, Buffer.concat([field(1, Buffer.from(name)), field(2, value)]))),
  );
}

/** A `google.protobuf.ListValue` of encoded values. */
export function list(values: readonly Buffer[]): Buffer {
  return Buffer.concat(values.map((value) => field(1, value)));
}
