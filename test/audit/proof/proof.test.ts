import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatVkey, noteKey, signNote } from "../../../src/audit/log/note.ts";
import { checkProof, type Proven, ProofError } from "../../../src/audit/proof/proof.ts";
import { sampleConsistency, sampleProof, sampleSigner, sampleTrail, sampleTree } from "./proof-samples.ts";

const signer = sampleSigner("the log's key");
const trail = sampleTrail(13);
const proof = await sampleProof(trail, signer, 4);
const consistency = await sampleConsistency(trail, signer, 6);

type Json = Record<string, unknown>;

/** The step at which a proof fails; null if it holds. */
function failsAt(text: string, keys = [signer.key]): string | null {
  try {
    checkProof(text, keys);
    return null;
  } catch (error) {
    if (error instanceof ProofError) return error.step;
    throw error;
  }
}

function changed(text: string, change: (json: Json) => void): string {
  const json = JSON.parse(text) as Json;
  change(json);
  return JSON.stringify(json);
}

describe("a proof of a decision", () => {
  test("shows the row, its leaf and who signed", () => {
    const proven = checkProof(proof, [signer.key]) as Proven & { kind: "decision" };
    expect(proven.kind).toBe("decision");
    expect(proven.proof).toMatchObject({ epoch: 1, leafIndex: 4, row: { tool: "stripe.refund" } });
    expect(proven.checkpoint).toMatchObject({ size: 13, epoch: 1, origin: signer.key.name, signedBy: [signer.key] });
  });

  test("of each leaf of each tree holds", async () => {
    for (const size of [1, 2, 5, 8, 13]) {
      for (let seq = 0; seq < size; seq++) {
        if (trail[seq]?.stream !== "decisions") continue;
        expect(failsAt(await sampleProof(trail.slice(0, size), signer, seq))).toBeNull();
      }
    }
  });

  test("holds without the payload, for its digest is in the row", () => {
    expect(failsAt(changed(proof, (json) => (json["payload"] = null)))).toBeNull();
  });

  const other = sampleSigner("another key");
  const otherLog = sampleSigner("the log's key", "elsewhere");

  test.each<[string, string, string, (json: Json) => void]>([
    ["a column that was changed", "row", "decision", (json) => ((json["row"] as Json)["decision"] = "deny")],
    ["a column that became NULL", "row", "columns", (json) => ((json["row"] as Json)["tool"] = null)],
    ["a column that is missing", "format", "tool", (json) => delete (json["row"] as Json)["tool"]],
    [
      "a column too many",
      "format",
      "__proto__",
      (json) => Object.defineProperty(json["row"], "__proto__", { value: 1, enumerable: true }),
    ],
    ["a column of another kind", "format", "text", (json) => ((json["row"] as Json)["tool"] = 1)],
    ["a time that is a text", "format", "recorded_at", (json) => ((json["row"] as Json)["recorded_at"] = "2026")],
    ["another payload", "payload", "payload", (json) => ((json["payload"] as Json)["canonical"] = "{}")],
    ["another salt", "payload", "payload", (json) => ((json["payload"] as Json)["salt"] = "00")],
    ["another hash", "row", "hash", (json) => (json["hash"] = "00".repeat(32))],
    ["a hash in capitals", "format", "hash", (json) => (json["hash"] = String(json["hash"]).toUpperCase())],
    ["another leaf", "inclusion", "leaf 6", (json) => (json["leaf_index"] = 6)],
    ["a leaf past the end", "inclusion", "leaf 13", (json) => (json["leaf_index"] = 13)],
    ["a negative leaf", "format", "leaf_index", (json) => (json["leaf_index"] = -1)],
    ["another epoch", "checkpoint", "epoch", (json) => (json["epoch"] = 2)],
    ["a shorter path", "inclusion", "leaf 4", (json) => (json["inclusion_path"] as string[]).pop()],
    ["a longer path", "inclusion", "leaf 4", (json) => (json["inclusion_path"] as string[]).push("00".repeat(32))],
    ["a path that is a text", "format", "inclusion_path", (json) => (json["inclusion_path"] = "00")],
    [
      "an earlier checkpoint",
      "inclusion",
      "7 leaves",
      (json) => (json["checkpoint"] = sampleTree(trail, signer).noteAt(7)),
    ],
    [
      "a checkpoint by another key",
      "signature",
      "no trusted key",
      (json) => (json["checkpoint"] = sampleTree(trail, other).noteAt(13)),
    ],
    [
      "a checkpoint of another log",
      "signature",
      "no trusted key",
      (json) => (json["checkpoint"] = sampleTree(trail, otherLog).noteAt(13)),
    ],
    [
      "a note that is no checkpoint",
      "checkpoint",
      "three lines",
      (json) => (json["checkpoint"] = signNote("hello\n", [signer])),
    ],
    ["no note at all", "signature", "empty line", (json) => (json["checkpoint"] = "hello")],
    ["keys that are no texts", "format", "verifier_keys", (json) => (json["verifier_keys"] = [1])],
    ["a member too many", "format", "more", (json) => (json["more"] = 1)],
    ["a member too few", "format", "epoch", (json) => delete json["epoch"]],
    ["another format", "format", "neither", (json) => (json["format"] = "datacrawl.audit.proof.v2")],
  ])("with %s fails at: %s", (_, step, word, change) => {
    const text = changed(proof, change);
    expect(failsAt(text)).toBe(step);
    expect(() => checkProof(text, [signer.key])).toThrow(word);
  });

  test("signed for another log by a key that we trust under its own name is refused", () => {
    const note = sampleTree(trail, signer).noteAt(13);
    const strange = { key: noteKey("elsewhere", signer.key.publicKey), privateKey: signer.privateKey };
    const resigned = signNote(note.slice(0, note.lastIndexOf("\n\n") + 1), [strange]);
    const text = changed(proof, (json) => (json["checkpoint"] = resigned));
    expect(failsAt(text, [strange.key])).toBe("checkpoint");
  });

  test("is not proven by the keys that it brings along", () => {
    const forged = changed(proof, (json) => {
      json["checkpoint"] = sampleTree(trail, other).noteAt(13);
      json["verifier_keys"] = [formatVkey(other.key)];
    });
    expect(failsAt(forged)).toBe("signature");
    expect(failsAt(proof, [])).toBe("signature");
  });
});

