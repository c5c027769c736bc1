import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Finding } from "../../../src/audit/verify/findings.ts";
import { noteKeys } from "../../../src/audit/log/keys.ts";
import { type Progress, verify } from "../../../src/audit/verify/verify.ts";
import { planRun, type Scope } from "../../../src/audit/verify/plan.ts";
import { makeEvent } from "../../../src/audit/row/event.ts";
import { systemClock } from "../../../src/core/clock.ts";
import { SqlEventStore } from "../../../src/store/events.ts";
import { SqlVerifyStore } from "../../../src/store/verification.ts";
import { hashDecision } from "../../../src/audit/row/hash.ts";
import { SqlRecordStore } from "../../../src/store/records.ts";
import { entryFor, random } from "../../support/entries.ts";
import { storeKinds, type TestStore } from "../../support/stores.ts";
import { openTestTrail, recordDecisions, type TestTrail } from "../../support/trail.ts";
import { query, script } from "../../support/sql.ts";

const DAY = 86_400_000_000;

describe.each(storeKinds())("verification on $name", ({ open }) => {
  let store: TestStore;
  let trail: TestTrail;
  let reads: SqlVerifyStore;

  beforeAll(async () => {
    store = await open();
    trail = await openTestTrail(store.database);
    reads = new SqlVerifyStore(store.database);
    const keeper = trail.newKeeper();
    for (let round = 0; round < 12; round++) {
      await recordDecisions(store.database, `round-${round}`, 25);
      const event = makeEvent({ kind: "test.happened", actor: "service" }, systemClock.now(), random);
      await new SqlEventStore(store.database.kysely).append(event);
      await keeper.turn();
    }
  });
  afterAll(() => store.close());

  const run = async (scope: Scope, last: { startedAt: number; next: Progress["next"] } | null = null, days = 30) => {
    const begun = await planRun(reads, scope, last, systemClock.now(), days);
    const pieces: Progress[] = [];
    const done = await verify(await ports(pieces), begun);
    return { begun, done: done as Progress, pieces };
  };
  const ports = async (pieces: Progress[], stopAfter = Number.POSITIVE_INFINITY) => ({
    store: reads,
    keys: noteKeys(trail.origin, await trail.keys()),
    directory: trail.directory,
    settled: systemClock.now(),
    pieceRows: 60,
    pause: async (progress: Progress) => {
      pieces.push(structuredClone(progress));
      return pieces.length < stopAfter;
    },
  });

  test("reads every row of both tables in small pieces, and finds nothing wrong", async () => {
    const { begun, done, pieces } = await run({ kind: "full" });
    expect(done).toMatchObject({ rows: 312, total: 312, problems: 0, findings: [], segments: [], published: false });
    expect(begun.segments).toEqual([{ epoch: 1, from: 0, to: 312 }]);
    expect(pieces.length).toBeGreaterThan(6);
  });

  test("a run that was killed anywhere goes on, and reads no row of the trail twice", async () => {
    const begun = await planRun(reads, { kind: "full" }, null, systemClock.now(), 30);
    for (let stopAfter = 1; stopAfter < 14; stopAfter += 3) {
      const pieces: Progress[] = [];
      await verify(await ports(pieces, stopAfter), begun);
      const kept = JSON.parse(JSON.stringify(pieces.at(-1))) as Progress;
      const done = await verify(await ports([]), kept);
      expect(done, String(stopAfter)).toMatchObject({ rows: 312, problems: 0, segments: [] });
    }
  });

  test("incremental runs read what is new, and go round the rest within the days", async () => {
    const { done: first } = await run({ kind: "full" });
    await recordDecisions(store.database, "new", 10);
    await trail.newKeeper().turn();
    const read = new Map<number, number>();
    let { next } = first;
    for (let day = 1; day <= 12; day++) {
      const last = { startedAt: systemClock.now() - DAY, next };
      const { begun, done } = await run({ kind: "incremental" }, last, 10);
      expect(done.problems).toBe(0);
      if (day === 1) expect(begun.segments[0]).toEqual({ epoch: 1, from: 312, to: 322 });
      for (const { from, to } of begun.segments)
        for (let seq = from; seq < to; seq++) read.set(seq, 1 + (read.get(seq) ?? 0));
      expect(done.rows).toBeLessThan(100);
      next = done.next;
    }
    for (let seq = 0; seq < 322; seq++) expect(read.get(seq), String(seq)).toBeGreaterThan(0);
  });

  test("since a time reads what was sealed from then on", async () => {
    const since = systemClock.now();
    await recordDecisions(store.database, "since", 7);
    await trail.newKeeper().turn();
    const { done } = await run({ kind: "since", since: since - 1_000_000 * 3600 });
    expect(done.rows).toBe(329);
    expect((await run({ kind: "since", since })).done).toMatchObject({ rows: 7, problems: 0 });
  });

  test("a month that was retired is no loss; one that is only said to be, without a sealed event, is", async () => {
    const at = Date.UTC(2026, 0, 15) * 1000;
    for (const table of ["audit_decisions", "audit_events", "audit_payloads", "audit_seals"])
      await query(
        store.owner,
        `SELECT datacrawl_make_partition('${table}', '2026-01-01', ${table !== "audit_payloads"})`,
      );
    const entry = entryFor("old", { recordedAt: at, payloadDigest: null }, null);
    await new SqlRecordStore(store.database.kysely).recordBatch([
      { ...entry, hash: hashDecision(entry.row), payload: null },
    ]);
    const keeper = trail.newKeeper();
    await keeper.turn();
    await query(store.owner, "ALTER TABLE audit_decisions DETACH PARTITION audit_decisions_y2026m01");
    const facts = { kind: "audit.month_retired", actor: "owner", subject: "2026-01-01" };
    const event = makeEvent(facts, systemClock.now(), random);
    await query(
      store.owner,
      `INSERT INTO audit_retired VALUES ('2026-01-01', 1, 0, '', $1::text::uuid, $1::text::uuid,
       'epoch'::timestamptz + $2::bigint * interval '1 microsecond', $3::bytea)`,
      [event.row.eventId, String(event.row.recordedAt), event.hash],
    );
    expect((await run({ kind: "full" })).done.findings).toEqual([
      expect.objectContaining({ check: "row_missing", id: entry.row.decisionId }),
    ]);
    await new SqlEventStore(store.database.kysely).append(event);
    await keeper.turn();
    expect((await run({ kind: "full" })).done.findings).toEqual([]);
  });

  test("names a published file that is no checkpoint, or an older one under a newer name, and comes to its end", async () => {
    const newest = (await trail.directory.latest())?.note ?? "";
    const folder = join(trail.directory.path, "1/000/000/000/999");
    for (const text of ["half a chec", "", newest]) {
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, "999"), text);
      const { done } = await run({ kind: "full" });
      expect(done.published).toBe(false);
      expect(done.findings).toEqual([
        { check: "published", detail: expect.stringMatching(/999\/999 is not the checkpoint of its name/) as string },
      ]);
      await rm(folder, { recursive: true });
    }
    expect((await run({ kind: "full" })).done.findings).toEqual([]);
  });

  /** The findings while an owner's change of one value stands. */
  const findingsWhile = async (table: string, column: string, where: string, value: string): Promise<Finding[]> => {
    const [found] = await query<{ table: string; old: string }>(
      store.owner,
      `SELECT tableoid::regclass::text AS table, encode(${column}, 'hex') AS old FROM ${table} WHERE ${where}`,
    );
    const { table: part, old } = found as { table: string; old: string };
    const set = (to: string): Promise<void> =>
      script(
        store.owner,
        `ALTER TABLE ${part} DISABLE TRIGGER refuse_change;
        UPDATE ${part} SET ${column} = ${to} WHERE ${where};
        ALTER TABLE ${part} ENABLE ALWAYS TRIGGER refuse_change`,
      );
    await set(value);
    try {
      return [...(await run({ kind: "full" })).done.findings];
    } finally {
      await set(`'\\x${old}'`);
    }
  };
  const [FORGED, SHORT] = ["sha256('forged')", "'\\x00'"];
  const SEAL = "epoch = 1 AND seq = 100";

  test.each<[string, string, string, string, string, [string, number][]]>([
    ["a row's stored hash", "audit_decisions", "hash", "idempotency_key = 'round-3-4'", FORGED, []],
    [
      "a sealed leaf",
      "audit_seals",
      "leaf_hash",
      SEAL,
      FORGED,
      [
        ["leaf", 100],
        ["root", 104],
      ],
    ],
    [
      "the length of a sealed leaf",
      "audit_seals",
      "leaf_hash",
      SEAL,
      SHORT,
      [
        ["leaf", 100],
        ["leaf", 100],
        ["root", 104],
      ],
    ],
    ["a node above leaves", "audit_nodes", "hash", "epoch = 1 AND level = 4 AND idx = 3", FORGED, [["node", 48]]],
    ["a node above nodes", "audit_nodes", "hash", "epoch = 1 AND level = 8 AND idx = 0", FORGED, [["node", 0]]],
    [
      "a checkpoint's root",
      "audit_checkpoints",
      "root",
      "epoch = 1 AND size = 104",
      FORGED,
      [
        ["checkpoint", 104],
        ["root", 104],
        ["published", 104],
      ],
    ],
  ])("finds out that %s was changed, and where", async (_, table, column, where, value, expected) => {
    const findings = await findingsWhile(table, column, where, value);
    const found = findings.map(({ check, seq }) => [check, seq]);
    // A row's place depends on its id, which is in part random.
    const place = findings[0]?.seq;
    expect(found).toEqual(
      table === "audit_decisions"
        ? [
            ["row_hash", place],
            ["leaf", place],
          ]
        : expected,
    );
    expect((await run({ kind: "full" })).done.findings).toEqual([]);
  });

  test("finds out that a node of the tree is gone", async () => {
    const node = "epoch = 1 AND level = 4 AND idx = 3";
    await script(
      store.owner,
      `CREATE TABLE kept_node AS SELECT * FROM audit_nodes WHERE ${node};
      ALTER TABLE audit_nodes DISABLE TRIGGER refuse_change;
      DELETE FROM audit_nodes WHERE ${node};
      ALTER TABLE audit_nodes ENABLE ALWAYS TRIGGER refuse_change`,
    );
    const { findings } = (await run({ kind: "full" })).done;
    await script(store.owner, "INSERT INTO audit_nodes SELECT * FROM kept_node; DROP TABLE kept_node");
    expect(findings).toEqual([
      expect.objectContaining({ check: "node", detail: expect.stringContaining("are gone") as string }),
    ]);
    expect((await run({ kind: "full" })).done.findings).toEqual([]);
  });

  test("names a row that was changed, once, and the run goes on", async () => {
    const findings = await tampered(
      store,
      "UPDATE audit_decisions SET tool = 'x' WHERE idempotency_key = 'round-3-4'",
      async () => {
        return (await run({ kind: "full" })).done.findings;
      },
    );
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({ check: "row_hash", stream: "decisions", epoch: 1 });
  });

  test("a row about an earlier decision has its payload there; one of its own that is gone is missed", async () => {
    const before = (await run({ kind: "full" })).done.findings;
    const first = entryFor("first");
    const { payloadDigest, decisionId: linkedDecisionId } = first.row;
    const followUp = entryFor("follow-up", { payloadDigest, linkedDecisionId }, null);
    // As one that reused the first's key: it is linked to it, and was about another payload.
    const other = entryFor("other", { linkedDecisionId }, null);
    const records = new SqlRecordStore(store.database.kysely);
    await records.recordBatch([first, { ...followUp, payload: null }, { ...other, payload: null }]);
    await trail.newKeeper().turn();
    const { done } = await run({ kind: "full" });
    expect(done.findings.slice(before.length)).toEqual([
      expect.objectContaining({ check: "payload", stream: "decisions", id: other.row.decisionId }),
    ]);
  });
});

/** Runs `look` while a change stands that the owner made with the guards off; on the embedded store everybody is the owner. */
async function tampered(
  store: TestStore,
  change: string,
  look: () => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  const partitions = await query<{ name: string }>(
    store.owner,
    "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit_decisions'::regclass",
  );
  const triggers = (verb: string): string =>
    partitions.map(({ name }) => `ALTER TABLE ${name} ${verb} TRIGGER refuse_change;`).join(" ");
  await script(store.owner, `${triggers("DISABLE")} ${change}; ${triggers("ENABLE ALWAYS")}`);
  return await look();
}
