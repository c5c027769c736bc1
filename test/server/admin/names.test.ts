import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UnfitNames } from "../../../src/server/lifecycle/unfit-names.ts";
import { type Issuer, startIssuer } from "../../support/issuer.ts";
import { addOperator, call, cookieOf, type AdminFixture, openAdminFixture, reasonOf, signIn } from "./admin-fixture.ts";
import { query } from "../../support/sql.ts";

describe("names that could be taken for another's", () => {
  let issuer: Issuer;
  let fixture: AdminFixture;
  beforeAll(async () => {
    issuer = await startIssuer();
    fixture = await openAdminFixture({ issuer });
    await addOperator(fixture, "ann", "operator");
    await fixture.admin.operations.createAgent("ag1", "test");
    await addOperator(fixture, "legacy", "operator");
    // As an older version let it be called.
    await query(fixture.store.database, "UPDATE operators SET name = 'ag1.' WHERE name = 'legacy'", []);
  });
  afterAll(async () => {
    await fixture.close();
    await issuer.close();
  });

  const as = async (name: string): Promise<Record<string, string>> => ({
    cookie: cookieOf(await signIn(fixture.url, name)),
  });
  const byToken = async (sub: string): Promise<Record<string, string>> => {
    const exp = Math.floor(Date.now() / 1000) + 600;
    const signIn = { auth_time: exp - 600, amr: ["pwd"] };
    const claims = { iss: issuer.url, aud: "datacrawl", sub, exp, datacrawl_role: "operator", ...signIn };
    return { authorization: `Bearer ${await issuer.sign(claims)}` };
  };
  const outcome = async (method: string, request: object, headers: Record<string, string>): Promise<unknown[]> => {
    const reply = await call(fixture.url, `AdminService/${method}`, request, headers);
    return [reply.status, reasonOf(reply)];
  };
  const REFUSED = [403, "NOT_PERMITTED"];

  test.each(["ag1.", "ag..1", "Ag1", "ag1 ", "\u0430g1", "ag1-"])(
    "are given to no agent and no operator: %j",
    async (name) => {
      expect(await outcome("CreateAgent", { agentId: name }, await as("ann"))).toEqual([400, "FIELD_INVALID"]);
      await expect(
        fixture.admin.accounts.create(name, "operator", "correct horse battery", "test"),
      ).rejects.toMatchObject({
        code: "FIELD_INVALID",
        field: "name",
      });
    },
  );

  test("that older versions gave to accounts may look, and change nothing", async () => {
    const legacy = await as("ag1.");
    expect(await outcome("ListAgents", {}, legacy)).toEqual([200, undefined]);
    expect(await outcome("CreateAgent", { agentId: "ag2" }, legacy)).toEqual(REFUSED);
    expect(await outcome("FreezeAgent", { agentId: "ag1", reason: "r" }, legacy)).toEqual(REFUSED);
  });

  test("of an issuer may look, and change nothing", async () => {
    for (const subject of ["ann ", "an\u200bn", "\u0430nn", "ann\u00a0b"]) {
      const token = await byToken(subject);
      expect(await outcome("ListAgents", {}, token), subject).toEqual([200, undefined]);
      expect(await outcome("CreateAgent", { agentId: "ag3" }, token), subject).toEqual(REFUSED);
    }
  });

  test("keep whoever has an agent's from changing that agent, and no other", async () => {
    await fixture.admin.operations.createAgent("other", "test");
    const itself = await byToken("AG1");
    const reason = "r";
    for (const method of ["FreezeAgent", "UnfreezeAgent", "ForceOpenCircuit", "ResetCircuit", "SetCircuitBypass"])
      expect(await outcome(method, { agentId: "ag1", reason }, itself), method).toEqual(REFUSED);
    expect(await outcome("RevokeAgent", { agentId: "ag1" }, itself)).toEqual(REFUSED);
    expect(await outcome("CreateAgentKey", { agentId: "ag1" }, itself)).toEqual(REFUSED);
    expect(await outcome("FreezeAgent", { agentId: "other", reason: "r" }, itself)).toEqual([200, undefined]);
    expect(await outcome("FreezeAgent", { agentId: "ag1", reason: "r" }, await as("ann"))).toEqual([200, undefined]);
  });

  test("are told to operators where older versions gave them", async () => {
    const agents = { agentIds: () => ["a.b", "ag1.", ...Array.from({ length: 30 }, (_, n) => `x${n}.`)] };
    const names = new UnfitNames(agents, fixture.admin.accounts);
    expect(names.warnings).toEqual([]);
    await names.look();
    expect(names.warnings[0]).toContain("agent ag1. could be mistaken");
    expect(names.warnings.at(-1)).toBe("12 more names could be mistaken for others");
    const few = new UnfitNames({ agentIds: () => [] }, fixture.admin.accounts);
    expect(await few.look()).toEqual([expect.stringContaining("operator ag1. could be mistaken")]);
  });
});
