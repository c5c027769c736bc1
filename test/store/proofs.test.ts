import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ExportOperations, type ExportPart } from "../../src/admin/export.ts";
import { ProofOperations } from "../../src/admin/proofs.ts";
import { RetentionOperations } from "../../src/admin/retention.ts";
import { retireMonths } from "../../src/admin/retire.ts";
import { ExportCheck, type ExportProblem, type ExportSummary } from "../../src/audit/proof/export-check.ts";
import { endLine } from "../../src/audit/proof/export-lines.ts";
import { noteKeys } from "../../src/audit/log/keys.ts";
import { formatVkey, type NoteKey } from "../../src/audit/log/note.ts";
import { checkProof, formatConsistencyProof, formatDecisionProof } from "../../src/audit/proof/proof.ts";
import { systemClock } from "../../src/core/clock.ts";
import { SqlDecisionReader } from "../../src/store/decisions.ts";
import { SqlEventStore } from "../../src/store/events.ts";
import { SqlExportReader, type ExportRange } from "../../src/store/export.ts";
import { SqlPayloadStore } from "../../src/store/payloads.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { SqlVerifyStore } from "../../src/store/verification.ts";
import { SqlRetirement } from "../../src/store/retirement.ts";
import { entryFor, random } from "../support/entries.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { openTestTrail, recordDecisions, type TestTrail } from "../support/trail.ts";
import { query, script } from "../support/sql.ts";

const now = (): number => systemClock.now();
const ALL: ExportRange = { from: null, to: 4_000_000_000_000_000, payloads: true };

interface Bench {
  readonly store: TestStore;
  readonly trail: TestTrail;
  readonly keys: NoteKey[];
  readonly proofs: ProofOperations;
  readonly exporting: ExportOperations;
  readonly retention: RetentionOperations;
}

async function openBench(open: () => Promise<TestStore>): Promise<Bench> {
  const store = await open();
  const trail = await openTestTrail(store.database);
  const keys = noteKeys(trail.origin, await trail.keys());
  const verifierKeys = async (): Promise<string[]> => keys.map(formatVkey);
  const [payloads, events] = [new SqlPayloadStore(store.database.kysely), new SqlEventStore(store.database.kysely)];
  const [decisions, tree] = [new SqlDecisionReader(store.database.kysely), new SqlExportReader(store.database)];
  return {
    store,
    trail,
    keys,
    proofs: new ProofOperations({ decisions, tree, verifierKeys }),
    exporting: new ExportOperations({ log: trail.origin, trail: tree, verifierKeys }),
    retention: new RetentionOperations({ decisions, payloads, events, random, now }),
  };
}

/** The whole file, as `audit export` writes it. */
async function exportAll({ exporting }: Bench, range: ExportRange): Promise<{ text: string; parts: ExportPart[] }> {
  const parts: ExportPart[] = [];
  for await (const part of exporting.parts(range)) parts.push(part);
  const sum = (field: "decisions" | "events" | "payloads"): number =>
    parts.reduce((total, part) => total + part[field], 0);
  const body = parts.map(({ lines }) => lines).join("");
  const totals = { decisions: sum("decisions"), events: sum("events"), payloads: sum("payloads") };
  return { text: body + endLine(totals, createHash("sha256").update(body).digest("hex")), parts };
}

function check(text: string, keys: readonly NoteKey[]): { summary: ExportSummary | null; problems: ExportProblem[] } {
  const checker = new ExportCheck(keys);
  for (const line of text.split(/(?<=\n)/)) checker.line(Buffer.from(line));
  return { summary: checker.end(), problems: checker.problems };
}

/** As someone who owns the database. */
async function tamper({ store }: Bench, table: string, sql: string): Promise<void> {
  const month = new Date(now() / 1000).toISOString().slice(0, 7).replace("-", "m");
  const partition = `${table}_y${month}`;
  await query(store.owner, `ALTER TABLE ${partition} DISABLE TRIGGER refuse_change`);
  await query(store.owner, sql.replace("TABLE", partition));
  await query(store.owner, `ALTER TABLE ${partition} ENABLE ALWAYS TRIGGER refuse_change`);
}

