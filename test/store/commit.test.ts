import type { CompiledQuery, Kysely } from "kysely";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { CommitUnknown } from "../../src/audit/write/group-writer.ts";
import type { Entry } from "../../src/audit/write/writer.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { SqlExecutionStore } from "../../src/store/executions.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import type { Schema } from "../../src/store/schema.ts";
import type { Statement } from "../../src/store/dialect/statements.ts";
import { entryFor } from "../support/entries.ts";
import { endOf, startOf } from "../support/executions.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { startTcpProxy, type TcpProxy, throughPort } from "../support/tcp-proxy.ts";
import { query } from "../support/sql.ts";
import type { EndEntry, StartEntry } from "../../src/store/execution-entries.ts";

/** Acts on the proxy before each statement, as the network would, and waits half a second for its answer. */
function disturbed(db: Kysely<Schema>, before: (text: string) => void): Kysely<Schema> {
  const executeQuery = (query: CompiledQuery): Promise<unknown> => {
    before(query.sql);
    const statement: Statement<unknown> = { ...query, timeoutMs: 500 };
    return db.executeQuery(statement);
  };
  return new Proxy(db, {
    get: (target, key) => (key === "executeQuery" ? executeQuery : (Reflect.get(target, key, target) as unknown)),
  });
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
    await query(viaProxy, "SELECT 1");
  });
  afterAll(async () => {
    await viaProxy.close();
    await proxy.close();
    await store.close();
  });

  const exists = async (key: string): Promise<boolean> => {
    const rows = await query(store.database, "SELECT 1 FROM audit_decisions WHERE idempotency_key = $1", [key]);
    return rows.length > 0;
  };
  const isRecord = (text: string): boolean => text.includes("INSERT INTO audit_decisions");

  test("failed: nothing reached Postgres, and the commit is unknown", async () => {
    const records = new SqlRecordStore(
      disturbed(viaProxy.kysely, (text) => proxy.setMode(isRecord(text) ? "stall" : "pass")),
    );
    await expect(records.recordBatch([entryFor("failed")])).rejects.toThrow(CommitUnknown);
    expect(await exists("failed")).toBe(false);
  });

  test("failed but persisted: the row is read back, and counts as written", async () => {
    const records = new SqlRecordStore(
      disturbed(viaProxy.kysely, (text) => proxy.setMode(isRecord(text) ? "mute" : "pass")),
    );
    const entry = entryFor("persisted");
    const written = await records.recordBatch([entry]);
    expect([...written]).toEqual([[entry.row.decisionId, { claimExpiresAt: null }]]);
    expect(await exists("persisted")).toBe(true);
  });

  test("failed but persisted in part: of a batch those alone are read back that won their claims", async () => {
    const direct = new SqlRecordStore(store.database.kysely);
    await direct.recordBatch([entryFor("taken-1"), entryFor("taken-2")]);
    const records = new SqlRecordStore(
      disturbed(viaProxy.kysely, (text) => proxy.setMode(isRecord(text) ? "mute" : "pass")),
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
    const records = new SqlRecordStore(disturbed(viaProxy.kysely, () => proxy.setMode("mute")));
    await expect(records.recordBatch([entryFor("unknown")])).rejects.toThrow(CommitUnknown);
    proxy.setMode("pass");
    expect(await exists("unknown")).toBe(true);
  });

  test("a batch that lost its race and its answer is unknown: there is nothing to read back", async () => {
    await new SqlRecordStore(store.database.kysely).recordBatch([entryFor("lost")]);
    await query(viaProxy, "SELECT 1");
    const records = new SqlRecordStore(
      disturbed(viaProxy.kysely, (text) => proxy.setMode(isRecord(text) ? "mute" : "pass")),
    );
    await expect(records.recordBatch([entryFor("lost")])).rejects.toThrow(CommitUnknown);
    proxy.setMode("pass");
  });

  test.each(["start", "end"] as const)(
    "the %s of an execution whose answer is lost counts as written if it is found, and else nobody knows",
    async (which) => {
      const table = which === "start" ? "executions" : "execution_outcomes";
      const isWrite = (text: string): boolean => text.includes(`INSERT INTO ${table} (`);
      const direct = new SqlExecutionStore(store.database.kysely);
      const prepare = async (key: string) => {
        const entry = entryFor(`${which}-${key}`);
        await new SqlRecordStore(store.database.kysely).recordBatch([entry]);
        const start = startOf(entry);
        if (which === "end") await direct.startBatch([start]);
        return { entry, start, end: endOf(start) };
      };
      type Entries = { start: StartEntry; end: EndEntry };
      const write = async (all: Entries | Entries[], mode: "mute" | "stall") => {
        const entries = [all].flat();
        await query(viaProxy, "SELECT 1");
        const kysely = disturbed(viaProxy.kysely, (text) => proxy.setMode(isWrite(text) ? mode : "pass"));
        const lossy = new SqlExecutionStore(kysely);
        const written =
          which === "start"
            ? lossy.startBatch(entries.map(({ start }) => start))
            : lossy.endBatch(entries.map(({ end }) => end));
        return await written.finally(() => proxy.setMode("pass"));
      };
      const persisted = await prepare("persisted");
      expect([...(await write(persisted, "mute")).keys()]).toEqual([persisted[which].event.row.eventId]);
      const failed = await prepare("failed");
      await expect(write(failed, "stall")).rejects.toThrow(CommitUnknown);
      // Another one came first: what is found must be the entry's own.
      const late = { start: startOf(persisted.entry), end: endOf(persisted.start) };
      await expect(write(late, "mute")).rejects.toThrow(CommitUnknown);
      // In one batch with it, one that is first is read back, and the late one is not.
      const first = await prepare("first");
      expect([...(await write([late, first], "mute")).keys()]).toEqual([first[which].event.row.eventId]);
    },
  );

  test("a warning on commit, as a lost standby causes, is not durable", async () => {
    const text = "DO $$ BEGIN RAISE WARNING 'canceling wait for synchronous replication due to user request'; END $$";
    await expect(query(store.database, text)).rejects.toMatchObject({ outcome: "unknown" });
  });
});
