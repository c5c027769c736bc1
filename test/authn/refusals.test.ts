import fc from "fast-check";
import { expect, test } from "vitest";
import { Refusals, type Refused } from "../../src/authn/refusals.ts";
import type { FaultCode } from "../../src/core/fault.ts";

const claiming = (agentId: string): string => `Bearer dc_agent_${agentId}_${"0".repeat(12)}_${"f".repeat(64)}`;

const take = (refusals: Refusals): readonly Refused[] | null => refusals.take()?.refused ?? null;

test("refusals are told apart by code and claimed agent, once each", () => {
  const refusals = new Refusals();
  refusals.note("CREDENTIAL_MISSING", undefined);
  refusals.note("CREDENTIAL_UNKNOWN", claiming("demo"));
  refusals.note("CREDENTIAL_UNKNOWN", claiming("demo"));
  refusals.note("CREDENTIAL_UNKNOWN", "Basic c2VjcmV0");
  expect(take(refusals)).toEqual([
    { code: "CREDENTIAL_MISSING", claimedAgentId: "-", count: 1 },
    { code: "CREDENTIAL_UNKNOWN", claimedAgentId: "demo", count: 2 },
    { code: "CREDENTIAL_UNKNOWN", claimedAgentId: "-", count: 1 },
  ]);
  expect(take(refusals)).toBeNull();
});

test("whatever is claimed, the report is bounded, counts each refusal and repeats no secret", () => {
  const codes = fc.constantFrom<FaultCode>("CREDENTIAL_MISSING", "CREDENTIAL_UNKNOWN");
  fc.assert(
    fc.property(fc.array(fc.tuple(codes, fc.nat(200)), { minLength: 1, maxLength: 500 }), (refused) => {
      const refusals = new Refusals();
      for (const [code, agent] of refused) refusals.note(code, claiming(`agent-${agent}`));
      const report = take(refusals) ?? [];
      expect(report.length).toBeLessThanOrEqual(52);
      expect(report.reduce((sum, { count }) => sum + count, 0)).toBe(refused.length);
      expect(JSON.stringify(report)).not.toContain("ffff");
    }),
    {
      numRuns: 50,
      examples: [[Array.from({ length: 500 }, (_, agent) => ["CREDENTIAL_UNKNOWN", agent])]],
    },
  );
});

test("refusals that could not be written down are in the next report", () => {
  const refusals = new Refusals();
  refusals.note("CREDENTIAL_UNKNOWN", claiming("demo"));
  refusals.note("CREDENTIAL_MISSING", undefined);
  const report = refusals.take();
  refusals.note("CREDENTIAL_UNKNOWN", claiming("demo"));
  refusals.putBack(report as NonNullable<typeof report>);
  expect(take(refusals)).toEqual([
    { code: "CREDENTIAL_UNKNOWN", claimedAgentId: "demo", count: 2 },
    { code: "CREDENTIAL_MISSING", claimedAgentId: "-", count: 1 },
  ]);
});
