import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { Redis } from "ioredis";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { cli } from "../support/cli.ts";
import { makeAgent } from "../support/cluster.ts";
import { makeDatabase, type PostgresServer, startPostgres } from "../support/postgres.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { ask, type Asked, discard, type ServiceProcess, startService, tempDir } from "../support/service.ts";
import { startSidecar } from "../support/sidecar.ts";

const SECRET = "hunter2-Zebra-4f1c";
const NUMBER = 918273645546;
/** As a text is found in files and answers: as it is, in hex and in base64, which has three phases. */
const SPELLINGS = [SECRET, String(NUMBER)].flatMap((text) => [
  text,
  Buffer.from(text).toString("hex"),
  ...[0, 1, 2].map((skip) =>
    Buffer.from(text)
      .subarray(skip)
      .toString("base64")
      .replace(/.{0,2}=*$/, ""),
  ),
]);

const POLICY = `
redact:
  - tools: ["pay.*"]
    paths: [payload.card.number, "payload.*.password"]
rules:
  - { id: real-card, tools: [pay.charge], effect: allow, when: payload.card.number.startsWith("hunter2-") }
  - { id: no-number, tools: [pay.refund], effect: deny, when: payload.card.number > 5 }
  - { id: ask, tools: [pay.vault], effect: needs_review }
`;

const payload = {
  card: { number: SECRET, name: "Ann" },
  user: { password: { nested: [SECRET, NUMBER] } },
  users: [{ password: NUMBER }],
  amount: 7,
};

/** Every text in which a secret was found, by where. */
function leaks(texts: Iterable<readonly [string, string | Buffer]>): string[] {
  const found: string[] = [];
  for (const [where, text] of texts) {
    for (const spelling of SPELLINGS) if (text.includes(spelling)) found.push(`${where}: ${spelling}`);
  }
  return found;
}

function* filesBelow(directory: string): Generator<readonly [string, Buffer]> {
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    const path = join(directory, name);
    if (statSync(path).isFile()) yield [path, readFileSync(path)];
  }
}

type Query = (sql: string) => Promise<Record<string, unknown>[]>;

async function tables(query: Query): Promise<[string, string][]> {
  const names = await query(
    `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
     WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`,
  );
  const dumps: [string, string][] = [];
  for (const { name } of names) {
    const rows = await query(`SELECT t::text AS row FROM ${String(name)} t`);
    dumps.push([String(name), rows.map(({ row }) => String(row)).join("\n")]);
  }
  return dumps;
}

/** Asks in every way that leads to an answer, an error or a row, and collects what was said. */
async function askEverything(service: ServiceProcess, key: string): Promise<Asked[]> {
  const call = (idempotencyKey: string, change: Record<string, unknown> = {}): Promise<Asked> =>
    ask(service.connectUrl, key, { tool: "pay.charge", payload, idempotencyKey, ...change });
  const outcomes = [
    await call("allowed"),
    await call("allowed"),
    await call("allowed", { payload: { ...payload, amount: 8 } }),
    await call("rule-error", { tool: "pay.refund" }),
    await call("review", { tool: "pay.vault" }),
    await call("no-rule", { tool: "pay.other" }),
    // Members of a redacted value are part of it, and errors name members.
    await call("nul", { payload: { card: { number: { [SECRET]: "\0" } } } }),
    await call("deep", {
      payload: { user: { password: { [SECRET]: JSON.parse(`${"[".repeat(70)}${"]".repeat(70)}`) } } },
    }),
    await call("too-many", { payload: { a: Array.from({ length: 1025 }, () => ({ password: SECRET })) } }),
    await call("too-long", { payload: { card: { number: SECRET.repeat(20_000) } } }),
    await call("", {}),
    await call("wrong-payload", { payload: SECRET }),
  ];
  expect(outcomes.map(({ status, body }) => body["reason"] ?? status)).toEqual([
    "REASON_RULE_ALLOWED",
    "REASON_RULE_ALLOWED",
    "REASON_IDEMPOTENCY_KEY_REUSED",
    "REASON_RULE_ERROR",
    "REASON_REVIEW_PENDING",
    "REASON_NO_MATCHING_RULE",
    ...Array.from({ length: 6 }, () => 400),
  ]);
  expect(outcomes[6]?.body["message"]).toContain("payload.card.number holds a redacted value, in which something");
  expect(outcomes[8]?.body["message"]).toContain("at most 1024");
  return outcomes;
}

async function journal(key: string): Promise<(readonly [string, Buffer])[]> {
  // Nobody listens on port 1: the sidecar decides alone, and writes it down.
  const sidecar = await startSidecar(1, key);
  const request = { tool: "pay.charge", payload, idempotencyKey: "alone" };
  const answer = await ask(sidecar.connectUrl, "", request);
  await sidecar.kill("SIGTERM");
  expect(answer.body["decision"]).toBe("DECISION_DENY");
  const files = [...filesBelow(sidecar.journalDir)];
  expect(files.some(([, text]) => text.includes("pay.charge"))).toBe(true);
  rmSync(sidecar.journalDir, { recursive: true });
  return files;
}

