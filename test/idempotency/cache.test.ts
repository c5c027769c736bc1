import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { setImmediate as nextTick, setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { deriveDigestKeys } from "../../src/idempotency/key.ts";
import type { Claim, ClaimCache } from "../../src/idempotency/ledger.ts";
import { MemoryClaimCache } from "../../src/idempotency/memory-cache.ts";
import { RedisClaimCache } from "../../src/idempotency/redis-cache.ts";
import { openRedis } from "../../src/server/lifecycle/redis.ts";
import { freePort, waitUntil } from "../support/net.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { claimOf, MINUTE } from "./claims.ts";

const keys = deriveDigestKeys(randomBytes(32));
const redisUrl = inject("redisUrl");

/** A cache whose clock the test sets forward. */
interface Subject {
  readonly cache: ClaimCache;
  later(micros: number): void;
}

async function openRedisCache(url: string): Promise<Subject & { errors: Error[] }> {
  const errors: Error[] = [];
  const redis = openRedis(url, (error) => errors.push(error));
  let ahead = 0;
  const now = (): number => systemClock.now() + ahead;
  const cache = new RedisClaimCache(redis, keys, now, () => systemClock.monotonic());
  await once(redis, "ready");
  return { cache, errors, later: (micros) => void (ahead += micros) };
}

async function openMemoryCache(): Promise<Subject> {
  let ahead = 0;
  const cache = new MemoryClaimCache(() => systemClock.now() + ahead);
  return { cache, later: (micros) => void (ahead += micros) };
}

const kinds = [
  { name: "this process", open: openMemoryCache },
  ...(redisUrl === null ? [] : [{ name: "Redis", open: () => openRedisCache(redisUrl) }]),
];

/** What the cache knows, once it knows anything: remembering is not awaited. */
async function remembered(cache: ClaimCache, agentId: string, key: string): Promise<Claim> {
  let claim: Claim | null = null;
  await waitUntil(
    async () => (claim = await cache.at(agentId, key).get()) !== null,
    20_000,
    `${agentId} ${key} is not remembered`,
  );
  return claim as unknown as Claim;
}

describe.each(kinds)("claims remembered in $name", ({ open }) => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await open();
  });
  afterAll(() => subject.cache.close());

  test("come back whole", async () => {
    const claim = claimOf({ ruleId: null, message: 'Said "no" to 🦊.', reason: "RULE_DENIED" });
    subject.cache.at("demo", "whole").set(claim);
    expect(await remembered(subject.cache, "demo", "whole")).toEqual(claim);
  });

  test("are null if nothing was remembered", async () => {
    expect(await subject.cache.at("demo", "never").get()).toBeNull();
  });

  test("are replaced by a newer one", async () => {
    const [older, newer] = [claimOf(), claimOf()];
    subject.cache.at("demo", "replaced").set(older);
    await remembered(subject.cache, "demo", "replaced");
    subject.cache.at("demo", "replaced").set(newer);
    const isNewer = async (): Promise<boolean> =>
      (await subject.cache.at("demo", "replaced").get())?.decisionId === newer.decisionId;
    await waitUntil(isNewer, 20_000, "the older claim stayed");
  });

  test("belong to one agent and key, however the two are written", async () => {
    const agentId = fc.string({ unit: fc.constantFrom("a", "b", ".", "-"), minLength: 1, maxLength: 4 });
    const idempotencyKey = fc.string({
      unit: fc.constantFrom("a", ".", ":", " ", "\u{1F98A}"),
      minLength: 1,
      maxLength: 4,
    });
    const owners = fc.uniqueArray(fc.tuple(agentId, idempotencyKey), {
      minLength: 2,
      maxLength: 20,
      selector: (pair) => pair.join("\n"),
    });
    await fc.assert(
      fc.asyncProperty(owners, async (pairs) => {
        const round = randomBytes(6).toString("hex");
        const claims = pairs.map(() => claimOf());
        // The last one stays unknown.
        pairs
          .slice(0, -1)
          .forEach(([agent, key], index) => subject.cache.at(agent, `${key}${round}`).set(claims[index] as Claim));
        for (const [index, [agent, key]] of pairs.slice(0, -1).entries()) {
          const found = await remembered(subject.cache, agent, `${key}${round}`);
          expect(found.decisionId).toBe(claims[index]?.decisionId);
        }
        const [agent, key] = pairs.at(-1) as [string, string];
        expect(await subject.cache.at(agent, `${key}${round}`).get()).toBeNull();
      }),
      { numRuns: 20 },
    );
  });

  test("are forgotten when they expire, and not remembered after", async () => {
    const claim = claimOf();
    subject.cache.at("demo", "expiring").set(claim);
    await remembered(subject.cache, "demo", "expiring");
    subject.later(2 * MINUTE);
    expect(await subject.cache.at("demo", "expiring").get()).toBeNull();
    subject.cache.at("demo", "expired").set(claim);
    await sleep(50);
    expect(await subject.cache.at("demo", "expired").get()).toBeNull();
  });
});