describe("a proof of consistency", () => {
  test("shows both checkpoints", () => {
    expect(checkProof(consistency, [signer.key])).toMatchObject({ first: { size: 6 }, second: { size: 13 } });
  });

  const other = sampleSigner("another key");
  test.each<[string, string, (json: Json) => void]>([
    [
      "the checkpoints the wrong way round",
      "consistency",
      (json) => ([json["first"], json["second"]] = [json["second"], json["first"]]),
    ],
    ["another first", "consistency", (json) => (json["first"] = sampleTree(trail, signer).noteAt(5))],
    [
      "a first of another history",
      "consistency",
      (json) => (json["first"] = sampleTree(trail.toReversed(), signer).noteAt(6)),
    ],
    ["one by another key", "signature", (json) => (json["second"] = sampleTree(trail, other).noteAt(13))],
    ["one of another epoch", "checkpoint", (json) => (json["second"] = sampleTree(trail, signer, 2).noteAt(13))],
    ["a shorter path", "consistency", (json) => (json["consistency_path"] as string[]).pop()],
    ["no path", "format", (json) => delete json["consistency_path"]],
  ])("with %s fails at: %s", (_, step, change) => {
    expect(failsAt(changed(consistency, change))).toBe(step);
  });
});

describe("a file that is no proof", () => {
  test.each([
    ["nothing", ""],
    ["no object", "[]"],
    ["null", "null"],
    ["cut off", proof.slice(0, -20)],
    ["a member twice", proof.replace('"epoch": 1', '"epoch": 2,\n  "epoch": 1')],
    ["a member twice, once in escapes", proof.replace('"epoch": 1', '"\\u0065poch": 2,\n  "epoch": 1')],
    ["a fraction", proof.replace('"leaf_index": 4', '"leaf_index": 4.0')],
    ["an exponent", proof.replace('"leaf_index": 4', '"leaf_index": 4e0')],
    ["minus nothing", proof.replace('"leaf_index": 4', '"leaf_index": -0')],
    ["more than 53 bits", proof.replace('"leaf_index": 4', '"leaf_index": 9007199254740993')],
    ["a lone surrogate", proof.replace("refund-4", "\\ud800")],
    ["a hundred thousand brackets", "[".repeat(100_000)],
    ["as many that are closed", `${"[".repeat(100_000)}${"]".repeat(100_000)}`],
  ])("(%s) fails at: format", (_, text) => {
    expect(failsAt(text)).toBe("format");
  });

  test("never makes the check throw anything else", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(failsAt(text)).toBe("format");
      }),
    );
  });
});

test("a change of any one byte is seen, but where it changes nothing that is proven", () => {
  const harmless: number[] = [];
  const whole = Buffer.from(proof);
  const from = proof.indexOf('"verifier_keys"');
  for (let at = 0; at < whole.length; at++) {
    const spoilt = Buffer.from(whole);
    spoilt[at] = (spoilt[at] as number) ^ 1;
    if (failsAt(spoilt.toString("utf8")) === null) harmless.push(at);
  }
  // The keys that it brings along; the layout's spaces stay spaces under no change of one bit.
  expect(harmless.every((at) => Buffer.from(proof.slice(0, from)).length < at)).toBe(true);
});

test("the worked examples of the documentation are what is made, and hold", async () => {
  const vectors = JSON.parse(readFileSync("docs/proof-vectors.json", "utf8")) as {
    proof: Json;
    consistency: Json;
    key: string;
  };
  expect(vectors.key).toBe(formatVkey(signer.key));
  expect(vectors.proof).toEqual(JSON.parse(proof));
  expect(vectors.consistency).toEqual(JSON.parse(consistency));
});

test("a proof of a row with a principal or a session has those columns, and one without them has not", async () => {
  const longer = sampleTrail(24);
  for (const seq of [16, 17, 18, 19, 20, 21]) {
    const proof = await sampleProof(longer, signer, seq).catch(() => null);
    if (proof === null) continue;
    expect(failsAt(proof)).toBeNull();
    const json = JSON.parse(proof) as { row: Record<string, unknown> };
    const claims = ["principal", "session_id"].map((name) => json.row[name]);
    const isVersion2 = Object.hasOwn(json.row, "principal");
    expect(isVersion2).toBe(claims.some((claim) => typeof claim === "string"));
    for (const name of ["principal", "session_id"]) {
      const without = { ...json, row: { ...json.row, [name]: undefined } };
      if (isVersion2) expect(failsAt(JSON.stringify(without))).toBe("format");
      const changed = { ...json, row: { principal: null, session_id: null, ...json.row, [name]: "another" } };
      expect(failsAt(JSON.stringify(changed))).toBe("row");
    }
    const empty = { ...json, row: { ...json.row, principal: null, session_id: null } };
    expect(failsAt(JSON.stringify(empty))).toBe("format");
  }
});
