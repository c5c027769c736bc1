import { describe, expect, test } from "vitest";
import { passwordProblem, Passwords } from "../../src/authn/password.ts";

const passwords = new Passwords();
/** Of a cost that takes much longer than {@link CHEAP}, so that of two at once the cheap one ends first. */
const DEAR = `scrypt$16384$8$1$${"A".repeat(22)}$${"A".repeat(43)}`;
/** Of a cost that takes no time. */
const CHEAP = `scrypt$16$1$1$${"A".repeat(22)}$${"A".repeat(43)}`;

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

  test("is checked by few at a time: a flood of strangers is refused, and those before it are answered", async () => {
    const flood = await Promise.allSettled(Array.from({ length: 60 }, () => passwords.matches("x", CHEAP)));
    const refused = flood.filter((result) => result.status === "rejected").map(({ reason }) => reason as unknown);
    expect(refused).toHaveLength(50);
    expect(refused[0]).toMatchObject({ code: "QUEUE_FULL", retryAfterMs: 2000 });
    await expect(passwords.matches("x", CHEAP)).resolves.toBe(false);
  });

  test("of a stranger is refused when it would have to wait too long, and not of somebody familiar", async () => {
    const impatient = new Passwords(0);
    const stored = await impatient.hash("correct horse");
    const running = [impatient.matches("correct horse", stored), impatient.matches("correct horse", stored)];
    const stranger = impatient.matches("correct horse", stored);
    const familiar = impatient.matches("correct horse", stored, { who: "familiar" });
    await expect(stranger).rejects.toMatchObject({ code: "QUEUE_FULL" });
    await expect(Promise.all([...running, familiar])).resolves.toEqual([true, true, true]);
  });

  test("of somebody familiar is checked before those of strangers that wait, also when these fill their queue", async () => {
    const order: string[] = [];
    const check = async (name: string, who: "familiar" | "stranger", stored: string): Promise<void> => {
      await passwords.matches("a guess", stored, { who });
      order.push(name);
    };
    const strangers = Array.from({ length: 10 }, (_, n) => check(`stranger ${n}`, "stranger", DEAR));
    await expect(check("one too many", "stranger", DEAR)).rejects.toMatchObject({ code: "QUEUE_FULL" });
    await Promise.allSettled([...strangers, check("ann", "familiar", CHEAP), check("bob", "familiar", CHEAP)]);
    // Two are being checked when the familiar come; nobody else is before them.
    for (const name of ["ann", "bob"])
      expect(order.slice(0, order.indexOf(name))).not.toContainEqual(expect.stringMatching(/^stranger [2-9]/));
    expect(order).toContain("ann");
    expect(order).toContain("bob");
  });

  test("is not checked for a caller who has gone, whose place in the queue is another's", async () => {
    const gone = new AbortController();
    const turn = { who: "stranger", signal: gone.signal } as const;
    const running = [passwords.matches("x", CHEAP), passwords.matches("x", CHEAP)];
    const waiting = Array.from({ length: 8 }, () => passwords.matches("x", CHEAP, turn));
    await expect(passwords.matches("x", CHEAP)).rejects.toMatchObject({ code: "QUEUE_FULL" });
    gone.abort();
    const later = Array.from({ length: 8 }, () => passwords.matches("x", CHEAP));
    for (const one of waiting) await expect(one).rejects.toMatchObject({ code: "CANCELED" });
    await expect(Promise.all([...running, ...later])).resolves.toEqual(Array.from({ length: 10 }, () => false));
    await expect(passwords.matches("x", CHEAP, turn)).rejects.toMatchObject({ code: "CANCELED" });
  });

  test("whose caller goes when its turn has come takes nobody's place", async () => {
    const gone = new AbortController();
    const first = passwords.matches("x", CHEAP);
    const second = passwords.matches("x", CHEAP);
    const third = passwords.matches("x", CHEAP, { who: "stranger", signal: gone.signal });
    const fourth = passwords.matches("x", CHEAP);
    void first.then(() => gone.abort());
    await expect(Promise.all([first, second, fourth])).resolves.toEqual([false, false, false]);
    await Promise.allSettled([third]);
    await expect(passwords.matches("x", CHEAP)).resolves.toBe(false);
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
