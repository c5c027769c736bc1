import { describe, expect, test } from "vitest";
import { Recovery } from "../../src/admin/recovery.ts";
import type { PublishedChanges } from "../../src/audit/seal/change-publisher.ts";
import type { Rollback } from "../../src/audit/seal/keeper.ts";
import { Fault, type FaultCode } from "../../src/core/fault.ts";
import { random } from "../support/entries.ts";
import { lost } from "./lost-changes.ts";

const ROLLBACK: Rollback = {
  kind: "rolled_back",
  outside: { epoch: 1, size: 9, root: Buffer.alloc(32), note: "signed" },
  inside: { epoch: 1, size: 5 },
};
const NOW = 5000;

/** Recovery over fakes that note what is done. */
function recoveryWorld(published: PublishedChanges = { changes: [], incomplete: null }) {
  const world = {
    rollback: ROLLBACK as Rollback | null,
    published,
    known: [] as { eventId: string; recordedAt: number; kind: string; subject: string | null }[],
    acknowledgedAt: 0,
    live: [] as { agentId: string; grantId: string | null }[],
    role: "operator" as const,
    done: [] as unknown[][],
    /** What the first of what is done rejects with. */
    faults: [] as Error[],
    now: NOW,
  };
  const note =
    (what: string) =>
    async (...args: readonly unknown[]): Promise<never> => {
      world.done.push([what, ...args]);
      const fault = world.faults.shift();
      if (fault !== undefined) throw fault;
      return undefined as never;
    };
  const recovery = new Recovery({
    keeper: {
      get rollback() {
        return world.rollback;
      },
      problems: ["it was rolled back"],
      lostChanges: async () => (world.rollback === null ? null : world.published),
    },
    changes: { knownSince: async (since) => world.known.filter(({ recordedAt }) => recordedAt >= since) },
    epochs: { acknowledgedAt: async () => world.acknowledgedAt },
    sessions: { endAll: async () => void world.done.push(["end sessions"]) },
    orders: { live: async () => world.live },
    agents: {
      revokeAgent: note("revoke agent"),
      revokeAgentKey: note("revoke key"),
      freezeAgent: note("freeze"),
    },
    accounts: {
      find: async (name) => ({ name, role: world.role, totp: false, createdAt: 1 }),
      remove: note("remove"),
      setRole: note("set role"),
      setPassword: note("set password"),
    },
    bypass: { clear: note("clear") },
    circuits: { forceOpen: note("force open") },
    reviews: { withdraw: note("withdraw") },
    random,
    now: () => world.now,
  });
  return { world, recovery };
}

const CHANGES = [
  lost("agent.revoked", "a1"),
  lost("agent.key_revoked", "a2", { keyId: "k1" }),
  lost("agent.frozen", "a3"),
  lost("circuit.forced_open", "a4", { expiresAtUs: NOW + 7 }),
  lost("circuit.forced_open", "a5", { expiresAtUs: NOW - 1 }),
  lost("operator.removed", "ann"),
  lost("operator.role_set", "bob", { role: "viewer" }),
  lost("operator.password_set", "cid"),
  lost("review.withdrawn", "r1", {}, "operator:dee"),
  lost("agent.created", "a6"),
];

