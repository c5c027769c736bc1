import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { BinaryFields } from "../../src/audit/binary-row.ts";
import { CommitUnknown, type Entry } from "../../src/audit/writer.ts";
import type { Database, QueryOptions, Session, SqlParam } from "../../src/store/database.ts";
import { PostgresDatabase } from "../../src/store/postgres.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { entryFor } from "../support/entries.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { startTcpProxy, type TcpProxy, throughPort } from "../support/tcp-proxy.ts";

/** Acts on the proxy around one statement, as the network would. */
class Disturbed implements Database {
  readonly #database: Database;
  readonly #before: (text: string) => void;

  constructor(database: Database, before: (text: string) => void) {
    this.#database = database;
    this.#before = before;
  }

  query<Row>(text: string, params?: readonly SqlParam[], options: QueryOptions = {}): Promise<Row[]> {
    this.#before(text);
    return this.#database.query<Row>(text, params, { ...options, timeoutMs: 500 });
  }

  transaction<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.#database.transaction(work);
  }

  copy(query: string, each: (fields: BinaryFields) => void): Promise<void> {
    return this.#database.copy(query, each);
  }

  script(text: string): Promise<void> {
    return this.#database.script(text);
  }

  close(): Promise<void> {
    return this.#database.close();
  }
}

describe.skipIf(inject("postgresUrl") === null)("a commit whose answer is lost", () => {
  let store: TestStore;
  let proxy: TcpProxy;
  let viaProxy: PostgresDatabase;

  beforeAll(async () => {
    store = (await storeKinds()
      .find(({ name }) => name === "Postgres")
      ?.open()) as TestStore;
    proxy = await startTcpProxy(Number(new URL(store.serviceUrl as string).port));
    viaProxy = new PostgresDatabase(throughPort(store.serviceUrl as string, proxy.port), {
      connections: 4,
      onError: () => undefined,
    });
    await viaProxy.query("SELECT 1");
  });
  afterAll(async () => {
    await viaProxy.close();
    await proxy.close();
    await store.close();
  });

  const exists = async (key: string): Promise<boolean> => {
    const rows = await store.database.query("SELECT 1 FROM audit_decisions WHERE idempotency_key = $1", [key]);
    return rows.length > 0;
  };
  const isRecord = (text: string): boolean => text.includes("INSERT INTO audit_decisions");

  test("failed: nothing reached Postgres, and the commit is unknown", async () => {
    const records = new SqlRecordStore(
      new Disturbed(viaProxy, (text) => proxy.setMode(isRecord(text) ? "stall" : "pass")),
    );
    await expect(records.recordBatch([entryFor("failed")])).rejects.toThrow(CommitUnknown);
    expect(await exists("failed")).toBe(false);
  });

  test("failed but persisted: the row is read back, and counts as written", async () => {
    const records = new SqlRecordStore(
      new Disturbed(viaProxy, (text) => proxy.setMode(isRecord(text) ? "mute" : "pass")),
    );
    const entry = entryFor("persisted");
    const written = await records.recordBatch([entry]);
    expect([...written]).toEqual([[entry.row.decisionId, { claimExpiresAt: null }]]);
    expect(await exists("persisted")).toBe(true);
  });

  test("failed but persisted in part: of a batch those alone are read back that won their claims", async () => {
    const direct = new SqlRecordStore(store.database);
    await direct.recordBatch([entryFor("taken-1"), entryFor("taken-2")]);
    const records = new SqlRecordStore(
      new Disturbed(viaProxy, (text) => proxy.setMode(isRecord(text) ? "mute" : "pass")),
    );
    const [winners, losers] = [
      ["won-1", "won-2"].map((key) => entryFor(key)),
      ["taken-1", "taken-2"].map((key) => entryFor(key)),
    ] as const;
    const written = await records.recordBatch([losers[0], winners[0], losers[1], winners[1]] as Entry[]);
    expect(new Set(written.keys())).toEqual(new Set(winners.map(({ row }) => row.decisionId)));
    proxy.setMode("pass");
  });

  test("failed but persisted, and reading back fails as well: the commit is unknown, never taken for written", async () => {
    const records = new SqlRecordStore(new Disturbed(viaProxy, () => proxy.setMode("mute")));
    await expect(records.recordBatch([entryFor("unknown")])).rejects.toThrow(CommitUnknown);
    proxy.setMode("pass");
    expect(await exists("unknown")).toBe(true);
  });

  test("a batch that lost its race and its answer is unknown: there is nothing to read back", async () => {
    await new SqlRecordStore(store.database).recordBatch([entryFor("lost")]);
    await viaProxy.query("SELECT 1");
    const records = new SqlRecordStore(
      new Disturbed(viaProxy, (text) => proxy.setMode(isRecord(text) ? "mute" : "pass")),
    );
    await expect(records.recordBatch([entryFor("lost")])).rejects.toThrow(CommitUnknown);
    proxy.setMode("pass");
  });

  test("a warning on commit, as a lost standby causes, is not durable", async () => {
    const text = "DO $$ BEGIN RAISE WARNING 'canceling wait for synchronous replication due to user request'; END $$";
    await expect(store.database.query(text)).rejects.toMatchObject({ outcome: "unknown" });
  });
});
