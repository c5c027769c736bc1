import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { AdminOperations } from "../../src/admin/operations.ts";
import { formatCredential, newCredential, parseCredential } from "../../src/core/credential.ts";
import { AgentDirectory, type DirectoryChanges, type DirectoryStore } from "../../src/authn/directory.ts";
import { systemClock } from "../../src/core/clock.ts";
import { Fault } from "../../src/core/fault.ts";
import { RandomPool } from "../../src/core/ids.ts";
import { SqlAgentStore } from "../../src/store/agents.ts";
import { SqlDecisionReader } from "../../src/store/decisions.ts";
import { waitUntil } from "../support/net.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { query } from "../support/sql.ts";

const random = new RandomPool();

/** The real store, watched: counts queries, and delays or fails them when told to. */
class WatchedStore implements DirectoryStore {
  queries = 0;
  delayMs = 0;
  down = false;
  /** What queries wait for before they are answered or fail. */
  held: Promise<void> = Promise.resolve();
  readonly #store: DirectoryStore;

  constructor(store: DirectoryStore) {
    this.#store = store;
  }

  async changesSince(since: number): Promise<DirectoryChanges> {
    this.queries++;
    await this.held;
    if (this.down) throw new Error("the store is down");
    const changes = await this.#store.changesSince(since);
    // What was read is on its way while the time passes.
    await sleep(this.delayMs);
    return changes;
  }
}

