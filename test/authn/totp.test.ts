import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { matchTotp, newTotpSecret, TotpSeal, totpCode, totpUri } from "../../src/authn/totp.ts";

const SECRET = Buffer.from("12345678901234567890");
const STEP = 30_000_000;

describe("one-time codes", () => {
  // RFC 6238, appendix B, SHA-1; its codes have eight digits, of which six are the last.
  test.each([
    [59, "287082"],
    [1111111109, "081804"],
    [1111111111, "050471"],
    [1234567890, "005924"],
    [2000000000, "279037"],
    [20000000000, "353130"],
  ])("are those of the RFC at %d s", (seconds, code) => {
    expect(totpCode(SECRET, Math.floor(seconds / 30))).toBe(code);
  });

  test("are taken for the step before, the present one and the next, and say which it was", () => {
    const now = 1_000_000 * STEP + 7;
    for (const step of [999_999, 1_000_000, 1_000_001])
      expect(matchTotp(SECRET, totpCode(SECRET, step), now)).toBe(step);
    for (const step of [999_998, 1_000_002]) expect(matchTotp(SECRET, totpCode(SECRET, step), now)).toBeNull();
    expect(matchTotp(SECRET, ` ${totpCode(SECRET, 1_000_000).replace(/(...)/, "$1 ")}`, now)).toBe(1_000_000);
  });

  test.each(["", "0", "00000", "0000000", "abcdef", "١٢٣٤٥٦", "\u0000".repeat(6)])("are not %j", (code) => {
    expect(matchTotp(SECRET, code, 59_000_000)).toBeNull();
  });

  test("are told to an app as a URI", () => {
    expect(totpUri("ann.b", SECRET)).toBe(
      "otpauth://totp/DataCrawl%3Aann.b?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=DataCrawl&algorithm=SHA1&digits=6&period=30",
    );
    expect(newTotpSecret()).toHaveLength(20);
  });
});

describe("a sealed secret", () => {
  const seal = new TotpSeal(Buffer.alloc(32, 1));

  test("is opened for its account under its key, and not for another's", () => {
    const sealed = seal.seal("ann", SECRET);
    expect(seal.open("ann", sealed)).toEqual(SECRET);
    expect(seal.open("eve", sealed)).toBeNull();
    expect(new TotpSeal(Buffer.alloc(32, 2)).open("ann", sealed)).toBeNull();
    expect(sealed.includes(SECRET)).toBe(false);
  });

  test("is refused with any byte changed, or cut", () => {
    const sealed = seal.seal("ann", SECRET);
    fc.assert(
      fc.property(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
        const changed = Buffer.from(sealed);
        changed[at] = (changed[at] as number) ^ by;
        expect(seal.open("ann", changed)).toBeNull();
        expect(seal.open("ann", sealed.subarray(0, at))).toBeNull();
      }),
    );
  });
});
