import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  CheckpointError,
  epochLine,
  epochOf,
  formatCheckpoint,
  originOf,
  parseCheckpoint,
} from "../../../src/audit/log/checkpoint.ts";

const ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

describe("a checkpoint", () => {
  test("is read as the specification's example is written", () => {
    const text = `example.com/behind-the-sofa\n20852163\n${ROOT}\n`;
    const checkpoint = parseCheckpoint(text);
    expect(checkpoint).toEqual({
      origin: "example.com/behind-the-sofa",
      size: 20852163,
      root: Buffer.from(ROOT, "base64"),
      extensions: [],
    });
    expect(formatCheckpoint(checkpoint)).toBe(text);
  });

  test("comes back as it was", () => {
    const line = fc.string({ minLength: 1 }).filter((text) => !text.includes("\n"));
    fc.assert(
      fc.property(
        line,
        fc.maxSafeNat(),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.array(line),
        (...parts) => {
          const [origin, size, root, extensions] = parts;
          const checkpoint = { origin, size, root: Buffer.from(root), extensions };
          expect(parseCheckpoint(formatCheckpoint(checkpoint))).toEqual(checkpoint);
        },
      ),
    );
  });

  test.each([
    ["nothing", ""],
    ["no last newline", `log\n1\n${ROOT}`],
    ["two lines", "log\n1\n"],
    ["an empty origin", `\n1\n${ROOT}\n`],
    ["an empty line", `log\n1\n${ROOT}\n\nepoch 1\n`],
    ["a size with a leading zero", `log\n01\n${ROOT}\n`],
    ["a negative size", `log\n-1\n${ROOT}\n`],
    ["a size in hex", `log\n0x1\n${ROOT}\n`],
    ["a size that cannot be counted", `log\n9007199254740992\n${ROOT}\n`],
    ["a root of 31 bytes", `log\n1\n${Buffer.alloc(31).toString("base64")}\n`],
    ["a root in another spelling", `log\n1\n${ROOT.replace("2I=", "2J=")}\n`],
  ])("with %s is refused", (_, text) => {
    expect(() => parseCheckpoint(text)).toThrow(CheckpointError);
  });

  test("cannot be written with a line that would be two", () => {
    const checkpoint = { origin: "log", size: 1, root: Buffer.alloc(32), extensions: ["a\nb"] };
    expect(() => formatCheckpoint(checkpoint)).toThrow(CheckpointError);
    expect(() => formatCheckpoint({ ...checkpoint, extensions: [], origin: "a\nb" })).toThrow(CheckpointError);
    expect(() => formatCheckpoint({ ...checkpoint, extensions: [""] })).toThrow(CheckpointError);
  });

  test("names its epoch in one line, or is not ours", () => {
    const ours = { origin: originOf("0193"), size: 1, root: Buffer.alloc(32), extensions: [epochLine(7)] };
    expect(formatCheckpoint(ours).split("\n").with(2, "")).toEqual(["datacrawl/0193", "1", "", "epoch 7", ""]);
    const withLines = (...extensions: string[]) => ({ origin: "log", size: 1, root: Buffer.alloc(32), extensions });
    expect(epochOf(withLines("other", epochLine(7)))).toBe(7);
    for (const lines of [[], ["epoch 1", "epoch 2"], ["epoch 01"], ["epoch"], ["epoch 9007199254740993"]]) {
      expect(() => epochOf(withLines(...lines))).toThrow(CheckpointError);
    }
  });
});
