import { isUtf8 } from "node:buffer";
import { spawnSync } from "node:child_process";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ExportCheck, type ExportSummary } from "../../../src/audit/proof/export-check.ts";
import { formatVkey } from "../../../src/audit/log/note.ts";
import { checkProof, ProofError, type Proven } from "../../../src/audit/proof/proof.ts";
import { findPython } from "../../support/python.ts";
import { sampleConsistency, sampleExport, sampleProof, sampleSigner, sampleTrail } from "./proof-samples.ts";
import { amount } from "../../support/amount.ts";

const signer = sampleSigner("the log's key");
const trail = sampleTrail(9);
const proof = Buffer.from(await sampleProof(trail, signer, 4));
const consistency = Buffer.from(await sampleConsistency(trail, signer, 6));
const exported = Buffer.from(await sampleExport(trail, signer, (seq) => seq >= 2 && seq < 6, [5]));

/** Pieces that a reader of JSON, hex or notes may stumble over. */
const PIECES = [
  "",
  "0",
  "-1",
  "1e999",
  "null",
  "{}",
  "[]",
  '"',
  "\\",
  ",",
  "\n",
  "\r",
  "\u2014 ",
  "\ufeff",
  "\0",
  "__proto__",
];
const piece = fc.oneof(
  fc.constantFrom(...PIECES).map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
);

/** A valid file of which some parts are cut out, written over, repeated or moved. */
function mutated(file: Buffer): fc.Arbitrary<Buffer> {
  const place = fc.nat(file.length);
  const length = fc.oneof(fc.nat(3), fc.nat(80), fc.nat(file.length));
  const edit = fc.oneof(
    fc.tuple(place, length, piece).map(
      ([at, cut, put]) =>
        (of: Buffer) =>
          splice(of, at, cut, put),
    ),
    fc.tuple(place, length, place).map(
      ([from, taken, to]) =>
        (of: Buffer) =>
          splice(of, to, 0, of.subarray(from, from + taken)),
    ),
    fc.tuple(place, fc.nat(7)).map(
      ([at, bit]) =>
        (of: Buffer) =>
          of.length === 0 ? of : Buffer.from(of.with(at % of.length, (of[at % of.length] as number) ^ (1 << bit))),
    ),
  );
  return fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) => edits.reduce((of, apply) => apply(of), file));
}

function splice(of: Buffer, at: number, cut: number, put: Uint8Array): Buffer {
  return Buffer.concat([of.subarray(0, at), put, of.subarray(at + cut)]);
}

function readProof(bytes: Buffer): Proven | null {
  if (!isUtf8(bytes)) return null;
  try {
    return checkProof(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes), [signer.key]);
  } catch (error) {
    // Anything else would be a stack trace.
    if (!(error instanceof ProofError)) throw error;
    return null;
  }
}

/** What a reader is told. The keys that a file names are no part of it, and a payload may be left out. */
function shown(proven: Proven): unknown {
  if (proven.kind === "consistency") return proven;
  const { row, hash, epoch, leafIndex, inclusionPath } = proven.proof;
  return { row, hash, epoch, leafIndex, inclusionPath, checkpoint: proven.checkpoint };
}

function readExport(bytes: Buffer): ExportSummary | null {
  const check = new ExportCheck([signer.key]);
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at) + 1 || bytes.length;
    check.line(bytes.subarray(at, end));
    at = end;
  }
  const summary = check.end();
  return check.problems.length === 0 ? summary : null;
}

describe("a file that was tampered with at random", () => {
  const runs = { numRuns: amount(800, 100_000) };

  test.each([
    ["a proof", proof],
    ["a proof of consistency", consistency],
  ])("%s: is refused in a sentence, or shows what it showed before", (_, file) => {
    const valid = readProof(file);
    expect(valid).not.toBeNull();
    fc.assert(
      fc.property(mutated(file), (bytes) => {
        const read = readProof(bytes);
        if (read !== null) expect(shown(read)).toEqual(shown(valid as Proven));
      }),
      runs,
    );
  });

  test("an export: is refused in a sentence, or shows what it showed before", () => {
    const valid = readExport(exported);
    expect(valid).not.toBeNull();
    fc.assert(
      fc.property(mutated(exported), (bytes) => {
        const read = readExport(bytes);
        if (read !== null) expect(read).toEqual(valid);
      }),
      runs,
    );
  });

  const python = findPython("cryptography.hazmat.primitives.asymmetric.ed25519", "cryptography");
  test.skipIf(python === null)("the verifier in Python says of each what ours says", () => {
    for (const file of [proof, consistency, exported]) {
      const files = fc.sample(mutated(file), amount(250, 20_000));
      const input = files.map((bytes) => JSON.stringify({ file: bytes.toString("base64"), changes: [] })).join("\n");
      const ran = spawnSync(python as string, ["test/audit/proof/python-verify.py", formatVkey(signer.key)], {
        input,
        encoding: "utf8",
        maxBuffer: 1 << 28,
      });
      expect(ran.status, ran.stderr).toBe(0);
      const theirs = ran.stdout.trimEnd().split("\n");
      for (const [index, bytes] of files.entries()) {
        const mine = file === exported ? readExport(bytes) : readProof(bytes);
        const isValid = (JSON.parse(theirs[index] as string) as unknown[])[0] === null;
        expect(isValid, bytes.toString("base64")).toBe(mine !== null);
      }
    }
  });
});
