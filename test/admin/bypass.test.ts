import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BypassOperations } from "../../src/admin/bypass.ts";
import { GRANT_KEY_USE } from "../../src/core/grant.ts";
import { PageTokens } from "../../src/admin/page-tokens.ts";
import { makeEvent } from "../../src/audit/row/event.ts";
import { systemClock } from "../../src/core/clock.ts";
import { type GrantKeeper, openGrantKeeper } from "../../clients/typescript/src/grants/grants.ts";
import { RandomPool } from "../../src/core/ids.ts";
import { firstLink, makeSigningKey, nextLink } from "../../src/core/key-chain.ts";
import type { SigningKeys } from "../../src/keys/key-files.ts";
import { SqlAgentStore } from "../../src/store/agents.ts";
import { SqlBypassOrders } from "../../src/store/bypass-orders.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { amount } from "../support/amount.ts";
import { chanceOf } from "../support/chance.ts";

const ROUNDS = amount(12, 2000);
const chance = chanceOf("bypass");
const random = new RandomPool();
const now = (): number => systemClock.now();

function firstKeys(): SigningKeys {
  const signing = makeSigningKey();
  return { signing, chain: [firstLink(signing)] };
}

function rotated({ signing, chain }: SigningKeys): SigningKeys {
  const next = makeSigningKey();
  return { signing: next, chain: [...chain, nextLink(GRANT_KEY_USE, signing, next)] };
}

/** Of several replicas on one database. */
class Replica {
  readonly #operations: BypassOperations;
  #keys: SigningKeys;

  constructor({ database }: TestStore, keys: SigningKeys) {
    this.#keys = keys;
    this.#operations = new BypassOperations({
      orders: new SqlBypassOrders(database.kysely),
      agents: new SqlAgentStore(database.kysely),
      grantKeys: () => this.#keys,
      tokens: new PageTokens(Buffer.alloc(32)),
      random,
      now,
    });
  }

  set(agentId: string): Promise<unknown> {
    const request = { agentId, tools: [], allTools: true, reason: "a drill", durationMicros: null };
    return this.#operations.set(request, "operator:alice");
  }

  clear(agentId: string): Promise<unknown> {
    return this.#operations.clear(agentId, "over", "operator:alice");
  }

  /** As after `keys rotate-grant` and SIGHUP. */
  async take(keys: SigningKeys): Promise<void> {
    this.#keys = keys;
    await this.#operations.signAgain();
  }

  /** What a guard hears from it at a sync. */
  async tell(guard: GrantKeeper, agentId: string): Promise<void> {
    const order = await this.#operations.newest(agentId);
    await guard.offer({
      fromService: true,
      unverifiedGrants: order === null ? [] : [order.token],
      grantKeys: this.#keys.chain,
      serviceTime: now(),
    });
  }

  async inForce(agentId: string): Promise<number> {
    return (await this.#operations.list({ agentId, past: false, limit: 10 })).grants.length;
  }
}

async function shortly<Result>(work: () => Promise<Result>): Promise<Result> {
  await sleep(chance.int(0, 8));
  return await work();
}

describe.each(storeKinds())("a bypass on the $name store", ({ open }) => {
  let store: TestStore;
  beforeAll(async () => {
    store = await open();
  });
  afterAll(() => store.close());

  async function newAgent(agentId: string): Promise<void> {
    const event = makeEvent({ kind: "agent.created", actor: "test", subject: agentId, detail: {} }, now(), random);
    await new SqlAgentStore(store.database.kysely).create(agentId, null, event);
  }

  test("that is cleared while the grant key is rotated never comes back", { timeout: 120_000 }, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const agentId = `agent-${round}`;
      await newAgent(agentId);
      const old = firstKeys();
      const next = rotated(old);
      const replicas = [new Replica(store, old), new Replica(store, old)] as const;
      // Is given the new key late, as it may happen; operators reach it all the same.
      const late = new Replica(store, old);
      const guard = await openGrantKeeper({ dir: null, agentId, clock: systemClock });
      await replicas[0].set(agentId);
      await replicas[0].tell(guard, agentId);
      expect(guard.lookup("any")).toHaveProperty("grant");

      const anyReplica = (): Replica => chance.one(replicas);
      const rotation = Promise.all(replicas.map((replica) => shortly(() => replica.take(next))));
      const clearing = shortly(() => (round % 2 === 0 ? late : anyReplica()).clear(agentId));
      const syncs = Array.from({ length: 6 }, () => shortly(() => anyReplica().tell(guard, agentId)));
      await Promise.all([rotation, clearing, ...syncs]);

      // One more sync, as there is one every few seconds; any replica that has the key will do.
      await anyReplica().tell(guard, agentId);
      expect(guard.lookup("any"), `round ${round}`).toEqual({ problem: "the agent's grant was revoked" });
      expect(await replicas[0].inForce(agentId), `round ${round}`).toBe(0);
    }
  });

  test("that was set in the same microsecond as others is listed once, as each of them", async () => {
    const [at, keys, tokens] = [now(), firstKeys(), new PageTokens(Buffer.alloc(32))];
    const orders = new SqlBypassOrders(store.database.kysely);
    const agents = new SqlAgentStore(store.database.kysely);
    const bypass = new BypassOperations({ orders, agents, grantKeys: () => keys, tokens, random, now: () => at });
    const names = Array.from({ length: 7 }, (_, n) => `tie-${n}`);
    for (const agentId of names) {
      await newAgent(agentId);
      const request = { agentId, tools: [], allTools: true, reason: "a drill", durationMicros: null };
      await bypass.set(request, "operator:alice");
    }
    const listed: string[] = [];
    const query = { agentId: null, past: false, limit: 2 };
    for (let pageToken: string | null = ""; pageToken !== null; ) {
      const page: Awaited<ReturnType<typeof bypass.list>> = await bypass.list(query, pageToken);
      listed.push(...page.grants.map(({ order }) => order.agentId));
      pageToken = page.nextPageToken || null;
    }
    expect(listed.filter((name) => name.startsWith("tie-")).toSorted()).toEqual(names);
    const { nextPageToken } = await bypass.list(query);
    await expect(bypass.list({ ...query, past: true }, nextPageToken)).rejects.toMatchObject({
      code: "FIELD_INVALID",
      field: "page_token",
    });
  });

  test("that is set with the old key while it is rotated is signed again when a guard asks", async () => {
    await newAgent("late");
    const old = firstKeys();
    const [slow, quick] = [new Replica(store, old), new Replica(store, old)];
    const guard = await openGrantKeeper({ dir: null, agentId: "late", clock: systemClock });
    await quick.take(rotated(old));
    await quick.tell(guard, "late");
    await slow.set("late");
    await quick.tell(guard, "late");
    expect(guard.lookup("any")).toHaveProperty("grant");
    await slow.clear("late");
    await quick.tell(guard, "late");
    expect(guard.lookup("any")).toEqual({ problem: "the agent's grant was revoked" });
  });
});
