import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SqlGuardRecords, type CircuitQuery, type CircuitView } from "../../src/store/guard-records.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { query } from "../support/sql.ts";

const OPEN = '{"state":"CIRCUIT_STATE_OPEN","cause":"local"}';
const CLOSED = '{"state":"CIRCUIT_STATE_CLOSED"}';
/** Ids whose order differs between languages' and the bytes', each with several guards. */
const AGENTS = ["a-b", "a.b", "ab", "a0", "b"];
const GUARDS = 4;

const journalOf = (n: number): string => `0195e0b2-0000-7000-8000-${String(n).padStart(12, "0")}`;
const nameOf = ({ agentId, journalId }: CircuitView): string => `${agentId}/${journalId}`;

describe.each(storeKinds())("guards' circuits on $name", ({ open }) => {
  let store: TestStore;
  let guards: SqlGuardRecords;
  beforeAll(async () => {
    store = await open();
    guards = new SqlGuardRecords(store.database.kysely);
    for (const agentId of AGENTS) await report(agentId, GUARDS, CLOSED);
    await report("a.b", 1, OPEN);
    await guards.report("b", journalOf(1), "{}");
    await guards.report("gone", journalOf(0), OPEN);
    await query(
      store.database,
      "UPDATE guard_circuits SET reported_at = now() - interval '1 hour 1 second' WHERE agent_id = 'gone'",
    );
  });
  afterAll(() => store.close());

  const report = async (agentId: string, many: number, circuit: string): Promise<void> => {
    for (let n = 0; n < many; n++) await guards.report(agentId, journalOf(n), circuit);
  };
  const EVERYTHING = { agentId: null, excludeClosed: false };
  const pages = async (
    query: Pick<CircuitQuery, "agentId" | "excludeClosed">,
    limit: number,
    between = async (_page: readonly CircuitView[]): Promise<void> => {},
  ): Promise<string[]> => {
    const found: string[] = [];
    for (let after: CircuitView | null = null; ; ) {
      const page: CircuitView[] = await guards.circuits({ ...query, after, limit });
      found.push(...page.map(nameOf));
      if (page.length < limit) return found;
      after = page.at(-1) ?? null;
      await between(page);
    }
  };
  const ALL = AGENTS.toSorted().flatMap((agentId) =>
    Array.from({ length: GUARDS }, (_, n) => `${agentId}/${journalOf(n)}`),
  );

  test.each([1, 3, 4, 100])("come in pages of %i, each once, those of an hour", async (limit) => {
    expect(await pages(EVERYTHING, limit)).toEqual(ALL);
  });

  test("are each listed once while all of them go on reporting", async () => {
    const found = await pages(EVERYTHING, 3, async () => {
      for (const agentId of AGENTS.toReversed()) await guards.report(agentId, journalOf(2), CLOSED);
    });
    expect(found).toEqual(ALL);
  });

  test("are listed for one agent, and without those that are closed", async () => {
    expect(await pages({ agentId: "ab", excludeClosed: false }, 3)).toEqual(
      ALL.filter((name) => name.startsWith("ab/")),
    );
    // What does not say that it is closed is shown.
    expect(await pages({ agentId: null, excludeClosed: true }, 1)).toEqual([
      `a.b/${journalOf(0)}`,
      `b/${journalOf(1)}`,
    ]);
    expect(await pages({ agentId: "ab", excludeClosed: true }, 1)).toEqual([]);
  });

  test("of one agent come by their newest reports, no more than wanted", async () => {
    for (const n of [1, 3, 0]) {
      // The embedded database's clock counts milliseconds.
      await sleep(5);
      await guards.report("a0", journalOf(n), CLOSED);
    }
    const newest = await guards.newestCircuits("a0", 2);
    expect(newest.map(nameOf)).toEqual([`a0/${journalOf(0)}`, `a0/${journalOf(3)}`]);
    expect(await guards.newestCircuits("gone", 2)).toEqual([]);
  });

  test("of a guard that has ended are forgotten, and no other's", async () => {
    await report("ending", 2, CLOSED);
    await guards.forget("ending", journalOf(0));
    await guards.forget("other", journalOf(1));
    const left = { agentId: "ending", excludeClosed: false };
    expect(await pages(left, 10)).toEqual([`ending/${journalOf(1)}`]);
    await guards.forget("ending", journalOf(1));
    expect(await pages(left, 10)).toEqual([]);
  });

  test("that were not reported for an hour are deleted", async () => {
    const rows = async (): Promise<unknown[]> =>
      await query(store.database, "SELECT FROM guard_circuits WHERE agent_id = 'gone'");
    expect(await rows()).toHaveLength(1);
    await guards.forgetOldCircuits();
    expect([await rows(), (await pages(EVERYTHING, 100)).length]).toEqual([[], ALL.length]);
  });
});
