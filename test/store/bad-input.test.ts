import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test, vi } from "vitest";
import { makeEvent } from "../../src/audit/row/event.ts";
import { RecordWriter } from "../../src/audit/write/writer.ts";
import { systemClock } from "../../src/core/clock.ts";
import { Fault, UsageError } from "../../src/core/fault.ts";
import { FIRST } from "../../src/idempotency/ledger.ts";
import { SqlAgentStore } from "../../src/store/agents.ts";
import { SqlCircuitCommands } from "../../src/store/circuit-commands.ts";
import { SqlDecisionSearch } from "../../src/store/decision-search.ts";
import { SqlDecisionReader } from "../../src/store/decisions.ts";
import type { Database } from "../../src/store/dialect/database.ts";
import { EmbeddedDatabase } from "../../src/store/dialect/embedded.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { SqlEventStore } from "../../src/store/events.ts";
import { SqlGuardRecords } from "../../src/store/guard-records.ts";
import { layoutProblem, migrate } from "../../src/store/migrate.ts";
import { MIGRATIONS } from "../../src/store/migrations/index.ts";
import { SqlOperatorStore } from "../../src/store/operators.ts";
import { SqlPayloadStore } from "../../src/store/payloads.ts";
import { SqlPolicyBundles } from "../../src/store/policy-bundles.ts";
import { SqlTreeReader } from "../../src/store/proofs.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { SqlReviewStore } from "../../src/store/reviews.ts";
import { SqlSealStore } from "../../src/store/seals.ts";
import { SqlSessionStore } from "../../src/store/sessions.ts";
import { SqlVerificationRuns } from "../../src/store/verification-runs.ts";
import { SqlOutbox } from "../../src/store/webhooks.ts";
import { emptyEmbedded, migratedEmbedded } from "../support/embedded.ts";
import { entryFor, random } from "../support/entries.ts";
import { ownDirectory } from "../support/owned.ts";
import { makeDatabase, makeMigratedDatabase } from "../support/postgres.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { query, script } from "../support/sql.ts";
import { EVERY_DECISION } from "../../src/audit/row/decision-filter.ts";

const silent = (): void => undefined;
const UUID = "0195e0b2-0000-7000-8000-000000000001";
const REFUSED = { name: "SqlError", outcome: "rolled_back", isOutage: false };

function eventAbout(subject: string, actor = "socket") {
  return makeEvent({ kind: "test.event", actor, subject }, systemClock.now(), random);
}

/** All that repositories do with text, with an id, and with a number of callers'. */
function repositories({ kysely }: Database) {
  return {
    agents: new SqlAgentStore(kysely),
    commands: new SqlCircuitCommands(kysely),
    decisions: new SqlDecisionReader(kysely),
    events: new SqlEventStore(kysely),
    guards: new SqlGuardRecords(kysely),
    operators: new SqlOperatorStore(kysely),
    outbox: new SqlOutbox(kysely),
    payloads: new SqlPayloadStore(kysely),
    policies: new SqlPolicyBundles(kysely),
    records: new SqlRecordStore(kysely),
    reviews: new SqlReviewStore(kysely),
    runs: new SqlVerificationRuns(kysely),
    search: new SqlDecisionSearch(kysely),
    sessions: new SqlSessionStore(kysely),
    tree: new SqlTreeReader(kysely),
  };
}
type Repositories = ReturnType<typeof repositories>;

let epoch = 1;
const command = { kind: "reset", operator: "alice", issuedAt: 1, expiresAt: null } as const;
const position = { at: systemClock.now() + 3600e6, id: UUID };