describe.each(storeKinds())("the directory on $name", ({ open }) => {
  let store: TestStore;
  /** As at another replica, of whose changes this directory is not told. */
  let elsewhere: AdminOperations;
  beforeAll(async () => {
    store = await open();
    elsewhere = new AdminOperations({
      agents: new SqlAgentStore(store.database.kysely),
      decisions: new SqlDecisionReader(store.database.kysely),
      agentChanged: async () => undefined,
      random,
      now: () => systemClock.now(),
    });
  });
  afterAll(() => store.close());

  let agents = 0;
  const makeAgent = async (): Promise<{ agentId: string; key: string }> => {
    const agentId = `agent-${agents++}`;
    return { agentId, key: (await elsewhere.createAgent(agentId, "test")).key };
  };
  const openDirectory = async (): Promise<{ directory: AgentDirectory; watched: WatchedStore; errors: unknown[] }> => {
    const watched = new WatchedStore(new SqlAgentStore(store.database.kysely));
    const errors: unknown[] = [];
    const monotonic = (): number => systemClock.monotonic();
    const onError = (error: unknown): void => void errors.push(error);
    const directory = new AgentDirectory({ store: watched, monotonic, onRefresh: () => undefined, onError });
    await directory.start();
    onTestFinished(() => directory.stop());
    return { directory, watched, errors };
  };
  const isUnknown = (error: unknown): boolean => error instanceof Fault && error.code === "CREDENTIAL_UNKNOWN";
  const faultOf = async (work: Promise<unknown>): Promise<{ code: string; message: string }> => {
    const error: unknown = await work.then(
      () => "it was accepted",
      (reason: unknown) => reason,
    );
    if (!(error instanceof Fault)) throw new Error(String(error));
    return { code: error.code, message: error.message };
  };

  test("knows whom a credential is for", async () => {
    const { agentId, key } = await makeAgent();
    const { directory } = await openDirectory();
    const keyId = parseCredential(key)?.keyId;
    expect(await directory.authenticate(`Bearer ${key}`)).toEqual({ agentId, keyId });
    expect(directory.stateOf(agentId)).toBe("active");
    expect(directory.stateOf("nobody")).toBe("revoked");
  });

  test("lists agents in pages, those alone whose id begins as asked, and says which prefix is none", async () => {
    for (const agentId of ["page-a", "page-b", "page-c", "pagf"]) await elsewhere.createAgent(agentId, "test");
    const ids = async (prefix: string, after: string, limit: number): Promise<[string[], boolean]> => {
      const { agents: found, more } = await elsewhere.listAgents(prefix, after, limit);
      return [found.map(({ agentId }) => agentId), more];
    };
    expect(await ids("page-", "", 2)).toEqual([["page-a", "page-b"], true]);
    expect(await ids("page-", "page-b", 2)).toEqual([["page-c"], false]);
    expect(await ids("page-x", "", 2)).toEqual([[], false]);
    for (const none of ["_", "Page", "%", "page\0", "-"]) {
      expect((await faultOf(ids(none, "", 2))).message).toContain("agent_id_prefix");
    }
  });

  test("gives every wrong credential one and the same answer, and none another", async () => {
    const [mine, others] = [await makeAgent(), await makeAgent()];
    const { directory } = await openDirectory();
    const credential = parseCredential(mine.key) as NonNullable<ReturnType<typeof parseCredential>>;
    const wrong = [
      "sesame",
      mine.key,
      `Bearer ${mine.key.slice(0, -1)}`,
      `Bearer ${formatCredential(newCredential(mine.agentId, random))}`,
      `Bearer ${formatCredential(newCredential("nobody", random))}`,
      `Bearer ${formatCredential({ ...credential, secret: "0".repeat(64) })}`,
      `Bearer ${formatCredential({ ...credential, secret: parseCredential(others.key)?.secret ?? "" })}`,
      `Bearer ${formatCredential({ ...credential, agentId: others.agentId })}`,
    ];
    const answers = await Promise.all(wrong.map((one) => faultOf(directory.authenticate(one))));
    const message = "The credential is not known, or has been revoked.";
    expect(answers).toEqual(wrong.map(() => ({ code: "CREDENTIAL_UNKNOWN", message })));
    for (const none of [undefined, ""]) {
      expect(await faultOf(directory.authenticate(none))).toMatchObject({ code: "CREDENTIAL_MISSING" });
    }
  });

  test("accepts a new key at once, however lately it looked", async () => {
    const { directory } = await openDirectory();
    for (let round = 0; round < 5; round++) {
      await directory.refresh();
      const { agentId, key } = await makeAgent();
      expect(await directory.authenticate(`Bearer ${key}`)).toMatchObject({ agentId });
    }
  });

  test("refuses a revoked agent's key, and sees a freeze, by its own look at the store", async () => {
    const [revoked, frozen] = [await makeAgent(), await makeAgent()];
    const { directory } = await openDirectory();
    await directory.authenticate(`Bearer ${revoked.key}`);
    await elsewhere.revokeAgent(revoked.agentId, "test");
    await elsewhere.freezeAgent(frozen.agentId, "test", "test");
    await waitUntil(() => directory.stateOf(frozen.agentId) === "frozen", 20_000, "the freeze is not seen");
    expect(await faultOf(directory.authenticate(`Bearer ${revoked.key}`))).toMatchObject({
      code: "CREDENTIAL_UNKNOWN",
    });
    await directory.authenticate(`Bearer ${frozen.key}`);
    await elsewhere.unfreezeAgent(frozen.agentId, "test", "test");
    await waitUntil(() => directory.stateOf(frozen.agentId) === "active", 20_000, "the unfreeze is not seen");
  });

  describe("with two keys of one agent", () => {
    const keyIdOf = (key: string): string => parseCredential(key)?.keyId as string;

    test("takes both, and each until it is revoked, everywhere", async () => {
      const [here, there] = [await openDirectory(), await openDirectory()];
      const { agentId, key: old } = await makeAgent();
      const { key: fresh, keyId } = await elsewhere.createAgentKey(agentId, "test");
      for (const { directory } of [here, there]) {
        expect(await directory.authenticate(`Bearer ${old}`)).toEqual({ agentId, keyId: keyIdOf(old) });
        expect(await directory.authenticate(`Bearer ${fresh}`)).toEqual({ agentId, keyId });
      }
      await elsewhere.revokeAgentKey(agentId, keyIdOf(old), "test");
      await elsewhere.revokeAgentKey(agentId, keyIdOf(old), "test");
      for (const { directory } of [here, there]) {
        const isRefused = (): Promise<boolean> => directory.authenticate(`Bearer ${old}`).then(() => false, isUnknown);
        await waitUntil(isRefused, 20_000, "the revocation is not seen");
        expect(await directory.authenticate(`Bearer ${fresh}`)).toMatchObject({ agentId });
      }
      const told = await query<{ kind: string; detail: string }>(
        store.database,
        "SELECT kind, detail FROM audit_events WHERE subject = $1 ORDER BY recorded_at",
        [agentId],
      );
      expect(told.map(({ kind, detail }) => [kind, (JSON.parse(detail) as { keyId: string }).keyId])).toEqual([
        ["agent.created", keyIdOf(old)],
        ["agent.key_created", keyId],
        ["agent.key_revoked", keyIdOf(old)],
      ]);
    });

    test("has never more, however many are made at once, and says which to revoke", async () => {
      const { agentId } = await elsewhere.createKeylessAgent(`keyless-${agents++}`, "test");
      const made = await Promise.allSettled(
        Array.from({ length: 12 }, () => elsewhere.createAgentKey(agentId, "test")),
      );
      const { keyIds } = (await new SqlAgentStore(store.database.kysely).find(agentId)) as {
        keyIds: readonly string[];
      };
      const answered = made.flatMap((one) => (one.status === "fulfilled" ? [one.value.keyId] : []));
      expect(answered.toSorted()).toEqual(keyIds.toSorted());
      expect(keyIds).toHaveLength(2);
      const full = await faultOf(elsewhere.createAgentKey(agentId, "test"));
      expect(full).toMatchObject({ code: "AGENT_KEYS_FULL" });
      for (const keyId of keyIds) expect(full.message).toContain(keyId);
      await elsewhere.revokeAgentKey(agentId, keyIds[0] as string, "test");
      await elsewhere.createAgentKey(agentId, "test");
    });

    test("refuses keys of agents that are revoked or unknown, and keys that are another's", async () => {
      const [mine, others] = [await makeAgent(), await makeAgent()];
      const take = (agentId: string, keyId: string) => faultOf(elsewhere.revokeAgentKey(agentId, keyId, "test"));
      expect(await take(mine.agentId, keyIdOf(others.key))).toMatchObject({ code: "AGENT_KEY_UNKNOWN" });
      expect(await take("nobody", keyIdOf(others.key))).toMatchObject({ code: "AGENT_UNKNOWN" });
      expect(await faultOf(elsewhere.createAgentKey("nobody", "test"))).toMatchObject({ code: "AGENT_UNKNOWN" });
      await elsewhere.revokeAgent(mine.agentId, "test");
      expect(await faultOf(elsewhere.createAgentKey(mine.agentId, "test"))).toMatchObject({ code: "AGENT_REVOKED" });
      const { directory } = await openDirectory();
      await directory.authenticate(`Bearer ${others.key}`);
    });
  });

  test("asks the store seldom in a flood of unknown keys, and serves known ones meanwhile without", async () => {
    const { agentId, key } = await makeAgent();
    const { directory, watched } = await openDirectory();
    const before = watched.queries;
    const startedAt = performance.now();
    const flood: Promise<unknown>[] = [];
    while (performance.now() < startedAt + 600 || flood.length <= 500) {
      for (let n = 0; n < 20; n++) {
        flood.push(faultOf(directory.authenticate(`Bearer ${formatCredential(newCredential("flood", random))}`)));
      }
      expect(await directory.authenticate(`Bearer ${key}`)).toMatchObject({ agentId });
      await sleep(5);
    }
    await Promise.all(flood);
    expect(watched.queries - before).toBeLessThan((40 * (performance.now() - startedAt)) / 600);
  });

  test("confirms a state only from what the store said within the last second", async () => {
    const { agentId } = await makeAgent();
    const { directory, watched, errors } = await openDirectory();
    expect(await directory.confirmedStateOf(agentId)).toBe("active");
    watched.down = true;
    await waitUntil(() => directory.age > 1000, 20_000, "its knowledge does not age");
    expect(await faultOf(directory.confirmedStateOf(agentId))).toMatchObject({ code: "STORE_UNAVAILABLE" });
    const unknown = `Bearer ${formatCredential(newCredential("nobody", random))}`;
    expect(await faultOf(directory.authenticate(unknown))).toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(errors.length).toBeGreaterThan(0);
    watched.down = false;
    expect(await directory.confirmedStateOf(agentId)).toBe("active");
  });

  test("does not complain of what fails after it was stopped, as when the store is closed next", async () => {
    const { directory, watched, errors } = await openDirectory();
    const stopped = Promise.withResolvers<void>();
    watched.held = stopped.promise;
    const { queries } = watched;
    await waitUntil(() => watched.queries > queries, 20_000, "the store is not asked");
    directory.stop();
    watched.down = true;
    stopped.resolve();
    await directory.refresh().catch(() => undefined);
    expect(errors).toEqual([]);
  });

  test("does not take an old answer for a new one because it arrives now", { tags: ["full"] }, async () => {
    const { agentId } = await makeAgent();
    const { directory, watched } = await openDirectory();
    watched.delayMs = 1300;
    await waitUntil(() => directory.age > 1000, 20_000, "its knowledge does not age");
    // The refresh under way has read "active" before the freeze, and comes home after it, more than a second old.
    await elsewhere.freezeAgent(agentId, "test", "test");
    expect(await faultOf(directory.confirmedStateOf(agentId))).toMatchObject({ code: "STORE_UNAVAILABLE" });
    watched.delayMs = 0;
    expect(await directory.confirmedStateOf(agentId)).toBe("frozen");
  });
});
