import { expect, test } from "vitest";
import type { Caller } from "../../../src/admin/caller.ts";
import { type AdminMethod, checkAccess } from "../../../src/server/admin/access.ts";

const NOW = 1_800_000_000_000_000;
const SECOND = 1_000_000;

const signedIn = (ago: number | null, methods: readonly string[]): Caller => ({
  kind: "operator",
  name: "ann",
  role: "operator",
  signedInAt: ago === null ? null : NOW - ago * SECOND,
  methods,
});
const setBypass = (caller: Caller): void => checkAccess("setCircuitBypass", caller, NOW, false);

test.each([0, 1, 299, -30])("a human who signed in %d s ago may set a bypass", (ago) => {
  expect(() => setBypass(signedIn(ago, ["pwd"]))).not.toThrow();
});

test.each<[string, number | null, string[]]>([
  ["five minutes ago", 300, ["pwd"]],
  ["an hour from now", -3600, ["pwd"]],
  ["at no time, by some method", null, ["pwd"]],
  ["just now, by no method", 1, []],
  ["at no time and by no method, as a machine", null, []],
])("whoever signed in %s may not", (_, ago, methods) => {
  expect(() => setBypass(signedIn(ago, methods))).toThrow("needs a human who has signed in within the last 5 minutes");
});

test("in recovery operators look, and only the host changes", () => {
  const operator = signedIn(1, ["pwd"]);
  const inRecovery = (method: AdminMethod, caller: Caller) => (): void => checkAccess(method, caller, NOW, true);
  const socket: Caller = { kind: "socket" };
  for (const method of ["getRecovery", "getOverview", "listAgents"] as const) {
    expect(inRecovery(method, operator)).not.toThrow();
    expect(inRecovery(method, socket)).not.toThrow();
  }
  for (const method of ["revokeAgent", "setCircuitBypass", "approveReview", "acknowledgeAuditRollback"] as const)
    expect(inRecovery(method, operator)).toThrow(expect.objectContaining({ code: "IN_RECOVERY" }));
  for (const method of ["revokeAgent", "acknowledgeAuditRollback", "removeOperator"] as const)
    expect(inRecovery(method, socket)).not.toThrow();
});
