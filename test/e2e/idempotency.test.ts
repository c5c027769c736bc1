import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { cli } from "../support/cli.ts";
import { type Cluster, makeAgent, makeCluster } from "../support/cluster.ts";
import { waitUntil } from "../support/net.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { type Asked, ask, discard, type ServiceProcess, startService, startServices } from "../support/service.ts";
import { amount } from "../support/amount.ts";

const PROCESSES = amount(4, 8);

const request = (idempotencyKey: string, subject = "Hi") => ({
  tool: "gmail.send_email",
  payload: { to: ["ann@example.com"], subject, body: "Hello" },
  idempotencyKey,
});

describe.skipIf(inject("postgresUrl") === null)("one key, one decision, across processes", () => {
  let cluster: Cluster;
  let database: pg.Client;

  beforeAll(async () => {
    cluster = (await makeCluster()) as Cluster;
    database = new pg.Client(cluster.superUrl);
    await database.connect();
  });
  afterAll(() => database.end());

  const rowsFor = async (key: string): Promise<number> => {
    const { rows } = await database.query(
      "SELECT 1 FROM audit_decisions WHERE idempotency_key = $1 AND reason <> 'IDEMPOTENCY_KEY_REUSED'",
      [key],
    );
    return rows.length;
  };

  /** Everybody asks the same at once; all who got an answer must have the same one, and there must be one row. */
  const race = async (services: readonly ServiceProcess[], key: string, racers: number): Promise<void> => {
    const answers = await Promise.all(
      services.flatMap((service) =>
        Array.from({ length: racers }, () => ask(service.connectUrl, cluster.agentKey, request(key))),
      ),
    );
    for (const answer of answers)
      expect(answer, JSON.stringify(answer)).toMatchObject({ status: 200, body: { decision: "DECISION_ALLOW" } });
    expect(new Set(answers.map(({ body }) => body["decisionId"])).size).toBe(1);
    expect(answers.filter(({ body }) => body["replayed"] !== true)).toHaveLength(1);
    expect(await rowsFor(key)).toBe(1);
  };

  describe("many of them", () => {
    let services: readonly ServiceProcess[] = [];

    beforeAll(async () => {
      services = await startServices(PROCESSES, () => startService(cluster.env));
    });
    // Also if a test fails or takes too long: what is left running would slow the others down.
    afterAll(() => Promise.all(services.map(discard)));

    test(`64 racers × ${PROCESSES} processes on one key give one row and one id`, async () => {
      for (let round = 0; round < amount(3, 20); round++) await race(services, `race-${round}`, 64);
      // Two requests race for one key: one wins, all of the other kind are denied.
      const mixed = await Promise.all(
        services.flatMap((service) =>
          Array.from({ length: 32 }, (_, index) =>
            ask(service.connectUrl, cluster.agentKey, request("mixed", index % 2 === 0 ? "A" : "B")),
          ),
        ),
      );
      const allowed = mixed.filter(({ body }) => body["decision"] === "DECISION_ALLOW");
      const denied = mixed.filter(({ body }) => body["reason"] === "REASON_IDEMPOTENCY_KEY_REUSED");
      expect([allowed.length, denied.length]).toEqual([16 * PROCESSES, 16 * PROCESSES]);
      expect(new Set(allowed.map(({ body }) => body["decisionId"])).size).toBe(1);
      expect(new Set(denied.map(({ body }) => body["decisionId"])).size).toBe(1);
      expect(await rowsFor("mixed")).toBe(1);
    });
  });

  describe("with a Redis, also one that fails", () => {
    let redis: RedisServer;
    let services: readonly ServiceProcess[];

    beforeAll(async () => {
      redis = (await startRedis()) as RedisServer;
      const env = { ...cluster.env, REDIS_URL: redis.url };
      services = await startServices(2, () => startService(env));
    });
    afterAll(async () => {
      await Promise.all(services.map(discard));
      await redis.stop();
    });

    const [first, second] = [() => services[0] as ServiceProcess, () => services[1] as ServiceProcess];
    const askFirst = (key: string, subject?: string): Promise<Asked> =>
      ask(first().connectUrl, cluster.agentKey, request(key, subject));
    const askSecond = (key: string, subject?: string): Promise<Asked> =>
      ask(second().connectUrl, cluster.agentKey, request(key, subject));
    const command = async (...args: string[]): Promise<void> => {
      const { Redis } = await import("ioredis");
      const client = new Redis(redis.port);
      await client.call(args[0] as string, ...args.slice(1));
      client.disconnect();
    };

    test("an agent frozen through one replica is denied by the other within a second, its earlier allows too", async () => {
      const key = await makeAgent("frosty", cluster.env);
      const through = { ...cluster.env, DATACRAWL_DATA_DIR: first().dataDir };
      const askAs = (service: ServiceProcess, idempotencyKey: string): Promise<Asked> =>
        ask(service.connectUrl, key, request(idempotencyKey));
      const earlier = await askAs(second(), "before");
      // Both know it: this one from Redis, where the allow stays until it is a day old.
      expect((await askAs(first(), "before")).body).toMatchObject({ replayed: true, decision: "DECISION_ALLOW" });
      expect((await cli(["agent", "freeze", "frosty", "--reason", "test"], through)).status).toBe(0);
      await sleep(1000);
      for (const service of services)
        for (const idempotencyKey of ["before", "after"]) {
          const { body } = await askAs(service, idempotencyKey);
          expect(body).toMatchObject({ decision: "DECISION_DENY", reason: "REASON_AGENT_FROZEN" });
        }
      const { rows } = await database.query(
        "SELECT count(*)::int AS n FROM audit_decisions WHERE reason = 'AGENT_FROZEN' AND linked_decision_id = $1",
        [earlier.body["decisionId"]],
      );
      expect(rows).toEqual([{ n: 2 }]);
      expect((await cli(["agent", "unfreeze", "frosty", "--reason", "test"], through)).status).toBe(0);
      const isAllowed = async (): Promise<boolean> => {
        const { body } = await askAs(second(), "before");
        return body["decision"] === "DECISION_ALLOW" && body["decisionId"] === earlier.body["decisionId"];
      };
      await waitUntil(isAllowed, 20_000, "the earlier allow is not back");
    });

    test("a key that was used with one tool is denied with another one: by each process, under one id of its own", async () => {
      const asked = request("one-tool");
      const allowed = await ask(first().connectUrl, cluster.agentKey, asked);
      expect(allowed.body).toMatchObject({ decision: "DECISION_ALLOW", tool: asked.tool });
      const reused = await Promise.all(
        services.map(({ connectUrl }) => ask(connectUrl, cluster.agentKey, { ...asked, tool: "shell.exec" })),
      );
      for (const { body } of reused)
        expect(body).toMatchObject({ decision: "DECISION_DENY", reason: "REASON_IDEMPOTENCY_KEY_REUSED" });
      expect(new Set(reused.map(({ body }) => body["decisionId"])).size).toBe(1);
      expect(reused[0]?.body["decisionId"]).not.toBe(allowed.body["decisionId"]);
      expect((await askSecond("one-tool")).body).toMatchObject({
        replayed: true,
        decisionId: allowed.body["decisionId"],
      });
    });

    test("flushed in mid-race", async () => {
      let racing = true;
      const flushing = (async () => {
        while (racing) await command("FLUSHALL");
      })();
      for (let round = 0; round < amount(5, 50); round++) await race(services, `flush-${round}`, 16);
      racing = false;
      // The last one would empty the Redis of the next test.
      await flushing;
    });

    test("lying: values altered, or moved from one key to another, are not believed", async () => {
      const { Redis } = await import("ioredis");
      const client = new Redis(redis.port);
      await client.flushall();
      const allowed = await askFirst("lie-allow");
      const [name] = await client.keys("*");
      const stolen = await client.getBuffer(name as string);
      // A request that policy denies, whose cached answer is replaced by the other's allow.
      const denied = { tool: "shell.exec", payload: { command: "rm -rf /" }, idempotencyKey: "lie-deny" };
      const before = await ask(first().connectUrl, cluster.agentKey, denied);
      for (const key of await client.keys("*")) await client.set(key, stolen as Buffer);
      const after = await ask(second().connectUrl, cluster.agentKey, denied);
      expect(before.body["decision"]).toBe("DECISION_DENY");
      expect(after.body).toMatchObject({ decision: "DECISION_DENY", decisionId: before.body["decisionId"] });
      for (const garbage of ["", "x", "\0".repeat(64), "A".repeat(100_000)]) {
        for (const key of await client.keys("*")) await client.set(key, garbage);
        expect((await askSecond("lie-allow")).body["decisionId"]).toBe(allowed.body["decisionId"]);
      }
      // Not even a string; in one step, as the service may just be remembering it anew.
      for (const key of await client.keys("*")) await client.multi().del(key).lpush(key, "x").exec();
      expect((await askSecond("lie-allow")).body["decisionId"]).toBe(allowed.body["decisionId"]);
      client.disconnect();
    });

    test("stalled: answers come from Postgres, and are the same", async () => {
      const before = await askFirst("stall");
      process.kill(redis.pid, "SIGSTOP");
      try {
        expect((await askSecond("stall")).body).toMatchObject({
          decisionId: before.body["decisionId"],
          replayed: true,
        });
        await race(services, "stalled-race", 16);
      } finally {
        process.kill(redis.pid, "SIGCONT");
      }
    });

    test("gone, and back", async () => {
      const before = await askFirst("gone");
      const { port } = redis;
      await redis.stop();
      expect((await askSecond("gone")).body["decisionId"]).toBe(before.body["decisionId"]);
      await race(services, "gone-race", 16);
      redis = (await startRedis(port)) as RedisServer;
      expect((await askSecond("gone")).body["decisionId"]).toBe(before.body["decisionId"]);
      await race(services, "back-race", 16);
    });
  });
});
