import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { Undecodable } from "../../src/core/undecodable.ts";
import { WireReader } from "../../src/core/wire-reader.ts";

/** What `read` makes of the bytes, with where it stopped; or the problem. */
function reading(bytes: readonly number[], read: (reader: WireReader, end: number) => unknown): unknown {
  const reader = new WireReader(Uint8Array.from(bytes));
  try {
    return [read(reader, bytes.length), reader.at];
  } catch (error) {
    if (error instanceof Undecodable) return error.message;
    throw error;
  }
}

describe("a varint on the wire", () => {
  const varint = (...bytes: number[]): unknown => reading(bytes, (reader, end) => reader.varint(end));

  test("is read in its shortest form, up to 64 bits", () => {
    expect(varint(0)).toEqual([0, 1]);
    expect(varint(0x7f)).toEqual([127, 1]);
    expect(varint(0x80, 1)).toEqual([128, 2]);
    expect(varint(0x81, 0x80, 0x80, 0x80, 0x10)).toEqual([2 ** 32 + 1, 5]);
    expect(varint(...Array<number>(9).fill(0xff), 1)).toEqual([2 ** 64, 10]);
  });

  test("is refused when it is longer than its shortest form, whatever it stands for", () => {
    const problem = "has a varint that is longer than its shortest form";
    expect(varint(0x80, 0)).toBe(problem);
    expect(varint(0x81, 0)).toBe(problem);
    expect(varint(0x81, 0x80, 0)).toBe(problem);
    expect(reading([0x88, 0, 1], (reader, end) => reader.tag(end))).toBe(problem);
    expect(reading([0x81, 0, 0x61], (reader, end) => reader.string(end))).toBe(problem);
    expect(reading([0x81, 0], (reader, end) => reader.bool(end))).toBe(problem);
    expect(reading([8, 0x81, 0], (reader, end) => reader.skip(reader.tag(end), end))).toBe(problem);
  });

  test("is refused over 64 bits, and when it is cut short", () => {
    expect(varint(...Array<number>(9).fill(0x80), 2)).toBe("has a varint of more than 64 bits");
    expect(varint(...Array<number>(10).fill(0x80), 1)).toBe("has a varint of more than 64 bits");
    expect(varint(0x80)).toBe("is cut short");
    expect(varint()).toBe("is cut short");
  });

  test("is read as protobuf-es writes it, up to 2⁵³", () => {
    fc.assert(
      fc.property(fc.nat(Number.MAX_SAFE_INTEGER), (value) => {
        const bytes = new BinaryWriter().uint64(value).finish();
        expect(varint(...bytes)).toEqual([value, bytes.length]);
      }),
      { seed: 20261128, numRuns: 300 },
    );
  });
});

describe("a reader of the wire format", () => {
  test("refuses tags, lengths and wire types that are out of range", () => {
    expect(reading([2], (reader, end) => reader.tag(end))).toBe("has a field numbered 0");
    expect(reading([0xff, 0xff, 0xff, 0xff, 0x7f], (reader, end) => reader.tag(end))).toBe("has a tag out of range");
    expect(reading([2, 0x61], (reader, end) => reader.string(end))).toBe("is cut short");
    expect(reading([1, 0xff], (reader, end) => reader.string(end))).toBe("is not valid UTF-8");
    expect(reading([0x0b], (reader, end) => reader.skip(reader.tag(end), end))).toBe("has a field of wire type 3");
  });

  test("keeps a byte order mark, which an echo must repeat too", () => {
    expect(reading([4, 0xef, 0xbb, 0xbf, 0x61], (reader, end) => reader.string(end))).toEqual(["\ufeffa", 5]);
  });

  test("passes over fields of every wire type, to where protobuf-es stops", () => {
    for (const field of [
      [0x08, 0xac, 2],
      [0x09, 1, 2, 3, 4, 5, 6, 7, 8],
      [0x0a, 2, 1, 2],
      [0x0d, 1, 2, 3, 4],
    ]) {
      const other = new BinaryReader(Uint8Array.from(field));
      other.skip(other.tag()[1]);
      expect(reading(field, (reader, end) => reader.skip(reader.tag(end), end))).toEqual([undefined, other.pos]);
    }
  });

  test("reads no byte behind the end of the part that it is given", () => {
    const reader = new WireReader(Uint8Array.of(1, 0x61, 0x80, 1));
    expect(reader.string(2)).toBe("a");
    expect(() => reader.varint(3)).toThrow("is cut short");
  });
});
