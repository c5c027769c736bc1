import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LineSplitter } from "../../src/mcp/stdio/lines.ts";

const split = (limit: number, chunks: readonly Buffer[]): (string | null)[] => {
  const splitter = new LineSplitter(limit);
  return chunks.flatMap((chunk) => [...splitter.take(chunk)]).map((line) => line?.toString() ?? null);
};

describe("lines of a stream", () => {
  test("do not depend on how the bytes arrive", () => {
    const lines = fc.array(
      fc.string({ unit: "binary" }).map((text) => text.replaceAll("\n", "")),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(lines, fc.array(fc.nat(40), { maxLength: 8 }), (texts, cuts) => {
        const bytes = Buffer.from(texts.map((text) => `${text}\n`).join(""));
        const ends = [...cuts.filter((cut) => cut < bytes.length), bytes.length].toSorted((a, b) => a - b);
        const chunks = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
        expect(split(1000, chunks)).toEqual(texts);
      }),
    );
  });

  test("are not complete without their newline", () => {
    expect(split(100, [Buffer.from("a\nb")])).toEqual(["a"]);
  });

  test("are left out where they are too long, and the next one is read", () => {
    expect(split(3, [Buffer.from("abc\nab"), Buffer.from("cd"), Buffer.from("e\nxyz\n")])).toEqual([
      "abc",
      null,
      "xyz",
    ]);
  });
});
