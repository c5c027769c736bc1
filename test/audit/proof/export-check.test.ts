import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ExportCheck, type ExportProblem, type ExportSummary } from "../../../src/audit/proof/export-check.ts";
import { sampleExport, sampleSigner, sampleTrail, sampleTree } from "./proof-samples.ts";
import { amount } from "../../support/amount.ts";

const signer = sampleSigner("the log's key");
const trail = sampleTrail(29);
const all = await sampleExport(trail, signer, () => true, [10, 20]);
const small = await sampleExport(sampleTrail(9), signer, (seq) => seq >= 2 && seq < 6, [5]);
const part = await sampleExport(trail, signer, (seq) => seq >= 9 && seq < 22 && seq !== 14, [20]);

function check(
  text: string | Buffer,
  keys = [signer.key],
): { summary: ExportSummary | null; problems: ExportProblem[] } {
  const checker = new ExportCheck(keys);
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    const newline = bytes.indexOf(10, at);
    const end = newline < 0 ? bytes.length : newline + 1;
    checker.line(bytes.subarray(at, end));
    at = end;
  }
  return { summary: checker.end(), problems: checker.problems };
}

/** With one line changed, and the digest at the end made to fit: what someone does who knows the format. */
function forged(text: string, change: (lines: string[]) => void): string {
  const lines = text.trimEnd().split("\n");
  change(lines);
  const body = lines.slice(0, -1).map((line) => `${line}\n`);
  const end = JSON.parse(lines.at(-1) as string) as { end: { sha256: string } };
  end.end.sha256 = createHash("sha256").update(body.join("")).digest("hex");
  return `${body.join("")}${JSON.stringify(end)}\n`;
}

const edit = (line: string, change: (json: Record<string, unknown>) => void): string => {
  const json = JSON.parse(line) as Record<string, unknown>;
  change(json);
  return JSON.stringify(json);
};

