import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  formatCredential,
  hashSecret,
  newCredential,
  parseAuthorization,
  parseCredential,
  secretMatches,
} from "../../src/core/credential.ts";
import { RandomPool } from "../../src/core/ids.ts";

const hex = (length: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length });
const credential = fc.record({
  agentId: fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,62}$/),
  keyId: hex(12),
  secret: hex(64),
});

describe("a credential", () => {
  test("is parsed from what it was written as", () => {
    fc.assert(
      fc.property(credential, fc.constantFrom("Bearer ", "bearer ", "BEARER   "), (one, scheme) => {
        expect(parseCredential(formatCredential(one))).toEqual(one);
        expect(parseAuthorization(`${scheme}${formatCredential(one)}`)).toEqual(one);
      }),
    );
  });

  test("has one way of being written: what parses is written back as it was", () => {
    const nearly = fc.tuple(credential, fc.nat(150), fc.string({ maxLength: 2 })).map(([one, at, inserted]) => {
      const text = formatCredential(one);
      return text.slice(0, at) + inserted + text.slice(at + 1);
    });
    fc.assert(
      fc.property(nearly, (text) => {
        const parsed = parseCredential(text);
        if (parsed !== null) expect(formatCredential(parsed)).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  const secret = "a".repeat(64);
  test.each([
    ["nothing", ""],
    ["a scheme alone", "Bearer "],
    ["another scheme", `Basic dc_agent_demo_0123456789ab_${secret}`],
    ["no scheme", `dc_agent_demo_0123456789ab_${secret}`],
    ["another prefix", `Bearer dc_admin_demo_0123456789ab_${secret}`],
    ["no agent", `Bearer dc_agent__0123456789ab_${secret}`],
    ["an agent with an underscore", `Bearer dc_agent_a_b_0123456789ab_${secret}`],
    ["an agent in capitals", `Bearer dc_agent_Demo_0123456789ab_${secret}`],
    ["a short key id", `Bearer dc_agent_demo_0123456789a_${secret}`],
    ["a short secret", `Bearer dc_agent_demo_0123456789ab_${secret.slice(1)}`],
    ["a long secret", `Bearer dc_agent_demo_0123456789ab_${secret}a`],
    ["a secret in capitals", `Bearer dc_agent_demo_0123456789ab_${secret.toUpperCase()}`],
    ["a line break at the end", `Bearer dc_agent_demo_0123456789ab_${secret}\n`],
    ["two credentials", `Bearer dc_agent_demo_0123456789ab_${secret}, Bearer dc_agent_demo_0123456789ab_${secret}`],
  ])("is not one: %s", (_, header) => {
    expect(parseAuthorization(header)).toBeNull();
  });

  test("is new each time, and matches its own hash alone", () => {
    const random = new RandomPool();
    const [one, other] = [newCredential("demo", random), newCredential("demo", random)];
    expect(one.keyId).not.toBe(other.keyId);
    expect(parseCredential(formatCredential(one))).toEqual(one);
    expect(secretMatches(one.secret, hashSecret(one.secret))).toBe(true);
    expect(secretMatches(other.secret, hashSecret(one.secret))).toBe(false);
  });
});