describe("in recovery", () => {
  test("nothing is allowed, from the rollback until it is acknowledged", () => {
    const { world, recovery } = recoveryWorld();
    expect(recovery.isActive).toBe(true);
    expect(() => recovery.check()).toThrow(expect.objectContaining({ code: "IN_RECOVERY" }));
    world.rollback = null;
    expect(recovery.isActive).toBe(false);
    expect(() => recovery.check()).not.toThrow();
  });

  test("all sessions and grants end, and what took rights away is done again, once", async () => {
    const { world, recovery } = recoveryWorld({ changes: CHANGES, incomplete: null });
    world.live = [
      { agentId: "g1", grantId: "g" },
      { agentId: "g2", grantId: null },
    ];
    await recovery.turn();
    const reason = expect.stringContaining("rolled back");
    expect(world.done).toEqual([
      ["end sessions"],
      ["clear", "g1", reason, "service"],
      ["revoke agent", "a1", "service"],
      ["revoke key", "a2", "k1", "service"],
      ["freeze", "a3", reason, "service"],
      ["force open", "a4", reason, 7, "service"],
      ["remove", "ann", "service"],
      ["set role", "bob", "viewer", "service"],
      ["set password", "cid", expect.stringMatching(/^[\w-]{43}$/), "service"],
      ["withdraw", "r1", reason, expect.objectContaining({ name: "dee" })],
    ]);
    await recovery.turn();
    expect(world.done).toHaveLength(10);
    // Another rollback is another matter.
    world.rollback = { ...ROLLBACK, outside: { ...ROLLBACK.outside, note: "later" } };
    await recovery.turn();
    expect(world.done).toHaveLength(20);
  });

  test("what the database has is not lost, and what a person has done since is not undone", async () => {
    const { world, recovery } = recoveryWorld({ changes: CHANGES, incomplete: "a list is gone" });
    const later = (kind: string, subject: string) => ({ eventId: "x", recordedAt: 200, kind, subject });
    world.known = [
      { eventId: "agent.revoked a1", recordedAt: 100, kind: "agent.revoked", subject: "a1" },
      later("operator.password_set", "cid"),
      later("agent.frozen", "a3"),
      later("agent.key_revoked", "a2"),
    ];
    await recovery.repair();
    const done = world.done.map(([what]) => what);
    expect(done).toEqual(["end sessions", "revoke key", "force open", "remove", "set role", "withdraw"]);
    const report = await recovery.report();
    expect(report).toMatchObject({ rollback: ROLLBACK, problem: "it was rolled back", incomplete: "a list is gone" });
    expect(report?.lost.map(({ change, remedy }) => `${change.kind} ${remedy}`)).toEqual([
      "agent.key_revoked reapplied",
      "agent.frozen reapplied",
      "circuit.forced_open reapplied",
      "circuit.forced_open reapplied",
      "operator.removed reapplied",
      "operator.role_set reapplied",
      "operator.password_set locked",
      "review.withdrawn reapplied",
      "agent.created lost",
    ]);
  });

  test("a role is lowered, never raised", async () => {
    const { world, recovery } = recoveryWorld({
      changes: [lost("operator.role_set", "bob", { role: "operator" })],
      incomplete: null,
    });
    await recovery.repair();
    expect(world.done).toEqual([["end sessions"]]);
  });

  test.each<FaultCode>(["AGENT_UNKNOWN", "AGENT_REVOKED", "AGENT_KEY_UNKNOWN", "OPERATOR_UNKNOWN", "REVIEW_CLOSED"])(
    "what there is nothing to do about is passed over: %s",
    async (code) => {
      const { world, recovery } = recoveryWorld({ changes: CHANGES, incomplete: null });
      world.faults.push(new Fault(code, "there is nothing to do"));
      await recovery.turn();
      expect(world.done).toHaveLength(9);
    },
  );

  test("what could not be done is tried again at the next turn", async () => {
    const { world, recovery } = recoveryWorld({ changes: CHANGES, incomplete: null });
    world.faults.push(new Fault("STORE_UNAVAILABLE", "down"));
    await expect(recovery.turn()).rejects.toThrow("down");
    expect(world.done).toHaveLength(2);
    await recovery.turn();
    expect(world.done).toHaveLength(11);
  });

  test("orders of before are void from when it was noticed, and of before it was acknowledged afterwards", async () => {
    const { world, recovery } = recoveryWorld();
    expect(recovery.ordersVoidBefore).toBe(0);
    await recovery.turn();
    world.now = NOW + 50;
    await recovery.turn();
    expect(recovery.ordersVoidBefore).toBe(NOW);
    world.rollback = null;
    world.acknowledgedAt = NOW + 100;
    await recovery.turn();
    expect(recovery.ordersVoidBefore).toBe(NOW + 100);
    expect(await recovery.report()).toBeNull();
    await recovery.repair();
    expect(world.done).toEqual([["end sessions"]]);
  });
});
