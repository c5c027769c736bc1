import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { formatCredential, newCredential } from "../../src/core/credential.ts";
import { AgentDirectory, type AgentState, type DirectoryStore } from "../../src/authn/directory.ts";
import { RandomPool } from "../../src/core/ids.ts";

const credential = newCredential("billing-1", new RandomPool());
const bearer = `Bearer ${formatCredential(credential)}`;

/** A directory over a store in memory, on a clock that goes when it is moved. */
async function openDirectory() {
  const world = {
    now: 0,
    state: "active" as AgentState,
    isKeyRevoked: false,
    isDown: false,
    questions: 0,
    /** How long an answer of the store is on its way, after it was read. */
    delayMs: 0,
  };
  const store: DirectoryStore = {
    async changesSince() {
      world.questions++;
      if (world.isDown) throw new Error("the store is down");
      const { agentId, keyId, secret } = credential;
      const secretHash = createHash("sha256").update(secret).digest();
      const changes = {
        version: world.questions,
        agents: [{ agentId, state: world.state }],
        keys: [{ keyId, agentId, secretHash, revoked: world.isKeyRevoked }],
        now: 0,
      };
      world.now += world.delayMs;
      return changes;
    },
  };
  const ignore = (): void => undefined;
  const directory = new AgentDirectory({ store, monotonic: () => world.now, onRefresh: ignore, onError: ignore });
  await directory.refresh();
  return { directory, world };
}

describe("an agent's state is confirmed", () => {
  test("by what the store said at most a second ago, without another question", async () => {
    const { directory, world } = await openDirectory();
    world.state = "frozen";
    world.now = 1000;
    expect(await directory.confirmedStateOf("billing-1")).toBe("active");
    expect(world.questions).toBe(1);
  });

  test.each(["active", "frozen", "revoked"] as const)("by the store if that is longer ago: %s", async (state) => {
    const { directory, world } = await openDirectory();
    world.state = state;
    world.now = 1001;
    expect(await directory.confirmedStateOf("billing-1")).toBe(state);
  });

  test("not if the store is down, and again when it is back", async () => {
    const { directory, world } = await openDirectory();
    world.now = 1001;
    world.isDown = true;
    await expect(directory.confirmedStateOf("billing-1")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    world.isDown = false;
    world.state = "frozen";
    expect(await directory.confirmedStateOf("billing-1")).toBe("frozen");
  });

  test("not by an answer that was on its way for longer: it is as old as its question", async () => {
    const { directory, world } = await openDirectory();
    world.now = 1001;
    world.delayMs = 1001;
    await expect(directory.confirmedStateOf("billing-1")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    world.delayMs = 1000;
    expect(await directory.confirmedStateOf("billing-1")).toBe("active");
  });

  test("as revoked if nobody knows the agent", async () => {
    const { directory } = await openDirectory();
    expect(await directory.confirmedStateOf("nobody")).toBe("revoked");
  });
});

describe("a credential is accepted", () => {
  test("for its own agent", async () => {
    const { directory } = await openDirectory();
    expect(await directory.authenticate(bearer)).toEqual({ agentId: "billing-1", keyId: credential.keyId });
  });

  test.each<[string, Partial<{ state: AgentState; isKeyRevoked: boolean }>]>([
    ["of a revoked agent, also if its key was not revoked", { state: "revoked" }],
    ["that was revoked", { isKeyRevoked: true }],
  ])("but not one %s", async (_, change) => {
    const { directory, world } = await openDirectory();
    Object.assign(world, change);
    await directory.refresh();
    await expect(directory.authenticate(bearer)).rejects.toMatchObject({ code: "CREDENTIAL_UNKNOWN" });
  });

  test("but not one with another secret, or for another agent", async () => {
    const { directory } = await openDirectory();
    const other = newCredential("billing-1", new RandomPool());
    for (const wrong of [
      { ...credential, secret: other.secret },
      { ...credential, agentId: "billing-2" },
    ])
      await expect(directory.authenticate(`Bearer ${formatCredential(wrong)}`)).rejects.toMatchObject({
        code: "CREDENTIAL_UNKNOWN",
      });
  });

  test("of a frozen agent: what it asks is denied, not refused", async () => {
    const { directory, world } = await openDirectory();
    world.state = "frozen";
    await directory.refresh();
    expect(await directory.authenticate(bearer)).toMatchObject({ agentId: "billing-1" });
  });
});