test("this process remembers the newest claims, at least half as many as it may", async () => {
  const cache = new MemoryClaimCache(() => 0, 4);
  for (const key of ["a", "b", "c"]) cache.at("demo", key).set(claimOf());
  // Remembered anew, "a" is not the oldest any more.
  cache.at("demo", "a").set(claimOf());
  cache.at("demo", "d").set(claimOf());
  const known = await Promise.all(
    ["a", "b", "c", "d"].map(async (key) => (await cache.at("demo", key).get()) !== null),
  );
  expect(known).toEqual([true, false, true, true]);
});

describe.skipIf(redisUrl === null)("a Redis that fails", () => {
  let redis: RedisServer;
  let subject: Awaited<ReturnType<typeof openRedisCache>>;
  beforeAll(async () => {
    redis = (await startRedis(await freePort())) as RedisServer;
    subject = await openRedisCache(redis.url);
  });
  afterEach(() => {
    if (redis.pid !== 0) process.kill(redis.pid, "SIGCONT");
  });
  afterAll(async () => {
    await subject.cache.close();
    await redis.stop();
  });

  const works = async (): Promise<boolean> => {
    subject.cache.at("demo", "works").set(claimOf());
    return (await subject.cache.at("demo", "works").get()) !== null;
  };
  const keysStored = async (): Promise<number> => {
    const client = openRedis(redis.url, () => undefined);
    await once(client, "ready");
    const count = await client.dbsize();
    client.disconnect();
    return count;
  };

  test("while it is stalled, lookups give up soon and what is to be remembered is dropped, not queued", async () => {
    await waitUntil(works, 20_000, "Redis does not work");
    const before = await keysStored();
    process.kill(redis.pid, "SIGSTOP");
    const lookups: Promise<Claim | null>[] = [];
    // Within the second after which the connection is given up, and with it all that was written to it.
    for (let sets = 0; sets < 10_000; sets += 100) {
      for (let n = 0; n < 100; n++) subject.cache.at("demo", `stall-${sets + n}`).set(claimOf());
      lookups.push(subject.cache.at("demo", "works").get());
      await nextTick();
    }
    // They end while Redis is still stopped.
    expect((await Promise.all(lookups)).filter((claim) => claim !== null)).toEqual([]);
    process.kill(redis.pid, "SIGCONT");
    await waitUntil(works, 20_000, "Redis is not used again");
    // The few commands that were under way when it stalled.
    expect((await keysStored()) - before).toBeLessThan(5000);
  });

  test("while it is down, lookups are null at once and nothing is thrown; once it is back it is used", async () => {
    await redis.stop();
    for (let lookups = 0; lookups < 100; lookups++) {
      subject.cache.at("demo", "down").set(claimOf());
      expect(await subject.cache.at("demo", "works").get()).toBeNull();
      await sleep(5);
    }
    redis = (await startRedis(redis.port)) as RedisServer;
    await waitUntil(works, 20_000, "Redis is not used again");
    expect(subject.errors.length).toBeGreaterThan(0);
  });

  test("a lookup of very many at once is answered, and so is each of them", async () => {
    await waitUntil(works, 20_000, "Redis does not work");
    const found = await Promise.all(Array.from({ length: 5000 }, () => subject.cache.at("demo", "works").get()));
    expect(found).toHaveLength(5000);
    expect(found.filter((claim) => claim !== null).length).toBeGreaterThan(0);
  });
});