const WITH_TEXT: readonly [string, (text: string, on: Repositories) => Promise<unknown>][] = [
  ["an agent's id", (text, { agents }) => agents.create(text, null, eventAbout("x"))],
  ["a key's id", (text, { agents }) => agents.addKey("nobody", { keyId: text, secretHash: FIRST }, eventAbout("x"))],
  ["an agent's state", (text, { agents }) => agents.changeState(text, ["active"], "frozen", eventAbout("x"))],
  ["a prefix of agents' ids", (text, { agents }) => agents.list(text, "", 10)],
  ["a place among agents", (text, { agents }) => agents.list("", text, 10)],
  ["an event's subject", (text, { events }) => events.append(eventAbout(text))],
  ["an event's actor", (text, { events }) => events.append(eventAbout("x", text))],
  ["an operator's name", (text, { operators }) => operators.create(text, "viewer", "hash", eventAbout("x"))],
  ["a place among operators", (text, { operators }) => operators.list(text, 10)],
  ["the name of an account", (text, { sessions }) => sessions.account(text)],
  [
    "the reason of an order",
    (text, { commands }) =>
      commands.add({ ...command, agentId: "ordered", epoch: epoch++, reason: text }, eventAbout("x")),
  ],
  ["a policy's version", (text, { policies }) => policies.keep(text, [])],
  ["a circuit's report", (text, { guards }) => guards.report("demo", UUID, text)],
  ["a claim's key", (text, { records }) => records.findClaim("demo", text, FIRST)],
  ["a decision's text", (text, { search }) => search.search({ ...EVERY_DECISION, text }, position, 10)],
  ["a decision's tool", (text, { search }) => search.search({ ...EVERY_DECISION, tool: `${text}.*` }, position, 10)],
  [
    "a decision's reason",
    (text, { search }) => search.search({ ...EVERY_DECISION, reasons: [text as "RULE_DENIED"] }, position, 10),
  ],
  [
    "a review's agent",
    (text, { reviews }) => reviews.list({ state: null, agentId: text, tool: text, before: null, limit: 10 }),
  ],
];

const WITH_ID: readonly [string, (id: string, on: Repositories) => Promise<unknown>][] = [
  ["a decision", (id, { decisions }) => decisions.find(id)],
  ["linked decisions", (id, { decisions }) => decisions.linked(id, id)],
  ["a claim", (id, { records }) => records.findClaimOf("demo", id)],
  ["a leaf", (id, { tree }) => tree.placeOf(id)],
  ["a review", (id, { reviews }) => reviews.find(id)],
  ["a decision's review", (id, { reviews }) => reviews.findByDecision(id)],
  [
    "a place among reviews",
    (id, { reviews }) => reviews.list({ state: null, agentId: null, tool: null, before: id, limit: 10 }),
  ],
  ["resolved decisions", (id, { reviews }) => reviews.resolvedAmong([UUID, id])],
  ["a run", (id, { runs }) => runs.find(id)],
  ["a payload", (id, { payloads }) => payloads.erase(id, eventAbout("x"))],
  ["a webhook's message", (id, { outbox }) => outbox.retry(id, eventAbout("x"))],
  ["a journal", (id, { guards }) => guards.known("demo", id, [])],
  [
    "a place among circuits",
    (id, { guards }) =>
      guards.circuits({ agentId: null, excludeClosed: false, after: { agentId: "a", journalId: id }, limit: 10 }),
  ],
  ["a place among decisions", (id, { search }) => search.between({ at: 0, id }, 1, 10)],
];

const WITH_NUMBER: readonly [string, (number: number, on: Repositories) => Promise<unknown>][] = [
  ["runs", (before, { runs }) => runs.list(before, 10)],
  ["policies", (before, { policies }) => policies.list(before, 10)],
  ["messages", (before, { outbox }) => outbox.list({ state: null, before, limit: 10 })],
  ["decisions", (at, { search }) => search.search(EVERY_DECISION, { at, id: UUID }, 10)],
];

const HOSTILE = [
  ["SQL", "'; DROP TABLE agents; --"],
  ["quotes and backslashes", '"quoted" \\ back\\slash \\\\'],
  ["arrays, NULL and placeholders", "{a,b} NULL null $1 ${x} %s"],
  ["wildcards", "%_%"],
  ["control characters", "line\nbreak\ttab\r\u0001\u007f"],
  ["text from right to left, pairs and marks", "\u202eright to left\u2066 𝒳 e\u0301 \uffff"],
  ["text of 10,000 characters", "x".repeat(10_000)],
] as const;