describe.each(storeKinds())("proofs and exports on $name", ({ open }) => {
  let bench: Bench;
  let ids: string[];

  beforeAll(async () => {
    bench = await openBench(open);
    const sealer = bench.trail.newSealer();
    ids = [];
    for (const [index, count] of [7, 1, 20].entries()) {
      ids.push(...(await recordDecisions(bench.store.database, `round-${index}`, count)));
      await bench.retention.recordExport(written({ fileName: `made-up-${index}` }), "socket");
      await sealer.sealAll();
    }
  });
  afterAll(() => bench.store.close());

  test("each decision is proven, with and without its payload", async () => {
    for (const id of ids) {
      for (const payload of [true, false]) {
        const proof = await bench.proofs.proveDecision(id.toUpperCase(), payload);
        const proven = checkProof(JSON.stringify(formatDecisionProof(proof)), bench.keys);
        expect(proven).toMatchObject({
          kind: "decision",
          proof: { row: { decisionId: id } },
          checkpoint: { size: 31 },
        });
        expect(proof.payload === null).toBe(!payload);
      }
    }
  });

  test("a decision without a seal says so, and what to do; one that is not there is unknown", async () => {
    const [id] = await recordDecisions(bench.store.database, "unsealed", 1);
    await expect(bench.proofs.proveDecision(id as string, false)).rejects.toMatchObject({
      code: "DECISION_NOT_SEALED",
      message: expect.stringContaining("datacrawl audit seal") as string,
    });
    const nobody = "00000000-0000-7000-8000-000000000000";
    await expect(bench.proofs.proveDecision(nobody, false)).rejects.toMatchObject({ code: "DECISION_UNKNOWN" });
    await expect(bench.proofs.proveDecision("sesame", false)).rejects.toMatchObject({ code: "FIELD_INVALID" });
  });

  test("each checkpoint is proven to begin each later one, by its size or by the note that somebody kept", async () => {
    const sizes = [8, 10, 31];
    const notes = await Promise.all(
      sizes.map(async (size) => (await bench.trail.seals.checkpointAt(1, size))?.note as string),
    );
    for (const [a, first] of sizes.entries()) {
      for (const [b, second] of sizes.entries()) {
        if (a > b) continue;
        for (const [one, other] of [
          [String(first), String(second)],
          [notes[a] as string, notes[b] as string],
        ] as const) {
          const proof = await bench.proofs.proveConsistency(one, other);
          const proven = checkProof(JSON.stringify(formatConsistencyProof(proof)), bench.keys);
          expect(proven).toMatchObject({ first: { size: first }, second: { size: second } });
        }
      }
    }
    expect(await bench.proofs.proveConsistency("8", "")).toMatchObject({ second: notes[2] });
  });

  test.each([
    ["31", "8", "FIELD_INVALID"],
    ["9", "", "CHECKPOINT_UNKNOWN"],
    ["", "", "CHECKPOINT_UNKNOWN"],
    ["8", "1000", "CHECKPOINT_UNKNOWN"],
    ["a note", "", "FIELD_INVALID"],
    ["8\n", "", "FIELD_INVALID"],
  ])("consistency of %j and %j is refused: %s", async (first, second, code) => {
    await expect(bench.proofs.proveConsistency(first, second)).rejects.toMatchObject({ code });
  });

  test("an export of everything holds", async () => {
    const { text } = await exportAll(bench, ALL);
    const { summary, problems } = check(text, bench.keys);
    expect(problems).toEqual([]);
    expect(summary).toMatchObject({ decisions: 28, events: 3, payloads: 28, log: bench.trail.origin });
    expect(summary?.epochs).toMatchObject([{ rows: 31, leavesLeftOut: { before: 0, among: 0, after: 0 } }]);
  });

  test("an export of a time has its rows and no others, and holds", async () => {
    const { row } = await bench.proofs.proveDecision(ids[9] as string, false);
    const { row: last } = await bench.proofs.proveDecision(ids[20] as string, false);
    const { text } = await exportAll(bench, { from: row.recordedAt, to: last.recordedAt, payloads: false });
    const { summary, problems } = check(text, bench.keys);
    expect(problems).toEqual([]);
    expect(summary?.payloads).toBe(0);
    const [epoch] = summary?.epochs ?? [];
    expect(epoch?.leavesLeftOut.before).toBeGreaterThan(8);
    expect(epoch?.leavesLeftOut.after).toBeGreaterThan(0);
    const none = await exportAll(bench, { from: 1, to: 2, payloads: true });
    expect(check(none.text, bench.keys)).toMatchObject({ problems: [], summary: { decisions: 0 } });
  });

  test("an export of no time is refused", async () => {
    await expect(exportAll(bench, { ...ALL, from: 5, to: 5 })).rejects.toMatchObject({ code: "FIELD_INVALID" });
  });

  test("an erased payload is gone from proofs and exports, which hold as before, and the act is an event", async () => {
    const id = ids[3] as string;
    const before = formatDecisionProof(await bench.proofs.proveDecision(id, true));
    expect(await bench.retention.erasePayload(id, " a wish ", "operator:ann")).toBe(true);
    expect(await bench.retention.erasePayload(id, "again", "operator:ann")).toBe(false);
    expect(checkProof(JSON.stringify(before), bench.keys).kind).toBe("decision");
    const after = await bench.proofs.proveDecision(id, true);
    expect(after.payload).toBeNull();
    expect(checkProof(JSON.stringify(formatDecisionProof(after)), bench.keys).kind).toBe("decision");
    await bench.trail.newSealer().sealAll();
    const { text } = await exportAll(bench, ALL);
    const { summary, problems } = check(text, bench.keys);
    expect(problems).toEqual([]);
    expect(summary?.payloads).toBe((summary?.decisions ?? 0) - 1);
    const told = text.split("\n").filter((line) => line.includes("payload.erased"));
    expect(told).toHaveLength(1);
    expect(JSON.parse(told[0] as string)).toMatchObject({
      event: { actor: "operator:ann", decision_id: id, subject: "demo", detail: '{"reason":"a wish"}' },
    });
  });

  test.each([
    ["sesame", "why", "FIELD_INVALID"],
    ["00000000-0000-7000-8000-000000000000", "why", "DECISION_UNKNOWN"],
    ["00000000-0000-7000-8000-000000000000", "  ", "FIELD_INVALID"],
  ])("erasing %s because of %j is refused: %s", async (id, reason, code) => {
    await expect(bench.retention.erasePayload(id, reason, "socket")).rejects.toMatchObject({ code });
  });

  test("an export on record must be possible", async () => {
    for (const wrong of [{ from: 9, to: 8 }, { sha256: Buffer.alloc(31) }, { fileName: "\0" }, { fileBytes: -1 }])
      await expect(bench.retention.recordExport(written(wrong), "socket")).rejects.toMatchObject({
        code: "FIELD_INVALID",
      });
  });

  test("a row that was changed is named, and one that was deleted is missing and counted", async () => {
    await tamper(bench, "audit_decisions", `UPDATE TABLE SET tool = 'x' WHERE decision_id = '${ids[5]}'`);
    const proof = formatDecisionProof(await bench.proofs.proveDecision(ids[5] as string, false));
    expect(() => checkProof(JSON.stringify(proof), bench.keys)).toThrow(`decision ${ids[5]} do not have the hash`);
    await tamper(bench, "audit_decisions", `DELETE FROM TABLE WHERE decision_id = '${ids[6]}'`);
    await expect(bench.proofs.proveDecision(ids[6] as string, false)).rejects.toMatchObject({
      code: "DECISION_RETIRED",
    });
    const { text, parts } = await exportAll(bench, ALL);
    const { problems } = check(text, bench.keys);
    expect(problems).toMatchObject([{ step: "row", message: expect.stringContaining(ids[5] as string) as string }]);
    expect(parts.reduce((total, part) => total + part.missing, 0)).toBe(1);
  });

  test("an export of more rows than a part has is one file, with a checkpoint now and then", async () => {
    for (const round of [1, 2, 3]) {
      await recordDecisions(bench.store.database, `many-${round}`, 1500);
      await bench.trail.newSealer().sealAll();
    }
    const { row } = await bench.proofs.proveDecision(ids[8] as string, false);
    const { text, parts } = await exportAll(bench, { ...ALL, from: row.recordedAt });
    // The header, the epoch, and three times 2000 rows at most.
    expect(parts.length).toBe(5);
    expect(check(text, bench.keys).problems).toEqual([]);
    expect(text.split("\n").filter((line) => line.startsWith('{"checkpoint"')).length).toBeGreaterThanOrEqual(3);
  });
});

