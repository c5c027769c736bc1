import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { certificate } from "../../conformance/src/certificates.ts";
import { UsageError } from "../../src/core/fault.ts";
import { belongTogether, certificatesProblem, privateKeyProblem, readAuthorities } from "../../src/core/pem.ts";

const options = { name: "localhost", hosts: ["localhost"], usage: "server" } as const;
const [one, other] = [certificate(Date.now(), options), certificate(Date.now(), options)];

describe("certificates in PEM", () => {
  test.each([
    ["one", one.certPem],
    ["several, with text between them", `first\n${one.certPem}\n# second\n${other.certPem}`],
    ["one with the line ends of Windows", one.certPem.replaceAll("\n", "\r\n")],
  ])("are read: %s", (_what, pem) => {
    expect(certificatesProblem(pem)).toBe(null);
  });

  test.each([
    ["nothing", "", "holds no certificate in PEM"],
    ["words", "garbage", "holds no certificate in PEM"],
    ["a key", one.keyPem, "holds no certificate in PEM"],
    ["one that is cut off", one.certPem.slice(0, -40), "holds no certificate in PEM"],
    ["a second one that is cut off", one.certPem + other.certPem.slice(0, -40), "truncated"],
    [
      "a second one that is none",
      `${one.certPem}\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
      "cannot be read, the 2. of 2",
    ],
  ])("are refused: %s", (_what, pem, problem) => {
    expect(certificatesProblem(pem)).toContain(problem);
  });

  test("with any one character changed are read or refused, and never throw", () => {
    const text = one.certPem;
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, character) => {
        const changed = text.slice(0, at) + character + text.slice(at + 1);
        expect([null, expect.any(String)]).toContainEqual(certificatesProblem(changed));
      }),
    );
  });
});

test("a private key is read, and refused without repeating it", () => {
  expect(privateKeyProblem(one.keyPem)).toBe(null);
  for (const text of ["", "s3cret", one.certPem, one.keyPem.slice(0, -40)]) {
    expect(privateKeyProblem(text)).toBe("holds no private key in PEM, without a password");
  }
});

test("a certificate and a key belong together, or do not", () => {
  expect(belongTogether(one.certPem, one.keyPem)).toBe(true);
  expect(belongTogether(one.certPem, other.keyPem)).toBe(false);
  // The first is the listener's; those behind it are its chain.
  expect(belongTogether(one.certPem + other.certPem, other.keyPem)).toBe(false);
});

test("a file of authorities that cannot be used is named with its variable", () => {
  const dir = mkdtempSync(join(tmpdir(), "datacrawl-pem-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const path = join(dir, "ca.pem");
  expect(() => readAuthorities("VARIABLE", path)).toThrow(`VARIABLE is ${path}, which cannot be read: ENOENT`);
  writeFileSync(path, "garbage");
  expect(() => readAuthorities("VARIABLE", path)).toThrow(UsageError);
  expect(() => readAuthorities("VARIABLE", path)).toThrow(`VARIABLE is ${path}, which holds no certificate in PEM`);
  writeFileSync(path, one.certPem);
  expect(readAuthorities("VARIABLE", path)).toBe(one.certPem);
});
