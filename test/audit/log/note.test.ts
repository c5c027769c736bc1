import { createPublicKey, generateKeyPairSync } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  formatVkey,
  NoteError,
  noteKey,
  type NoteSigner,
  parseNote,
  parseVkey,
  signNote,
  verifyNote,
} from "../../../src/audit/log/note.ts";

function signer(name: string): NoteSigner {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { x } = createPublicKey(privateKey).export({ format: "jwk" });
  return { key: noteKey(name, Buffer.from(x as string, "base64url")), privateKey };
}

function problemOf(run: () => unknown): string | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof NoteError) return error.problem;
    throw error;
  }
}

// Of golang.org/x/mod/sumdb/note, where the format comes from.
const GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_NOTE =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n" +
  "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const OTHER_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const OTHER_NOTE =
  "This is an example message.\n\n" +
  "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

describe("notes of others", () => {
  test.each([
    [GO_KEY, GO_NOTE, "If you think"],
    [OTHER_KEY, OTHER_NOTE, "This is"],
  ])("%s", (vkey, note, text) => {
    const key = parseVkey(vkey);
    expect(formatVkey(key)).toBe(vkey);
    const verified = verifyNote(note, [key]);
    expect(verified.text.startsWith(text)).toBe(true);
    expect(verified.signedBy).toEqual([key]);
  });

  test("are not verified by a key that did not sign them", () => {
    expect(problemOf(() => verifyNote(GO_NOTE, [parseVkey(OTHER_KEY)]))).toBe("untrusted");
  });
});

describe("a note", () => {
  const alice = signer("example.com/alice");
  const bob = signer("bob");
  const note = signNote("one\n\ntwo\n", [alice, bob]);

  test("carries its text and who of the trusted signed it", () => {
    expect(verifyNote(note, [alice.key])).toEqual({ text: "one\n\ntwo\n", signedBy: [alice.key] });
    expect(verifyNote(note, [bob.key, alice.key]).signedBy).toEqual([alice.key, bob.key]);
  });

  test("is refused if no trusted key signed it, even one of the same name", () => {
    expect(problemOf(() => verifyNote(note, []))).toBe("untrusted");
    expect(problemOf(() => verifyNote(note, [signer("bob").key]))).toBe("untrusted");
  });

  test("is refused if one trusted key's signature is wrong, even if another's is right", () => {
    const wrong = signNote("one\n\ntwo!\n", [bob]).split("\n").at(-2) as string;
    const mixed = `${signNote("one\n\ntwo\n", [alice])}${wrong}\n`;
    expect(problemOf(() => verifyNote(mixed, [alice.key]))).toBeNull();
    expect(problemOf(() => verifyNote(mixed, [alice.key, bob.key]))).toBe("bad_signature");
  });

  test("with any one byte changed or cut off is refused", () => {
    const whole = Buffer.from(signNote("datacrawl/x\n3\nroot\n", [alice]));
    const refused = (bytes: Buffer): boolean =>
      problemOf(() => verifyNote(new TextDecoder("utf-8").decode(bytes), [alice.key])) !== null;
    for (let at = 0; at < whole.length; at++) {
      for (const bit of [1, 4, 64, 128]) {
        const changed = Buffer.from(whole);
        changed[at] = (changed[at] as number) ^ bit;
        expect(refused(changed), `byte ${at}, bit ${bit}`).toBe(true);
      }
      expect(refused(whole.subarray(0, at)), `cut at ${at}`).toBe(true);
    }
    expect(refused(whole)).toBe(false);
  });

  test("of any text and name that may be signed comes back as it was", () => {
    const texts = fc
      .string({ unit: "grapheme", minLength: 0 })
      .filter((text) => !/[\u0000-\u0009\u000b-\u001f]/.test(text));
    fc.assert(
      fc.property(texts, (text) => {
        const signed = signNote(`${text}\n`, [bob]);
        expect(verifyNote(signed, [bob.key]).text).toBe(`${text}\n`);
      }),
    );
  });

  test("parses or is refused as malformed, whatever it is", () => {
    const pieces = fc.constantFrom("\n", "\n\n", "\u2014 ", "a", " ", "+", "AAAAAAA=", "AAAAAAAA", "\t", "\ud800", "=");
    fc.assert(
      fc.property(fc.array(pieces), (parts) => {
        const problem = problemOf(() => parseNote(parts.join("")));
        expect([null, "malformed"]).toContain(problem);
      }),
      { numRuns: 1000 },
    );
  });

  const line = "\u2014 bob AAAAAAAA\n";
  test.each([
    ["nothing", ""],
    ["no empty line", `text\n${line}`],
    ["no signature", "text\n\n"],
    ["an unfinished last line", `text\n\n${line.trimEnd()}`],
    ["a hyphen for the dash", "text\n\n- bob AAAAAAAA\n"],
    ["two spaces", "text\n\n\u2014 bob  AAAAAAAA\n"],
    ["a name with plus", "text\n\n\u2014 b+b AAAAAAAA\n"],
    ["a name with a next-line character", "text\n\n\u2014 b\u0085b AAAAAAAA\n"],
    ["base64 that has another spelling", "text\n\n\u2014 bob AAAAAAB=\n"],
    ["base64 for URLs", "text\n\n\u2014 bob AAAA_AAA\n"],
    ["a signature without bytes", "text\n\n\u2014 bob AAAAAA==\n"],
    ["a carriage return", `text\r\n\n${line}`],
    ["a lone surrogate", `te\ud800xt\n\n${line}`],
    ["too many signatures", `text\n\n${line.repeat(101)}`],
    ["more than a megabyte", `${"x".repeat(1 << 20)}\n\n${line}`],
  ])("with %s is malformed", (_, text) => {
    expect(problemOf(() => parseNote(text))).toBe("malformed");
  });

  test("is not made of a text that it could not carry", () => {
    for (const text of ["", "no newline", "tab\t\n", "\ud800\n"])
      expect(problemOf(() => signNote(text, [bob]))).toBe("malformed");
  });
});

describe("a verifier key", () => {
  test.each([
    ["nothing", ""],
    ["no parts", "name"],
    ["another id", GO_KEY.replace("c74f20a3", "c74f20a4")],
    ["an id in capitals", GO_KEY.replace("c74f20a3", "C74F20A3")],
    ["another name", GO_KEY.replace("Peter", "peter")],
    ["another algorithm", GO_KEY.replace("+AR", "+BR")],
    ["a byte too few", "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10Q="],
    ["a space", `${GO_KEY} `],
  ])("with %s is refused", (_, vkey) => {
    expect(problemOf(() => parseVkey(vkey))).toBe("malformed");
  });

  test("is refused a name with spaces, and a key of another length", () => {
    expect(problemOf(() => noteKey("a b", Buffer.alloc(32)))).toBe("malformed");
    expect(problemOf(() => noteKey("", Buffer.alloc(32)))).toBe("malformed");
    expect(problemOf(() => noteKey("a", Buffer.alloc(31)))).toBe("malformed");
  });
});