function written(change: Partial<Parameters<RetentionOperations["recordExport"]>[0]>) {
  const counts = { fileBytes: 1, decisions: 0, events: 0, payloads: 0 };
  return { from: 1, to: 2, fileName: "x", sha256: Buffer.alloc(32), ...counts, ...change };
}

const MONTH = { name: "2026-03", from: Date.UTC(2026, 2) * 1000, to: Date.UTC(2026, 3) * 1000 };
const AFTER = Date.UTC(2026, 4) * 1000;

describe.each(storeKinds())("retiring months on $name", ({ name, open }) => {
  let bench: Bench;
  let old: string[];
  let recent: string;

  beforeAll(async () => {
    bench = await openBench(open);
    for (const parent of ["audit_decisions", "audit_events", "audit_payloads", "audit_seals"])
      await query(
        bench.store.owner,
        `SELECT datacrawl_make_partition('${parent}', '2026-03-01', ${parent !== "audit_payloads"})`,
      );
    // Rows of March and of today, taken by turns: a month is not a contiguous range of the tree.
    const entries = Array.from({ length: 12 }, (_, index) =>
      entryFor(`old-${index}`, index % 3 === 2 ? {} : { recordedAt: MONTH.from + index * 1_000_000 }),
    );
    old = entries.filter((_, index) => index % 3 !== 2).map(({ row }) => row.decisionId);
    recent = entries[2]?.row.decisionId as string;
    await new SqlRecordStore(bench.store.database.kysely).recordBatch(entries);
  });
  afterAll(() => bench.store.close());

  const retire = (before = AFTER, withUnresolved = false) =>
    retireMonths(new SqlRetirement(bench.store.owner.kysely), random, before, withUnresolved);
  /** Executions of decisions by their outcomes; none is null. */
  const outcomes = async (): Promise<Record<string, string | null>> => {
    const found = await query<{ id: string; outcome: string | null }>(
      bench.store.owner,
      "SELECT e.decision_id AS id, outcome FROM executions e LEFT JOIN execution_outcomes o ON o.decision_id = e.decision_id",
    );
    return Object.fromEntries(found.map(({ id, outcome }) => [id, outcome]));
  };
  const exportMonth = async (): Promise<string> => {
    const { text } = await exportAll(bench, { from: MONTH.from, to: MONTH.to, payloads: true });
    const { end } = JSON.parse(text.trimEnd().split("\n").at(-1) as string) as {
      end: { decisions: number; events: number };
    };
    const { decisions, events } = end;
    const sha256 = createHash("sha256").update(text).digest();
    const file = { from: MONTH.from, to: MONTH.to, fileName: "march.jsonl", sha256, decisions, events } as const;
    await bench.retention.recordExport(written(file), "socket");
    return text;
  };
  let exported: string;
  let proofBefore: string;

  test("is refused while rows have no seal, and while there is no export, or one that lacks rows", async () => {
    await expect(retire()).rejects.toThrow("2026-03 has 8 rows without a seal: run `datacrawl audit seal`");
    await bench.trail.newSealer().sealAll();
    await expect(retire()).rejects.toThrow(
      "no export of 2026-03 is on record: run `datacrawl audit export --month 2026-03",
    );
    const lacking = written({ from: MONTH.from, to: MONTH.to, fileName: "some.jsonl", decisions: 7 });
    await bench.retention.recordExport(lacking, "socket");
    await expect(retire()).rejects.toThrow("some.jsonl, has 7 decisions and 0 events; the database has 8 and 0");
    expect(await retire(MONTH.to - 1, true)).toEqual([]);
    expect(await bench.proofs.proveDecision(old[0] as string, false)).toBeDefined();
  });

  test("is refused while an execution of the month has no outcome", async () => {
    const [ended, ...open] = [old[0], old[1], recent];
    const ids = `('${[ended, ...open].join("', '")}')`;
    await script(
      bench.store.owner,
      `INSERT INTO executions (decision_id, execution_id, recorded_at, agent_id, tool, idempotency_key, nonce, started_at, started_by,
         report_due_at)
       SELECT decision_id, gen_random_uuid(), recorded_at, agent_id, tool, idempotency_key, '', recorded_at, 'key-1', recorded_at
       FROM audit_decisions WHERE decision_id IN ${ids};
       INSERT INTO execution_outcomes (decision_id, event_id, outcome, ended_at, reported_by)
       VALUES ('${ended}', gen_random_uuid(), 'succeeded', now(), 'key-1');
       INSERT INTO execution_reports_due (decision_id, report_due_at) VALUES ${open.map((id) => `('${id}', now())`).join(", ")};`,
    );
    await expect(retire()).rejects.toThrow(
      "2026-03 has 1 executions without an outcome, which nobody can report or resolve once it is retired: resolve them " +
        "(`datacrawl execution list --unresolved`), or retire it --with-unresolved",
    );
    expect(Object.keys(await outcomes())).toHaveLength(3);
  });

  test("takes a month's tables out, and no reader or writer waits", async () => {
    exported = await exportMonth();
    proofBefore = JSON.stringify(formatDecisionProof(await bench.proofs.proveDecision(old[3] as string, true)));
    const slow = await slowReader(bench.store);
    const retiring = retire(AFTER, true);
    let isRetired = false;
    void retiring.then(() => (isRetired = true));
    for (let round = 0; round < 30; round++) await recordDecisions(bench.store.database, `meanwhile-${round}`, 2);
    if (slow !== null) {
      // Each of those would have waited behind a plain DETACH, and this has to wait for the reader.
      expect(isRetired).toBe(false);
      expect(await slow.read()).toBe(8);
      await slow.end();
    }
    const tables = ["audit_payloads_y2026m03", "audit_decisions_y2026m03", "audit_events_y2026m03"];
    expect(await retiring).toEqual([{ month: "2026-03-01", tables }]);
    const [count] = await query<{ n: number }>(
      bench.store.owner,
      "SELECT count(*)::int AS n FROM audit_decisions_y2026m03",
    );
    expect(count?.n).toBe(8);
    expect(await retire()).toEqual([]);
    // Those of the month are gone, with what belongs to them, and no other.
    expect(await outcomes()).toEqual({ [recent]: null });
    const due =
      "SELECT decision_id AS id FROM execution_reports_due UNION ALL SELECT decision_id FROM execution_outcomes";
    expect(await query(bench.store.owner, due)).toEqual([{ id: recent }]);
  });

  test("keeps hashes, so that old proofs and exports hold, and new ones of what is left", async () => {
    await expect(bench.proofs.proveDecision(old[3] as string, false)).rejects.toThrow(
      "look for it in the export of its month",
    );
    expect(checkProof(proofBefore, bench.keys).kind).toBe("decision");
    expect(check(exported, bench.keys)).toMatchObject({ problems: [], summary: { decisions: 8 } });
    await bench.trail.newSealer().sealAll();
    const { text, parts } = await exportAll(bench, ALL);
    const { summary, problems } = check(text, bench.keys);
    expect(problems).toEqual([]);
    // Where they are in the tree is chance: rows of one statement are sealed by their ids.
    const { before, among, after } = summary?.epochs[0]?.leavesLeftOut ?? { before: 0, among: 0, after: 0 };
    expect(before + among + after).toBe(8);
    expect(parts.reduce((total, part) => total + part.missing, 0)).toBe(8);
    const consistency = await bench.proofs.proveConsistency("12", "");
    expect(checkProof(JSON.stringify(formatConsistencyProof(consistency)), bench.keys).kind).toBe("consistency");
  });

  test("is on record, in an event and in a list that cannot be changed", async () => {
    const [listed] = await query<{
      month: string;
      export_sha256: string;
      hash: Uint8Array;
      detail: string;
    }>(
      bench.store.database,
      "SELECT r.month::text, r.export_sha256, e.hash, e.detail FROM audit_retired r JOIN audit_events e ON e.event_id = r.event_id AND e.hash = r.event_hash",
    );
    expect(listed).toMatchObject({
      month: "2026-03-01",
      export_sha256: createHash("sha256").update(exported).digest("hex"),
    });
    expect(JSON.parse(listed?.detail ?? "")).toMatchObject({
      month: "2026-03-01",
      decisions: 8,
      events: 0,
      openExecutions: 1,
    });
    await expect(query(bench.store.owner, "DELETE FROM audit_retired")).rejects.toThrow("append-only");
    // By that, verification does not miss its rows; a month that no event tells of excuses nothing.
    await query(
      bench.store.owner,
      "INSERT INTO audit_retired SELECT '2026-04-01', 0, 0, '', event_id, gen_random_uuid(), now(), event_hash FROM audit_retired",
    );
    const { from, to } = MONTH;
    expect(await new SqlVerifyStore(bench.store.database).retired()).toEqual([{ from, to }]);
    // Nor does the event itself have to be there, if its leaf is.
    await bench.trail.newSealer().sealAll();
    await tamper(bench, "audit_events", "DELETE FROM TABLE WHERE kind = 'audit.month_retired'");
    expect(await new SqlVerifyStore(bench.store.database).retired()).toEqual([{ from, to }]);
  });

  test.runIf(name === "Postgres")("is finished by the next run if it was cut short", async () => {
    await query(
      bench.store.owner,
      "ALTER TABLE audit_events ATTACH PARTITION audit_events_y2026m03 FOR VALUES FROM ('2026-03-01 00:00Z') TO ('2026-04-01 00:00Z')",
    );
    const slow = await slowReader(bench.store, "audit_events");
    const impatient = new PostgresDatabase(bench.store.ownerUrl as string, {
      connections: 1,
      onError: () => undefined,
    });
    const cut = query(impatient, "ALTER TABLE audit_events DETACH PARTITION audit_events_y2026m03 CONCURRENTLY", [], {
      timeoutMs: 1000,
    });
    await expect(cut).rejects.toThrow("did not answer");
    await query(
      bench.store.owner,
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%DETACH PARTITION%CONCURRENTLY' AND pid <> pg_backend_pid()",
    );
    await slow?.end();
    expect(await retire()).toEqual([{ month: "2026-03-01", tables: ["audit_events_y2026m03"] }]);
    await impatient.close();
  });

  test.runIf(name === "Postgres")(
    "is not for the service's login, which can erase a payload by its function alone",
    async () => {
      const { database } = bench.store;
      await expect(retireMonths(new SqlRetirement(database.kysely), random, AFTER, false)).resolves.toEqual([]);
      for (const sql of [
        "ALTER TABLE audit_decisions DETACH PARTITION audit_decisions_y2026m03 CONCURRENTLY",
        "DELETE FROM audit_payloads",
        "INSERT INTO audit_retired SELECT '2026-04-01', 0, 0, '', gen_random_uuid(), gen_random_uuid(), now(), ''",
      ])
        await expect(query(database, sql)).rejects.toMatchObject({ sqlState: "42501" });
    },
  );
});

interface SlowReader {
  readonly read: () => Promise<number>;
  readonly end: () => Promise<void>;
}

/** Somebody who has read from the trail and has not ended; null where there is one session for all. */
async function slowReader({ superUrl }: TestStore, table = "audit_decisions"): Promise<SlowReader | null> {
  if (superUrl === null) return null;
  const { Client } = (await import("pg")).default;
  const client = new Client({ connectionString: superUrl });
  await client.connect();
  await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
  const read = async (): Promise<number> => {
    const text = `SELECT count(*)::int AS n FROM ${table} WHERE recorded_at < '2026-04-01 00:00Z'`;
    return ((await client.query(text)).rows[0] as { n: number }).n;
  };
  await read();
  return {
    read,
    end: async () => {
      await client.query("COMMIT");
      await client.end();
    },
  };
}
