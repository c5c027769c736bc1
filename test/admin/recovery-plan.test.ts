import { describe, expect, test } from "vitest";
import { remedyOf, stepsFor } from "../../src/admin/recovery-plan.ts";
import { ACCESS_CHANGES } from "../../src/audit/seal/change-list.ts";
import { lost } from "./lost-changes.ts";

describe("what is done again after a rollback", () => {
  test("what took a right away, and nothing that gave one", () => {
    const changes = [
      lost("agent.revoked", "a1"),
      lost("agent.key_revoked", "a2", { keyId: "k1" }),
      lost("agent.key_revoked", "a2", { keyId: "k2" }),
      lost("agent.frozen", "a3"),
      lost("circuit.forced_open", "a4", { expiresAtUs: 500 }),
      lost("circuit.forced_open", "a5", { expiresAtUs: null }),
      lost("operator.removed", "ann"),
      lost("operator.role_set", "bob", { role: "operator" }),
      lost("operator.role_set", "bob", { role: "viewer" }),
      lost("operator.password_set", "cid"),
      lost("operator.totp_enabled", "cid"),
      lost("review.withdrawn", "r1", {}, "operator:dee"),
      lost("agent.created", "a6"),
      lost("agent.key_created", "a6"),
      lost("operator.added", "eve", { role: "operator" }),
      lost("operator.totp_disabled", "eve"),
      lost("bypass.set", "a1"),
      lost("bypass.cleared", "a1"),
      lost("something.later", "a1"),
      lost("operator.role_set", "fay", { role: "king" }),
      lost("agent.revoked", null),
    ];
    expect(stepsFor(changes)).toEqual([
      { kind: "revoke_agent", agentId: "a1" },
      { kind: "revoke_key", agentId: "a2", keyId: "k1" },
      { kind: "revoke_key", agentId: "a2", keyId: "k2" },
      { kind: "freeze_agent", agentId: "a3" },
      { kind: "force_open", agentId: "a4", expiresAt: 500 },
      { kind: "force_open", agentId: "a5", expiresAt: null },
      { kind: "remove_operator", name: "ann" },
      { kind: "lower_role", name: "bob", role: "viewer" },
      { kind: "lock_operator", name: "cid" },
      { kind: "withdraw_approval", reviewId: "r1", name: "dee" },
    ]);
  });

  test("not what was undone since, but what was done again after that", () => {
    expect(stepsFor([lost("agent.frozen", "a"), lost("agent.unfrozen", "a")])).toEqual([]);
    expect(stepsFor([lost("circuit.forced_open", "a"), lost("circuit.reset", "a")])).toEqual([]);
    expect(stepsFor([lost("agent.frozen", "a"), lost("agent.unfrozen", "b")])).toHaveLength(1);
    const again = [lost("agent.frozen", "a"), lost("agent.unfrozen", "a"), lost("agent.frozen", "a")];
    expect(stepsFor(again)).toEqual([{ kind: "freeze_agent", agentId: "a" }]);
  });

  test("whatever is published has a remedy, and what this version does not know is for a person", () => {
    for (const kind of ACCESS_CHANGES) expect(["reapplied", "locked", "voided", "lost"]).toContain(remedyOf(kind));
    for (const kind of ["something.later", "toString", "__proto__"]) expect(remedyOf(kind)).toBe("lost");
  });
});
