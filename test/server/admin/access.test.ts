import { expect, test } from "vitest";
import type { Caller } from "../../../src/admin/caller.ts";
import { checkAccess } from "../../../src/server/admin/access.ts";

const NOW = 1_800_000_000_000_000;
const SECOND = 1_000_000;

const signedIn = (ago: number | null, methods: readonly string[]): Caller => ({
  kind: "operator",
  name: "ann",
  role: "operator",
  signedInAt: ago === null ? null : NOW - ago * SECOND,
  methods,
});
const setBypass = (caller: Caller): void => checkAccess("setCircuitBypass", caller, NOW);

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
