import { beforeEach, describe, expect, test } from "vitest";
import { createCallableTools } from "../../src/authorize/callable-tools.ts";
import { Fault } from "../../src/core/fault.ts";
import { AGENT, callWith, FakeAgents, FakePolicy, POLICY_VERSION, recoveryCheck } from "./fakes.ts";

/** ListCallableTools over fakes: the policy denies what begins with "deny". */
function open() {
  const agents = new FakeAgents();
  const recovery = { checks: 0, from: Number.POSITIVE_INFINITY };
  const refused: [string, string, string | null][] = [];
  const asked: string[] = [];
  const world = { agents, recovery, refused, asked, turnedAway: null as Fault | null, list };
  const policy = Object.assign(new FakePolicy(), {
    isCallable: ({ agentId, tool }: { agentId: string; tool: string }): boolean => {
      asked.push(`${agentId} ${tool}`);
      return !tool.startsWith("deny");
    },
  });
  const handler = createCallableTools({
    agents,
    policy: () => policy,
    monotonic: () => Date.now(),
    checkRecovery: recoveryCheck(recovery),
    refused: (fault, { method, agentId }) => refused.push([fault.code, method, agentId]),
    admit: () => {
      if (world.turnedAway !== null) throw world.turnedAway;
    },
  });
  function list(tools: readonly string[], authorization?: string) {
    return handler(callWith(() => ({ tools }), authorization === undefined ? {} : { authorization }));
  }
  return world;
}

let world: ReturnType<typeof open>;
beforeEach(() => {
  world = open();
});

test("the tools that the policy does not deny in any case are answered in their order, each once", async () => {
  expect(await world.list(["b", "deny.a", "a", "b"])).toEqual({
    agentId: AGENT,
    policyVersion: POLICY_VERSION,
    tools: ["b", "a"],
  });
  expect(world.asked).toEqual([`${AGENT} b`, `${AGENT} deny.a`, `${AGENT} a`]);
});

test("no tools are asked about, and none answered", async () => {
  expect((await world.list([])).tools).toEqual([]);
});

test.each(["frozen", "revoked"] as const)("nothing is callable for a %s agent", async (state) => {
  world.agents.confirmed = state;
  expect((await world.list(["a"])).tools).toEqual([]);
});

test("nothing is said while the agent's state cannot be confirmed", async () => {
  world.agents.confirmed = "unknown";
  await expect(world.list(["a"])).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
});

test.each([1, 2])("it is refused while the service is in recovery, known at check %i", async (from) => {
  world.recovery.from = from;
  await expect(world.list(["a"])).rejects.toMatchObject({ code: "IN_RECOVERY" });
  expect(world.refused).toEqual([["IN_RECOVERY", "ListCallableTools", AGENT]]);
});

test("it is refused without a known credential, and over the agent's rate", async () => {
  await expect(world.list(["a"], "Bearer other")).rejects.toMatchObject({ code: "CREDENTIAL_UNKNOWN" });
  world.turnedAway = new Fault("RATE_LIMITED", "Too many.");
  await expect(world.list(["a"])).rejects.toMatchObject({ code: "RATE_LIMITED" });
  expect(world.asked).toEqual([]);
});

describe("a request", () => {
  const named = (count: number): string[] => Array.from({ length: count }, (_, index) => `tool.${index}`);

  test("may have 1000 names", async () => {
    expect((await world.list(named(1000))).tools).toHaveLength(1000);
  });

  test.each<[string, readonly string[], RegExp]>([
    ["1001 names", named(1001), /^tools must be at most 1000 names, is 1001\.$/],
    ["an empty name", ["a", ""], /^tools must not be empty/],
    ["a name that is too long", ["a".repeat(257)], /^tools must be at most 256 bytes, is 257/],
    ["NUL in a name", ["a\0"], /^tools must not contain NUL/],
    ["a lone surrogate in a name", ["\ud800"], /^tools must not contain a lone surrogate/],
  ])("is refused with %s", async (_, tools, message) => {
    await expect(world.list(tools)).rejects.toMatchObject({
      code: "FIELD_INVALID",
      message: expect.stringMatching(message),
    });
    expect(world.asked).toEqual([]);
  });
});