describe("an export", () => {
  test("of everything holds, and leaves nothing out", () => {
    const { summary, problems } = check(all);
    expect(problems).toEqual([]);
    expect(summary).toMatchObject({ log: signer.key.name, decisions: 22, events: 7, payloads: 15 });
    expect(summary?.epochs).toMatchObject([
      { epoch: 1, rows: 29, checkpoint: { size: 29 }, leavesLeftOut: { before: 0, among: 0, after: 0 } },
    ]);
  });

  test("of a part holds too, and tells how many leaves it leaves out", () => {
    const { summary, problems } = check(part);
    expect(problems).toEqual([]);
    expect(summary?.epochs[0]?.leavesLeftOut).toEqual({ before: 9, among: 1, after: 7 });
  });

  test("of any part of any trail holds", async () => {
    for (let size = 0; size <= 17; size++) {
      for (const [from, to] of [
        [0, size],
        [1, size - 1],
        [size >> 1, size],
        [0, 0],
      ] as const) {
        const { problems } = check(await sampleExport(sampleTrail(size), signer, (seq) => seq >= from && seq < to));
        expect(problems).toEqual([]);
      }
    }
  });

  test("with any one byte changed fails, and names the row that it is in", () => {
    const whole = Buffer.from(small);
    let line = 1;
    for (let at = 0; at < whole.length; at++) {
      if (whole[at - 1] === 10) line++;
      // All of them take half a minute.
      if (at % amount(3, 1) !== 0) continue;
      const spoilt = Buffer.from(whole);
      spoilt[at] = (spoilt[at] as number) ^ 2;
      const { problems } = check(spoilt);
      expect(problems, `byte ${at}`).not.toEqual([]);
      const text = small.split("\n")[line - 1] as string;
      const first = problems[0] as ExportProblem;
      // A row's bytes are told where they are; a checkpoint or the digest tells of the lines before it.
      if (text.includes('"decision":') || text.includes('"event":')) expect(first.line, `byte ${at}`).toBe(line);
      else expect(first.line).toBeGreaterThanOrEqual(line);
    }
  });

  test("that was cut off anywhere fails", () => {
    const whole = Buffer.from(small);
    for (let end = 0; end < whole.length; end += 7) expect(check(whole.subarray(0, end)).problems).not.toEqual([]);
    const lines = part.split("\n");
    for (let count = 0; count < lines.length - 1; count++) {
      const { problems } = check(
        lines
          .slice(0, count)
          .map((line) => `${line}\n`)
          .join(""),
      );
      expect(problems).toMatchObject([{ step: "format", message: "the file is truncated: its last line is missing" }]);
    }
  });

  test("names every bad row in one pass", () => {
    const bad = forged(all, (lines) => {
      for (const at of [3, 8]) lines[at] = (lines[at] as string).replace("stripe.refund", "stripe.charge");
    });
    expect(check(bad).problems).toMatchObject([
      { line: 4, step: "row", message: expect.stringContaining("0193a1b2-c3d4-7e5f-8a9b-100000000001") as string },
      { line: 9, step: "row", message: expect.stringContaining("0193a1b2-c3d4-7e5f-8a9b-100000000006") as string },
    ]);
  });

  const rowAt = (lines: string[], seq: number): number => lines.findIndex((line) => line.startsWith(`{"seq":${seq},`));

  test.each<[string, ExportProblem["step"], string, (lines: string[]) => void]>([
    ["a row left out", "format", "the next is leaf 5", (lines) => lines.splice(rowAt(lines, 5), 1)],
    [
      "a row twice",
      "format",
      "the next is leaf 6",
      (lines) => lines.splice(rowAt(lines, 5), 0, lines[rowAt(lines, 5)] as string),
    ],
    [
      "two rows that changed places",
      "root",
      "lines 3 to 12 are not what was signed",
      (lines) => {
        const [a, b] = [rowAt(lines, 4), rowAt(lines, 5)];
        const [four, five] = [lines[a] as string, lines[b] as string];
        lines[a] = five.replace('"seq":5', '"seq":4');
        lines[b] = four.replace('"seq":4', '"seq":5');
      },
    ],
    [
      "a row with another's hash",
      "row",
      "do not have the hash",
      (lines) =>
        (lines[rowAt(lines, 5)] = edit(lines[rowAt(lines, 5)] as string, (row) => (row["hash"] = "00".repeat(32)))),
    ],
    [
      "another payload",
      "payload",
      "the payload is not the one",
      (lines) =>
        (lines[rowAt(lines, 4)] = (lines[rowAt(lines, 4)] as string).replace('{\\"amount\\":4', '{\\"amount\\":5')),
    ],
    [
      "a checkpoint of another size",
      "checkpoint",
      "20 leaves",
      (lines) => ([lines[12], lines[23]] = [lines[23] as string, lines[12] as string]),
    ],
    [
      "no last checkpoint",
      "checkpoint",
      "lines 25 to 33 are not covered by a checkpoint",
      (lines) => lines.splice(-2, 1),
    ],
    ["a line of no kind", "format", "an unknown kind", (lines) => lines.splice(5, 0, "{}")],
    ["an empty line", "format", "not JSON", (lines) => lines.splice(5, 0, "")],
    ["no epoch", "format", "before any epoch", (lines) => lines.splice(1, 1)],
    ["an epoch twice", "format", "not after the one before", (lines) => lines.splice(-1, 0, '{"epoch":1}')],
    [
      "a row of another time",
      "range",
      "not of the time",
      (lines) => (lines[0] = edit(lines[0] as string, (header) => (header["from"] = 1795365765000000))),
    ],
    [
      "another log",
      "checkpoint",
      "the file of",
      (lines) => (lines[0] = (lines[0] as string).replace('"datacrawl/', '"datacrawl-')),
    ],
    [
      "other totals",
      "digest",
      "the file has",
      (lines) => lines.push((lines.pop() as string).replace('"events":7', '"events":8')),
    ],
    ["more after the end", "format", "after the last one", (lines) => lines.push(lines.at(-1) as string)],
    [
      "a gap that goes back",
      "format",
      "does not describe the leaves from 3",
      (lines) => lines.splice(rowAt(lines, 3), 0, '{"gap":2,"nodes":[]}'),
    ],
    [
      "a gap with too few nodes",
      "format",
      "are 2 subtrees, not 1",
      (lines) => lines.splice(rowAt(lines, 3), 0, `{"gap":6,"nodes":["${"00".repeat(32)}"]}`),
    ],
    [
      "a gap without an end",
      "format",
      "53 subtrees, not 0",
      (lines) => lines.splice(rowAt(lines, 0), 0, '{"gap":9007199254740991,"nodes":[]}'),
    ],
    [
      "an event with a payload",
      "format",
      "no payload",
      (lines) => (lines[rowAt(lines, 3)] = edit(lines[rowAt(lines, 3)] as string, (row) => (row["payload"] = {}))),
    ],
  ])("forged with %s fails at: %s", (_, step, word, change) => {
    const { problems } = check(forged(all, change));
    expect(problems[0]).toMatchObject({ step });
    expect(problems[0]?.message).toContain(word);
  });

  test("with a gap of made-up nodes is not what was signed", () => {
    const bad = forged(
      part,
      (lines) => (lines[2] = edit(lines[2] as string, (gap) => ((gap["nodes"] as string[])[0] = "00".repeat(32)))),
    );
    expect(check(bad).problems).toMatchObject([
      { step: "root", message: expect.stringContaining("lines 3 to") as string },
    ]);
  });

  test("signed by a key that is not trusted is nothing", () => {
    const other = sampleSigner("another key");
    expect(check(all, [other.key]).problems).toMatchObject([{ line: 13, step: "signature" }]);
    expect(check(all, []).problems).toMatchObject([{ step: "signature" }]);
  });

  test("of another trail under the same key's checkpoints is not what was signed", async () => {
    const rehashed = await sampleExport(sampleTrail(29, "stripe.charge"), signer, () => true);
    const note = JSON.stringify(sampleTree(trail, signer).noteAt(29));
    const bad = forged(rehashed, (lines) => (lines[lines.length - 2] = `{"checkpoint":${note}}`));
    expect(check(bad).problems[0]).toMatchObject({ step: "root" });
  });

  test("tells a hundred problems and no more", async () => {
    const large = await sampleExport(sampleTrail(150), signer, () => true);
    expect(check(large.replaceAll("agent.created", "agent.deleted")).problems).toHaveLength(37 + 1);
    expect(check(large.replaceAll('"demo"', '"dem0"')).problems).toHaveLength(100);
  });
});

test("the worked example of the documentation is what is made", async () => {
  const vectors = JSON.parse(readFileSync("docs/proof-vectors.json", "utf8")) as { export: string[] };
  const made = await sampleExport(sampleTrail(6), signer, (seq) => seq > 1, [5]);
  expect(vectors.export.map((line) => `${line}\n`).join("")).toBe(made);
});
