import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { ExportCheck } from "../../../src/audit/proof/export-check.ts";
import { formatVkey, signNote } from "../../../src/audit/log/note.ts";
import { checkProof, ProofError } from "../../../src/audit/proof/proof.ts";
import { findPython } from "../../support/python.ts";
import {
  sampleConsistency,
  sampleExport,
  sampleProof,
  sampleSigner,
  sampleTrail,
  sampleTree,
} from "./proof-samples.ts";
import { amount } from "../../support/amount.ts";

const python = findPython("cryptography.hazmat.primitives.asymmetric.ed25519", "cryptography") as string;
const VERIFIER = "clients/python-verify/datacrawl_verify.py";

const signer = sampleSigner("the log's key");
const trail = sampleTrail(9);
const vkey = formatVkey(signer.key);

/** The first problem's line and step, and how many there are; null if all holds. */
type Outcome = [number | null, string, number] | null;

function ours(bytes: Buffer): Outcome {
  return bytes.subarray(0, 200).includes('"datacrawl.audit.export') ? ourExport(bytes) : ourProof(bytes);
}

function ourProof(bytes: Buffer): Outcome {
  try {
    checkProof(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes), [signer.key]);
    return null;
  } catch (error) {
    return [null, error instanceof ProofError ? error.step : "format", 1];
  }
}

function ourExport(bytes: Buffer): Outcome {
  const check = new ExportCheck([signer.key]);
  for (let at = 0; at < bytes.length; ) {
    const newline = bytes.indexOf(10, at);
    const end = newline < 0 ? bytes.length : newline + 1;
    check.line(bytes.subarray(at, end));
    at = end;
  }
  check.end();
  const [first] = check.problems;
  return first === undefined ? null : [first.line, first.step, check.problems.length];
}

/** What both say of files as they are, and with one byte in every `step` changed in turn. */
function compare(
  texts: readonly (string | Buffer)[],
  step: number | null = null,
): { first: Outcome; changes: number; refused: number }[] {
  const cases = texts.map((text) => {
    const whole = Buffer.from(text);
    const all = step === null ? [] : Array.from(whole, (_, at) => [at, 1 << (at % 8)] as const);
    return { whole, changes: all.filter(([at]) => at % (step ?? 1) === 0) };
  });
  const theirs = judgeByPython(cases);
  return cases.map(({ whole, changes }, index) => {
    const mine = [ours(whole)];
    for (const [at, xor] of changes) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] as number) ^ xor;
      mine.push(ours(changed));
    }
    expect(theirs[index]).toEqual(mine);
    const refused = mine.filter((outcome) => outcome !== null).length;
    return { first: mine[0] as Outcome, changes: changes.length, refused };
  });
}

