import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { deriveDigestKeys } from "../../src/idempotency/key.ts";
import { openClaim, sealClaim } from "../../src/idempotency/sealed-claim.ts";
import { claimOf } from "./claims.ts";

const keys = deriveDigestKeys(randomBytes(32));
const claim = claimOf();
const sealed = sealClaim(keys, "demo", "key", claim);
const before = claim.expiresAt - 1;

describe("a sealed claim", () => {
  test("opens as what was sealed, whatever its texts", () => {
    const text = fc.string({ unit: "grapheme" });
    fc.assert(
      fc.property(text, text, text, fc.option(text), (agent, key, message, ruleId) => {
        const one = claimOf({ message, ruleId });
        const value = sealClaim(keys, agent, key, one);
        expect(openClaim(keys, agent, key, value, one.expiresAt - 1)).toEqual(one);
      }),
    );
  });

  test("is not one with any byte altered", () => {
    for (let at = 0; at < sealed.length; at++) {
      for (const bit of [0x01, 0x80]) {
        const altered = Buffer.from(sealed);
        altered[at] = (altered[at] as number) ^ bit;
        expect(openClaim(keys, "demo", "key", altered, before), `byte ${at}`).toBeNull();
      }
    }
  });

  test("is not one when cut short or longer", () => {
    for (let length = 0; length < sealed.length; length++) {
      expect(openClaim(keys, "demo", "key", sealed.subarray(0, length), before), `${length} bytes`).toBeNull();
    }
    expect(openClaim(keys, "demo", "key", Buffer.concat([sealed, Buffer.from(" ")]), before)).toBeNull();
  });

  test("is not another agent's or key's, also where the two run together the same", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", ":", "\0"), maxLength: 5 });
    fc.assert(
      fc.property(fc.tuple(text, text), fc.tuple(text, text), ([agent, key], [otherAgent, otherKey]) => {
        fc.pre(agent !== otherAgent || key !== otherKey);
        const value = sealClaim(keys, agent, key, claim);
        expect(openClaim(keys, otherAgent, otherKey, value, before)).toBeNull();
      }),
      {
        // By chance alone two agents or two keys are seldom the same.
        examples: [
          [
            ["a", "b"],
            ["a", "c"],
          ],
          [
            ["a", "b"],
            ["c", "b"],
          ],
          [
            ["a", "bc"],
            ["ab", "c"],
          ],
        ],
      },
    );
  });

  test("is not one of another deployment's keys", () => {
    expect(openClaim(deriveDigestKeys(randomBytes(32)), "demo", "key", sealed, before)).toBeNull();
  });

  test("expires", () => {
    expect(openClaim(keys, "demo", "key", sealed, before)).toEqual(claim);
    expect(openClaim(keys, "demo", "key", sealed, claim.expiresAt)).toBeNull();
  });

  test("is not one whose reason this version does not know", () => {
    const foreign = sealClaim(keys, "demo", "key", { ...claim, reason: "RULE_OF_TOMORROW" as typeof claim.reason });
    expect(openClaim(keys, "demo", "key", foreign, before)).toBeNull();
  });
});