const policyDir = tempDir();
beforeAll(() => writeFileSync(join(policyDir, "pay.yaml"), POLICY));
afterAll(() => rmSync(policyDir, { recursive: true }));
const settings = { DATACRAWL_POLICY_DIR: policyDir, DATACRAWL_LOG_LEVEL: "debug" };

describe("a redacted value is decided on, and nowhere afterwards", () => {
  test("with the embedded store: no table, file, log, metric or answer", async () => {
    const service = await startService(settings);
    try {
      const key = await makeAgent("payer", { DATACRAWL_DATA_DIR: service.dataDir });
      const outcomes = await askEverything(service, key);
      const shown = await cli(["audit", "show", String(outcomes[0]?.body["decisionId"]), "--json"], {
        DATACRAWL_DATA_DIR: service.dataDir,
      });
      const metrics = await (await fetch(`${service.connectUrl}/metrics`)).text();
      await service.kill("SIGTERM");

      const database = await PGlite.create(join(service.dataDir, "db"));
      const dumps = await tables(async (sql) => (await database.query<Record<string, unknown>>(sql)).rows);
      await database.close();
      const stored = dumps.map(([, rows]) => rows).join("\n");
      expect(stored.match(/hmac-sha256-128:[0-9a-f]{32}/g)?.length).toBeGreaterThan(10);
      const { out, err } = service.output();
      const said: [string, string][] = [
        ["answers", JSON.stringify(outcomes)],
        ["audit show", shown.stdout + shown.stderr],
        ["metrics", metrics],
        ["stdout", out],
        ["log", err],
      ];
      expect(shown.status, shown.stderr).toBe(0);
      expect(leaks([...dumps, ...said, ...filesBelow(service.dataDir)])).toEqual([]);
    } finally {
      await discard(service);
    }
  }, 120_000);

  test("nor in the journal of a guard that decides alone", async () => {
    expect(leaks(await journal(`dc_agent_payer_0a1b2c3d4e5f_${"c0".repeat(32)}`))).toEqual([]);
  });
});

describe.skipIf(inject("postgresUrl") === null || inject("redisUrl") === null)(
  "the same, with Postgres and Redis",
  { tags: ["full"] },
  () => {
    let postgres: PostgresServer;
    let redis: RedisServer;
    let service: ServiceProcess | undefined;
    const keysDir = tempDir();

    beforeAll(async () => {
      // A server of its own, for its files are read; its log goes where Debian's does, and says what it does by default.
      postgres = (await startPostgres(["logging_collector=on"])) as PostgresServer;
      redis = (await startRedis()) as RedisServer;
    }, 60_000);
    afterAll(async () => {
      await discard(service);
      await redis.stop();
      await postgres.stop();
      rmSync(keysDir, { recursive: true });
    });

    test("nor in Postgres' files and log, though statements fail, nor in Redis", async () => {
      const { ownerUrl, serviceUrl, superUrl } = await makeDatabase(postgres.url);
      const env = {
        ...settings,
        DATABASE_URL: serviceUrl,
        DATABASE_OWNER_URL: ownerUrl,
        REDIS_URL: redis.url,
        DATACRAWL_KEYS_DIR: keysDir,
      };
      for (const command of ["keys init", "migrate"]) expect((await cli(command.split(" "), env)).status).toBe(0);
      const key = await makeAgent("payer", { ...env, DATACRAWL_DATA_DIR: tempDir() });
      service = await startService(env);
      const outcomes = await askEverything(service, key);

      const database = new pg.Client(superUrl);
      await database.connect();
      // Rows that break a constraint are in Postgres' log whole.
      await database.query(
        "ALTER TABLE audit_payloads ADD CONSTRAINT refused CHECK (canonical NOT LIKE '%poison%') NOT VALID",
      );
      const call = { tool: "pay.charge", payload: { ...payload, note: "poison" }, idempotencyKey: "poison" };
      const poisoned = await ask(service.connectUrl, key, call);
      await database.query("ALTER TABLE audit_payloads RENAME TO elsewhere");
      const failed = await ask(service.connectUrl, key, { ...call, idempotencyKey: "no table" });
      expect([poisoned.status, failed.status]).toEqual([500, 503]);
      await service.kill("SIGTERM");

      const dumps = await tables(async (sql) => (await database.query<Record<string, unknown>>(sql)).rows);
      const [directory] = (await database.query<{ data_directory: string }>("SHOW data_directory")).rows;
      await database.query("CHECKPOINT");
      await database.end();
      const files = [...filesBelow(String(directory?.data_directory))];
      const log = files.filter(([path]) => path.includes("/log/")).map(([, text]) => text.toString());
      expect(log.join("\n")).toMatch(/Failing row contains.*\$redacted/);
      const { out, err } = service.output();
      const said: [string, string][] = [
        ["answers", JSON.stringify([...outcomes, poisoned, failed])],
        ["output", out + err],
        ...(await redisValues(redis.url)),
      ];
      expect(leaks([...dumps, ...said, ...files])).toEqual([]);
    });
  },
);

async function redisValues(url: string): Promise<[string, string][]> {
  const redis = new Redis(url);
  const names = await redis.keys("*");
  const values = await Promise.all(
    names.map(async (name) => [name, String(await redis.get(name))] as [string, string]),
  );
  redis.disconnect();
  expect(values.length).toBeGreaterThan(0);
  return values;
}