function judgeByPython(
  cases: readonly { whole: Buffer; changes: readonly (readonly [number, number])[] }[],
): Outcome[][] {
  const input = cases
    .map(({ whole, changes }) => JSON.stringify({ file: whole.toString("base64"), changes }))
    .join("\n");
  const ran = spawnSync(python, ["test/audit/proof/python-verify.py", vkey], {
    input,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (ran.status !== 0) throw new Error(ran.stderr);
  return ran.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Outcome[]);
}

const proof = await sampleProof(trail, signer, 4);
const consistency = await sampleConsistency(trail, signer, 6);
const exported = await sampleExport(trail, signer, (seq) => seq >= 2 && seq < 6, [5]);

describe.skipIf(python === null)("the independent verifier in Python", () => {
  const dir = mkdtempSync(join(tmpdir(), "datacrawl-verify-"));
  afterAll(() => rmSync(dir, { recursive: true }));

  const step = amount(7, 1);

  test.each([
    ["a proof", proof],
    ["a proof of consistency", consistency],
    ["an export", exported],
  ])("agrees with ours on %s, and on changes of one byte in it", (_, text) => {
    const [outcome] = compare([text], step);
    expect(outcome?.first).toBeNull();
    expect(outcome?.refused).toBeGreaterThan((outcome?.changes ?? 0) * 0.8);
  });

  test("agrees with ours on each leaf and each beginning of small trees", async () => {
    const files: string[] = [];
    for (let size = 1; size <= 9; size++) {
      for (let seq = 0; seq < size; seq++) {
        const before = trail.slice(0, size);
        if (trail[seq]?.stream === "decisions") files.push(await sampleProof(before, signer, seq));
        files.push(await sampleConsistency(before, signer, seq));
      }
    }
    expect(compare(files).every(({ first }) => first === null)).toBe(true);
  });

  const json = (text: string, change: (value: Record<string, unknown>) => void): string => {
    const value = JSON.parse(text) as Record<string, unknown>;
    change(value);
    return JSON.stringify(value);
  };
  const other = sampleSigner("another key");

  const spoilt: readonly [string, string | Buffer, string][] = [
    [
      "a checkpoint by another key",
      json(proof, (value) => (value["checkpoint"] = sampleTree(trail, other).noteAt(9))),
      "signature",
    ],
    [
      "a checkpoint of another epoch",
      json(proof, (value) => (value["checkpoint"] = sampleTree(trail, signer, 2).noteAt(9))),
      "checkpoint",
    ],
    [
      "a note that is no checkpoint",
      json(proof, (value) => (value["checkpoint"] = signNote("a\nb\n", [signer]))),
      "checkpoint",
    ],
    ["a repeated member", proof.replace('"epoch": 1', '"epoch": 1,\n"epoch": 1'), "format"],
    ["a fraction", proof.replace('"epoch": 1', '"epoch": 1.0'), "format"],
    ["a number of more than 53 bits", proof.replace('"epoch": 1', '"epoch": 9007199254740992'), "format"],
    ["infinity", proof.replace('"epoch": 1', '"epoch": Infinity'), "format"],
    ["a lone surrogate", proof.replace("refund-4", "\\udc00"), "format"],
    ["a mark of byte order", `\ufeff${proof}`, "format"],
    ["bytes that are not UTF-8", Buffer.concat([Buffer.from(proof.slice(0, -3)), Buffer.of(0xff)]), "format"],
    ["deep nesting", "[".repeat(200_000), "format"],
    ["nothing", "", "format"],
    ["an export without its end", exported.slice(0, exported.lastIndexOf('{"end"')), "format"],
    ["an export that ends within a line", exported.slice(0, -1), "format"],
    [
      "an export with rows swapped",
      exported.replace('{"seq":2', '{"seq":9').replace('{"seq":4', '{"seq":2').replace('{"seq":9', '{"seq":4'),
      "format",
    ],
    ["an export with two bad rows", exported.replaceAll("stripe.refund", "stripe.charge"), "row"],
  ];

  test("agrees with ours on files that were spoilt on purpose", () => {
    const outcomes = compare(spoilt.map(([, text]) => text));
    expect(outcomes.map(({ first }, index) => [spoilt[index]?.[0], first?.[1]])).toEqual(
      spoilt.map(([name, , at]) => [name, at]),
    );
  });

  const run = (file: string, ...more: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(python, [VERIFIER, file, ...more], { encoding: "utf8" });

  test("as an auditor runs it: with a file of keys, on a compressed export too", () => {
    const keys = join(dir, "keys");
    writeFileSync(keys, `# of the log\n\n${formatVkey(other.key)}\n${vkey}\n`);
    const files: readonly [string, string | Buffer][] = [
      ["proof.json", proof],
      ["consistency.json", consistency],
      ["export.jsonl", exported],
      ["export.jsonl.gz", gzipSync(exported)],
    ];
    for (const [name, content] of files) {
      writeFileSync(join(dir, name), content);
      const { status, stdout, stderr } = run(join(dir, name), "--key", keys);
      expect(`${status} ${stderr}`).toBe("0 ");
      expect(stdout).toContain("Proven:");
    }
    const zstd = join(dir, "export.jsonl.zst");
    const spoilt = Buffer.concat([zstdCompressSync(exported), Buffer.from("xx")]);
    writeFileSync(zstd, zstdCompressSync(exported));
    const { status, stdout, stderr } = run(zstd, "--key", keys);
    // An older Python without the zstd command says what to do.
    if (status === 0) {
      expect(stdout).toContain("Proven:");
      writeFileSync(zstd, spoilt);
      expect(run(zstd, "--key", keys)).toMatchObject({
        status: 1,
        stdout: expect.stringContaining("FAILED at format"),
      });
    } else expect(stderr).toContain("cannot read zstd");
  });

  test("names the row that a byte was changed in, and exits with 1", () => {
    const file = join(dir, "changed.jsonl");
    writeFileSync(file, exported.replace("refund-4", "refund-5"));
    const { status, stdout } = run(file, "--key", vkey, "--json");
    expect(status).toBe(1);
    const { ok, problems } = JSON.parse(stdout) as { ok: boolean; problems: { line: number; message: string }[] };
    expect(ok).toBe(false);
    expect(problems[0]).toMatchObject({ line: 6, step: "row" });
    expect(problems[0]?.message).toContain("0193a1b2-c3d4-7e5f-8a9b-100000000004");
  });

  test("a bit of a compressed file is changed: it says what fails", () => {
    const file = join(dir, "changed.jsonl.gz");
    const packed = gzipSync(exported);
    // The kind of the first block, data, and the checksum.
    for (const at of [10, packed.length >> 1, packed.length - 8]) {
      writeFileSync(file, packed.with(at, (packed[at] as number) ^ 4));
      const { status, stdout, stderr } = run(file, "--key", vkey);
      expect(stderr, `byte ${at}`).toBe("");
      expect(stdout, `byte ${at}`).toMatch(/^FAILED at /);
      expect(status).toBe(1);
    }
  });

  test("exits with 1 for a compressed file that was cut off, and with 2 without a key", () => {
    const file = join(dir, "cut.jsonl.gz");
    writeFileSync(file, gzipSync(exported).subarray(0, -9));
    expect(run(file, "--key", vkey)).toMatchObject({
      status: 1,
      stdout: expect.stringContaining("FAILED at format") as string,
    });
    expect(run(file).status).toBe(2);
    expect(run(file, "--key", "sesame").status).toBe(2);
  });
});
