import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SqlGuardRecords } from "../../src/store/guard-records.ts";
import { guardEntryFor, random } from "../support/entries.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { query } from "../support/sql.ts";

const hashOf = ({ row }: ReturnType<typeof guardEntryFor>): Uint8Array => row.guardRecordHash as Uint8Array;

describe.each(storeKinds())("guards' records on $name", ({ name, open }) => {
  let store: TestStore;
  let guards: SqlGuardRecords;
  beforeAll(async () => {
    store = await open();
    guards = new SqlGuardRecords(store.database.kysely);
  });
  afterAll(() => store.close());

  const rowsOf = async (hash: Uint8Array): Promise<number> => {
    const text = "SELECT FROM audit_decisions WHERE guard_record_hash = $1";
    return (await query(store.owner, text, [hash])).length;
  };
  const newEntry = (change: Parameters<typeof guardEntryFor>[1] = {}) => guardEntryFor(random.take(32), change);

  test("are committed when they are said to be recorded, each with a row of the trail", async () => {
    const entries = Array.from({ length: 20 }, () => newEntry());
    await guards.recordGuardBatch(entries);
    // Over the owner's connection, which sees what is committed and nothing else.
    for (const entry of entries) expect(await rowsOf(hashOf(entry))).toBe(1);
  });

  test("are one row each, however often they are sent, alone or beside new ones", async () => {
    const [known, fresh] = [newEntry(), newEntry()];
    await guards.recordGuardBatch([known]);
    await guards.recordGuardBatch([known, fresh]);
    await Promise.all([guards.recordGuardBatch([fresh, known]), guards.recordGuardBatch([known, fresh])]);
    expect([await rowsOf(hashOf(known)), await rowsOf(hashOf(fresh))]).toEqual([1, 1]);
  });

  test("are known by their hashes, to their own agent", async () => {
    const entry = newEntry();
    await guards.recordGuardBatch([entry]);
    const { guardJournalId, guardSequence, decisionId } = entry.row;
    const asked = [{ hash: hashOf(entry), sequence: guardSequence as number, decisionId }];
    const hashes = new Set([Buffer.from(hashOf(entry)).toString("hex")]);
    expect(await guards.known("demo", guardJournalId as string, asked)).toMatchObject({ hashes, sequences: new Set() });
    expect(await guards.known("another", guardJournalId as string, asked)).toMatchObject({ hashes: new Set() });
  });

  test("take their places in their journal: another record with the same number is found out", async () => {
    const entry = newEntry({ guardSequence: 5 });
    await guards.recordGuardBatch([entry]);
    const journal = entry.row.guardJournalId as string;
    const other = (sequence: number) => [{ hash: random.take(32), sequence, decisionId: randomUUID() }];
    const sequencesOf = async (agentId: string, journalId: string, sequence: number): Promise<number[]> => [
      ...(await guards.known(agentId, journalId, other(sequence))).sequences,
    ];
    expect(await sequencesOf("demo", journal, 5)).toEqual([5]);
    expect(await sequencesOf("demo", journal, 6)).toEqual([]);
    expect(await sequencesOf("demo", randomUUID(), 5)).toEqual([]);
    expect(await sequencesOf("another", journal, 5)).toEqual([]);
  });

  test("have ids of their own: one that any row holds already is found out", async () => {
    const entry = newEntry();
    await guards.recordGuardBatch([entry]);
    const asked = [entry.row.decisionId, randomUUID()].map((decisionId) => ({
      hash: random.take(32),
      sequence: 1,
      decisionId,
    }));
    const { decisionIds } = await guards.known("another", randomUUID(), asked);
    expect(decisionIds).toEqual(new Set([entry.row.decisionId]));
  });

  // The embedded store has one session.
  if (name !== "Postgres") return;

  test("are not said to be recorded while their commit waits, nor if it fails", async () => {
    const holder = new pg.Client(store.superUrl as string);
    await holder.connect();
    const [late, never] = [newEntry(), newEntry()];
    await holder.query("BEGIN; LOCK TABLE guard_records IN SHARE MODE");
    let isRecorded = false;
    const recording = guards.recordGuardBatch([late]).then(() => (isRecorded = true));
    await holder.query("SELECT pg_sleep(0.2)");
    expect(isRecorded).toBe(false);
    await holder.query("COMMIT");
    await recording;
    expect(await rowsOf(hashOf(late))).toBe(1);

    await holder.query("BEGIN; LOCK TABLE audit_decisions IN SHARE MODE");
    await expect(guards.recordGuardBatch([never])).rejects.toThrow("did not answer");
    await holder.query("COMMIT");
    await holder.end();
  });
});
