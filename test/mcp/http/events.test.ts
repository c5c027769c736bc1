import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mapEvents } from "../../../src/mcp/http/events.ts";

/** What comes out, and the data that was seen on the way; "old" becomes "new". */
async function through(chunks: readonly Buffer[]): Promise<{ readonly out: Buffer; readonly seen: readonly string[] }> {
  const seen: string[] = [];
  const parts: Buffer[] = [];
  const map = async (data: string): Promise<string> => {
    seen.push(data);
    return data.replace("old", "new\nline");
  };
  for await (const part of mapEvents(Readable.from(chunks), map)) parts.push(part);
  return { out: Buffer.concat(parts), seen };
}

async function throughText(text: string): Promise<readonly [string, readonly string[]]> {
  const { out, seen } = await through([Buffer.from(text)]);
  return [out.toString(), seen];
}

describe("a stream of events", () => {
  test.each([
    [": comment\n\nid: 1\ndata: a\ndata:b\n\nevent: x\r\ndata: c\r\n\r\ndata: d\r\rretry: 5\n\n", ["a\nb", "c", "d"]],
    ["\n\ndata\ndatabase: x\n\n\ndata: \u00e9\u{1f600}\n\n", ["\u00e9\u{1f600}"]],
    ["\uFEFFdata: a\n\n", ["a"]],
    ["data: a\n\ndata: cut off", ["a", "cut off"]],
  ])("passes byte for byte where nothing is replaced: %j", async (text, data) => {
    expect(await throughText(text)).toEqual([text, data]);
  });

  test("keeps the other fields of an event whose data is replaced", async () => {
    expect(await throughText("event: message\r\nid: 7\r\ndata: o\r\ndata:ld\r\n\r\ndata: old\nretry: 1\n\n")).toEqual([
      "event: message\r\nid: 7\r\ndata: o\r\ndata:ld\r\n\r\nretry: 1\ndata: new\ndata: line\n\n",
      ["o\nld", "old"],
    ]);
  });

  test("is the same however it is cut into chunks", async () => {
    const piece = fc.constantFrom("data: old", "data: \u00e9", ": c", "id: 1", "data:x", "");
    const end = fc.constantFrom("\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\r\r", "\n\r\n");
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(piece, end), { maxLength: 12 }),
        fc.array(fc.nat({ max: 6 }), { maxLength: 60 }),
        async (pieces, sizes) => {
          const bytes = Buffer.from(pieces.flat().join(""));
          const chunks: Buffer[] = [];
          let at = 0;
          for (const size of sizes) chunks.push(bytes.subarray(at, (at += size)));
          chunks.push(bytes.subarray(at));
          const whole = await through([bytes]);
          const cut = await through(chunks.filter(({ length }) => length > 0));
          expect([cut.out.toString(), cut.seen]).toEqual([whole.out.toString(), whole.seen]);
        },
      ),
    );
  });
});
