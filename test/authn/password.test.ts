import { describe, expect, test } from "vitest";
import { passwordProblem, Passwords } from "../../src/authn/password.ts";

const passwords = new Passwords();

describe("a password", () => {
  test("is stored with its cost and a salt of its own, and is found again", async () => {
    const [one, other] = await Promise.all([passwords.hash("correct horse"), passwords.hash("correct horse")]);
    expect(one).toMatch(/^scrypt\$32768\$8\$3\$[\w-]{22}\$[\w-]{43}$/);
    expect(other).not.toBe(one);
    expect(await passwords.matches("correct horse", one)).toBe(true);
    expect(await passwords.matches("correct hors", one)).toBe(false);
    expect(await passwords.matches("", one)).toBe(false);
  });

  test("is one whichever way its accents are typed", async () => {
    const stored = await passwords.hash("caf\u00e9 caf\u00e9 cafe");
    expect(await passwords.matches("cafe\u0301 cafe\u0301 cafe", stored)).toBe(true);
  });

  test("of an older, cheaper cost is still found", async () => {
    // scrypt("password", "NaCl", N=1024, r=8, p=16), RFC 7914's second vector.
    const hash = Buffer.from(
      "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640",
      "hex",
    );
    const stored = `scrypt$1024$8$16$${Buffer.from("NaCl").toString("base64url")}$${hash.toString("base64url")}`;
    expect(await passwords.matches("password", stored)).toBe(true);
    expect(await passwords.matches("Password", stored)).toBe(false);
  });

  test("is not found where there is none, whatever it is", async () => {
    expect(await passwords.matches("", null)).toBe(false);
    expect(await passwords.matches("correct horse", null)).toBe(false);
  });

  test("that is longer than any can be is not taken for its beginning", async () => {
    const stored = await passwords.hash("x".repeat(512));
    expect(await passwords.matches("x".repeat(513), stored)).toBe(false);
  });

  test("is checked by few at a time: a flood is refused, and those before it are answered", async () => {
    const stored = await passwords.hash("correct horse");
    const flood = await Promise.allSettled(
      Array.from({ length: 40 }, () => passwords.matches("correct horse", stored)),
    );
    const refused = flood.filter((result) => result.status === "rejected").map(({ reason }) => reason as unknown);
    expect(refused).toHaveLength(6);
    expect(refused[0]).toMatchObject({ code: "QUEUE_FULL" });
    expect(flood.filter((result) => result.status === "fulfilled" && result.value)).toHaveLength(34);
    expect(await passwords.matches("correct horse", stored)).toBe(true);
  });
});

test.each<[string, string | null]>([
  ["twelve chars", null],
  ["eleven chrs", "must have at least 12 characters"],
  ["🐎".repeat(12), null],
  ["🐎".repeat(11), "must have at least 12 characters"],
  ["x".repeat(257), "must have at most 256 characters"],
  ["twelve\u0000chars.", "must be text without control characters"],
  ["twelve\ud800chars.", "must be text without control characters"],
])("a new password may be %j: %s", (password, problem) => {
  expect(passwordProblem(password)).toBe(problem);
});