describe.each(storeKinds())("bad input on $name", ({ open }) => {
  let store: TestStore;
  let on: Repositories;
  beforeAll(async () => {
    store = await open();
    on = repositories(store.database);
    await on.agents.create("ordered", null, eventAbout("x"));
  });
  afterAll(() => store.close());

  const count = async (where: string): Promise<unknown> =>
    (await query(store.database, `SELECT count(*) AS n FROM ${where}`))[0]?.["n"];

  test.each(HOSTILE)("%s is data, wherever it goes", async (_, text) => {
    for (const [what, use] of WITH_TEXT) {
      // No index takes as much as a message may have.
      if (text.length > 1000 && /agent's id|name$|policy/.test(what)) continue;
      await expect(use(text, on), what).resolves.not.toThrow();
    }
    if (text.length < 1000) expect((await on.agents.find(text))?.agentId).toBe(text);
    const [event] = await query(store.database, "SELECT actor FROM audit_events WHERE actor = $1", [text]);
    expect(event).toEqual({ actor: text });
  });

  test("a prefix is compared letter by letter, not as a pattern", async () => {
    await on.agents.create("100%", null, eventAbout("x"));
    await on.agents.create("100_", null, eventAbout("x"));
    expect((await on.agents.list("100%", "", 10)).map(({ agentId }) => agentId)).toEqual(["100%"]);
    expect((await on.agents.list("100_", "", 10)).map(({ agentId }) => agentId)).toEqual(["100_"]);
  });

  test.each(WITH_TEXT)("NUL in %s is refused as the caller's mistake, and changes nothing", async (_, use) => {
    const before = await count("audit_events");
    await expect(use("a\0b", on)).rejects.toMatchObject({ ...REFUSED, sqlState: "22021" });
    expect(await count("audit_events")).toBe(before);
  });

  test("a lone surrogate becomes a replacement character where it is a parameter, and poisons a batch", async () => {
    await on.agents.create("lone \ud800", null, eventAbout("x"));
    expect((await on.agents.list("lone ", "", 10)).map(({ agentId }) => agentId)).toEqual(["lone \ufffd"]);
    for (const text of ["high \ud800", "low \udc00", "\udc00\ud800"]) {
      const poisoned = on.records.recordBatch([entryFor(text, { message: text })]);
      await expect(poisoned, JSON.stringify(text)).rejects.toMatchObject({ name: "PoisonedBatch" });
    }
  });

  test.each(WITH_ID)("%s under an id that is no UUID is refused as the caller's mistake", async (_, use) => {
    for (const id of ["17", "", "' OR '1'='1", `${UUID}\n0`, UUID.replace("0195", "019g")])
      await expect(use(id, on), id).rejects.toMatchObject({ ...REFUSED, sqlState: "22P02" });
  });

  test.each(WITH_NUMBER)(
    "a page of %s from where no page begins is refused, and one beyond all is empty",
    async (_, use) => {
      for (const number of [Number.NaN, 1.5, Infinity, 1e300])
        await expect(use(number, on), String(number)).rejects.toMatchObject({ ...REFUSED, sqlState: /^22/ });
      expect(await use(-1, on)).toEqual([]);
      await expect(use(Number.MAX_SAFE_INTEGER, on)).resolves.toBeInstanceOf(Array);
    },
  );

  test("one poisoned row among 255 good ones fails alone, and each other is written once", async () => {
    const errors: unknown[] = [];
    const observer = { batch: silent, storeError: (error: unknown) => errors.push(error) };
    const writer = new RecordWriter(on.records, () => 0, observer);
    const entries = Array.from({ length: 256 }, (_, index) =>
      entryFor(`among ${index}`, { tool: "among", message: index === 77 ? "a\0b" : "Allowed." }),
    );
    const answers = await Promise.allSettled(entries.map((entry) => writer.record(entry, { at: 1 })));
    const failed = answers.flatMap((answer, index) => (answer.status === "rejected" ? [[index, answer.reason]] : []));
    expect(failed).toEqual([[77, expect.objectContaining({ code: "INTERNAL" })]]);
    expect(answers.filter((answer) => answer.status === "fulfilled" && answer.value === null)).toEqual([]);
    expect(await count("audit_decisions WHERE tool = 'among'")).toBe(255);
    expect(await count("idempotency_claims WHERE idempotency_key LIKE 'among %'")).toBe(255);
  });

  test("a batch with an id that is no UUID, or a time beyond all times, is poisoned", async () => {
    for (const change of [{ decisionId: "17" }, { recordedAt: 2 ** 62 }])
      await expect(on.records.recordBatch([entryFor("wrong", change)])).rejects.toMatchObject({
        name: "PoisonedBatch",
      });
    expect(await count("audit_decisions WHERE idempotency_key = 'wrong'")).toBe(0);
  });
});

describe.each(storeKinds())("a database on $name that is read-only", ({ name, open }) => {
  let store: TestStore;
  let database: Database;
  const readOnly = async (value: "on" | "off"): Promise<void> => {
    if (name === "embedded") return void (await query(store.database, `SET default_transaction_read_only = ${value}`));
    const service = new URL(store.serviceUrl as string);
    await query(
      store.owner,
      `ALTER DATABASE ${service.pathname.slice(1)} SET default_transaction_read_only = ${value}`,
    );
    await database.close();
    database = new PostgresDatabase(service.href, { connections: 2, onError: silent });
  };
  beforeAll(async () => {
    store = await open();
    database =
      name === "embedded"
        ? store.database
        : new PostgresDatabase(store.serviceUrl as string, { connections: 2, onError: silent });
  });
  afterAll(async () => {
    if (name !== "embedded") await database.close();
    await store.close();
  });

  test("is an outage to whoever writes, is read, and is written again afterwards", async () => {
    const outage = { name: "SqlError", sqlState: "25006", outcome: "rolled_back", isOutage: true };
    await new SqlRecordStore(database.kysely).recordBatch([entryFor("before")]);
    await readOnly("on");
    const { agents, records } = repositories(database);
    await expect(records.recordBatch([entryFor("during")])).rejects.toMatchObject(outage);
    await expect(agents.create("during", null, eventAbout("x"))).rejects.toMatchObject(outage);
    const seals = new SqlSealStore(database.kysely);
    const sealed = seals.seal((transaction) => transaction.sealRows({ epoch: 1, from: 0, since: 0, limit: 10 }));
    await expect(sealed).rejects.toMatchObject(outage);
    const writer = new RecordWriter(records, () => 0, { batch: silent, storeError: silent });
    const answer = writer.record(entryFor("during"), { at: 1 }).catch((error: Fault) => error.code);
    expect(await answer).toBe("STORE_UNAVAILABLE");
    expect(await records.findClaim("demo", "before", FIRST)).not.toBeNull();
    expect(await records.findClaim("demo", "during", FIRST)).toBeNull();
    await readOnly("off");
    expect((await new SqlRecordStore(database.kysely).recordBatch([entryFor("during")])).size).toBe(1);
  });
});

/** A database with or without our tables, which can vanish. */
interface Fragile {
  readonly owner: Database;
  /** Resolves when the database is at the statement that was sent last. */
  readonly isBusy: () => Promise<void>;
  /** Ends the database's work at once, in the middle of whatever it does. */
  readonly vanish: () => Promise<void>;
  /** The database when it is there again. */
  readonly back: () => Promise<Database>;
  readonly close: () => Promise<void>;
}

type Contents = "nothing" | "our tables";

async function fragileEmbedded(contents: Contents): Promise<Fragile> {
  const directory = ownDirectory(mkdtempSync(join(tmpdir(), "datacrawl-embedded-")));
  await (contents === "nothing" ? emptyEmbedded(directory) : migratedEmbedded(directory));
  const openAgain = () => EmbeddedDatabase.open(join(directory, "db"), silent);
  const databases = [await openAgain()];
  return {
    owner: databases[0] as Database,
    // There is one session, which takes what it is sent in the next turn.
    isBusy: () => new Promise((resolve) => setImmediate(resolve)),
    vanish: async () => await databases[0]?.close(),
    back: async () => databases[databases.push(await openAgain()) - 1] as Database,
    close: async () => {
      for (const database of databases) await database.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function fragilePostgres(serverUrl: string, contents: Contents): Promise<Fragile> {
  const { ownerUrl, superUrl } = await (contents === "nothing" ? makeDatabase : makeMigratedDatabase)(serverUrl);
  const owner = new PostgresDatabase(ownerUrl, { connections: 2, onError: silent });
  const superuser = new PostgresDatabase(superUrl, { connections: 1, onError: silent });
  const others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
  return {
    owner,
    isBusy: async () => {
      const active = (): Promise<unknown[]> => query(superuser, `SELECT pid ${others} AND state = 'active'`);
      await vi.waitFor(async () => expect(await active()).not.toEqual([]), { timeout: 20_000 });
    },
    vanish: async () => {
      await query(superuser, `SELECT pg_terminate_backend(pid) ${others}`);
    },
    back: async () => owner,
    close: async () => {
      await owner.close();
      await superuser.close();
    },
  };
}

const url = inject("postgresUrl");
const FRAGILE = [
  { name: "embedded", open: fragileEmbedded },
  ...(url === null ? [] : [{ name: "Postgres", open: (contents: Contents) => fragilePostgres(url, contents) }]),
];

describe.each(FRAGILE)("a database on $name", ({ open }) => {
  let fragile: Fragile;
  afterEach(() => fragile.close());

  const tables = async (): Promise<unknown> => {
    const text = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname";
    return await query(fragile.owner, text);
  };

  test("that a newer version has migrated is refused by name, and nothing in it is touched", async () => {
    fragile = await open("our tables");
    const { owner } = fragile;
    await sql`INSERT INTO kysely_migration VALUES ('9999-tomorrow', '2030-01-01T00:00:00.000Z')`.execute(owner.kysely);
    const last = Object.keys(MIGRATIONS).at(-1);
    await sql`DELETE FROM kysely_migration WHERE name = ${last}`.execute(owner.kysely);
    const before = await tables();
    const refusal = migrate(owner, null);
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow("a newer version of DataCrawl (9999-tomorrow)");
    expect(await layoutProblem(owner)).toMatch(/\(9999-tomorrow\).*: run that version$/);
    expect(await tables()).toEqual(before);
  });

  test("that numbers its layouts, newer than this version's, is refused by name", async () => {
    fragile = await open("nothing");
    const { owner } = fragile;
    await script(
      owner,
      "CREATE TABLE schema_migrations (id int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()); INSERT INTO schema_migrations (id, name) VALUES (77, 'foreign')",
    );
    const before = await tables();
    await expect(migrate(owner, null)).rejects.toThrow("a newer version of DataCrawl (0077-foreign)");
    expect(await tables()).toEqual(before);
  });

  test("that holds another program's table of one of our names is left as it was", async () => {
    fragile = await open("nothing");
    const { owner } = fragile;
    await script(owner, "CREATE TABLE reviews (foreign_one int)");
    const before = await tables();
    await expect(migrate(owner, null)).rejects.toMatchObject({ message: 'relation "reviews" already exists' });
    expect(await tables()).toEqual(before);
    expect(await layoutProblem(owner)).toContain("has no DataCrawl tables");
  });

  test("that vanishes between two statements of a transaction leaves nothing of it, and says that it is gone", async () => {
    fragile = await open("our tables");
    const work = fragile.owner.kysely.transaction().execute(async (transaction) => {
      await new SqlEventStore(transaction).append(eventAbout("lost"));
      await fragile.vanish();
      await new SqlEventStore(transaction).append(eventAbout("lost"));
    });
    await expect(work).rejects.toMatchObject({ name: "SqlError", outcome: "unknown", isOutage: true });
    const back = await fragile.back();
    expect(await query(back, "SELECT 1 FROM audit_events")).toEqual([]);
    await new SqlEventStore(back.kysely).append(eventAbout("kept"));
  });

  test("that vanishes in the middle of a statement leaves open what became of it", async () => {
    fragile = await open("our tables");
    const asleep = query(fragile.owner, "SELECT pg_sleep(20)", [], { timeoutMs: 30_000 });
    const failure = asleep.catch((error: unknown) => error);
    await fragile.isBusy();
    await fragile.vanish();
    expect(await failure).toMatchObject({ name: "SqlError", outcome: "unknown", isOutage: true });
    expect(await query(await fragile.back(), "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });
});
