import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FairQueue } from "../../../src/audit/write/fair-queue.ts";
import { CommitUnknown, PoisonedBatch } from "../../../src/audit/write/group-writer.ts";
import { type Entry, RecordWriter, type RecordStore, type Written } from "../../../src/audit/write/writer.ts";
import { Fault } from "../../../src/core/fault.ts";
import { entryFor } from "../../support/entries.ts";

/** A store that writes when it is told to, with the laws of the real one: a claim is won once, a poisoned batch fails whole. */
class ManualStore implements RecordStore {
  readonly batches: {
    readonly entries: readonly Entry[];
    readonly commit: () => void;
    readonly fail: (error: Error) => void;
  }[] = [];
  readonly held = new Set<string>();
  /** The keys that each commit wrote. */
  readonly commits: string[][] = [];

  recordBatch(entries: readonly Entry[]): Promise<ReadonlyMap<string, Written>> {
    return new Promise((resolve, reject) => {
      const commit = (): void => {
        if (entries.some(({ row }) => row.message === "poison")) return reject(new PoisonedBatch("poison"));
        const won = entries.filter(({ row }) => !this.held.has(row.idempotencyKey));
        for (const { row } of won) this.held.add(row.idempotencyKey);
        this.commits.push(won.map(({ row }) => row.idempotencyKey));
        resolve(new Map(won.map(({ row }) => [row.decisionId, { claimExpiresAt: row.recordedAt }])));
      };
      this.batches.push({ entries, commit, fail: reject });
    });
  }

  /** Commits whatever comes until nothing is left. */
  async drain(): Promise<void> {
    for (let idle = 0; idle < 5; ) {
      const batch = this.batches.shift();
      if (batch === undefined) idle++;
      else batch.commit();
      await turn();
    }
  }
}

/** What is told of an entry: of its row, or the code of the fault. */
function answerOf(writer: RecordWriter, entry: Entry): Promise<unknown> {
  return writer.record(entry, never).catch((error: Fault) => error.code);
}

/** The answers so far; `"waits"` where there is none yet. */
async function answersOf(answers: readonly Promise<unknown>[]): Promise<unknown[]> {
  const waits = new Promise((resolve) => setImmediate(resolve, "waits"));
  return await Promise.all(answers.map((answer) => Promise.race([answer, waits])));
}

/** Until what was recorded is with the store: a flush comes at the end of the event loop's turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const quiet = { batch: () => undefined, storeError: () => undefined };
const never = { at: Number.POSITIVE_INFINITY };
const small = { queue: 100, queuePerAgent: 50, batch: 8, batchPayloads: 1000, inFlight: 2 };

function setUp(monotonic = (): number => 0) {
  const store = new ManualStore();
  return { store, writer: new RecordWriter(store, monotonic, quiet, small) };
}

describe("group commit", () => {
  test("what comes in one turn of the event loop is one batch, whatever callback it comes from", async () => {
    const { store, writer } = setUp();
    const results: Promise<Written | null>[] = [];
    const record = (key: string) => void results.push(writer.record(entryFor(key), never));
    record("at once");
    queueMicrotask(() => record("in a microtask"));
    process.nextTick(() => record("in the next tick"));
    await turn();
    expect(store.batches.map(({ entries }) => entries.length)).toEqual([3]);
    await store.drain();
    expect((await Promise.all(results)).every((written) => written !== null)).toBe(true);
  });

  test("an idle writer writes what it gets; a busy one gathers what comes meanwhile", async () => {
    const { store, writer } = setUp();
    const first = writer.record(entryFor("a"), never);
    await turn();
    expect(store.batches[0]?.entries).toHaveLength(1);
    void writer.record(entryFor("b"), never);
    await turn();
    const rest = Promise.all(["c", "d", "e"].map((key) => writer.record(entryFor(key), never)));
    await turn();
    expect(store.batches).toHaveLength(2);
    store.batches.shift()?.commit();
    expect(await first).not.toBeNull();
    await turn();
    expect(store.batches[1]?.entries.map(({ row }) => row.idempotencyKey)).toEqual(["c", "d", "e"]);
    await store.drain();
    expect((await rest).every((written) => written !== null)).toBe(true);
  });

  test("no batch makes the same claim twice, and the second to claim learns that it lost", async () => {
    const { store, writer } = setUp();
    const results = Promise.all(
      [entryFor("same"), entryFor("same"), entryFor("other")].map((entry) => writer.record(entry, never)),
    );
    await turn();
    expect(store.batches[0]?.entries.map(({ row }) => row.idempotencyKey)).toEqual(["same", "other"]);
    await store.drain();
    expect((await results).map((written) => written !== null)).toEqual([true, false, true]);
  });

  test("each entry of a batch learns of its own row alone: those that lost their claims nothing but that", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 30 }), async (taken) => {
        const { store, writer } = setUp();
        const entries = taken.map((_, index) => entryFor(`k${index}`, { recordedAt: index }));
        taken.forEach((isTaken, index) => isTaken && store.held.add(`k${index}`));
        const answers = entries.map((entry) => answerOf(writer, entry));
        await store.drain();
        const expected = taken.map((isTaken, index) => (isTaken ? null : { claimExpiresAt: index }));
        expect(await answersOf(answers)).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    ["the store fails", new Error("gone"), "STORE_UNAVAILABLE"],
    ["nobody knows whether it was committed", new CommitUnknown("lost"), "COMMIT_UNKNOWN"],
  ])("no entry of a batch is written if %s, and each is answered so", async (_, error, code) => {
    const { store, writer } = setUp();
    const answers = ["a", "b", "c"].map((key) => answerOf(writer, entryFor(key)));
    await turn();
    expect(store.batches.map(({ entries }) => entries.length)).toEqual([3]);
    store.batches.shift()?.fail(error);
    expect(await answersOf(answers)).toEqual([code, code, code]);
  });

  test("a poisoned batch is written in halves: all but the poisoned entry, each once, and nobody is left waiting", async () => {
    for (let poisoned = 0; poisoned < 8; poisoned++) {
      const { store, writer } = setUp();
      const answers = Array.from({ length: 8 }, (_, index) =>
        answerOf(
          writer,
          entryFor(`k${index}`, { recordedAt: index, ...(index === poisoned ? { message: "poison" } : {}) }),
        ),
      );
      await store.drain();
      const expected = Array.from({ length: 8 }, (_, index) =>
        index === poisoned ? "INTERNAL" : { claimExpiresAt: index },
      );
      expect(await answersOf(answers), `entry ${poisoned}`).toEqual(expected);
      expect(store.commits.flat().toSorted((a, b) => a.localeCompare(b))).toEqual(
        Array.from({ length: 8 }, (_, index) => `k${index}`).filter((_, index) => index !== poisoned),
      );
    }
  });

  test("whatever is poisoned, its neighbours are written", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 30 }), async (poisoned) => {
        const { store, writer } = setUp();
        const entries = poisoned.map((bad, index) => entryFor(`k${index}`, bad ? { message: "poison" } : {}));
        const results = Promise.allSettled(entries.map((entry) => writer.record(entry, never)));
        await store.drain();
        const settled = await results;
        expect(settled.map(({ status }) => status === "rejected")).toEqual(poisoned);
        expect(store.held.size).toBe(poisoned.filter((bad) => !bad).length);
      }),
      { numRuns: 50 },
    );
  });

  test("nobody is told that he is written when the store fails, and the failure is told once", async () => {
    const store = new ManualStore();
    const failures: unknown[] = [];
    const observer = { batch: () => undefined, storeError: (error: unknown) => void failures.push(error) };
    const writer = new RecordWriter(store, () => 0, observer, small);
    const entries = ["a", "b"].map((key) => entryFor(key));
    const results = Promise.allSettled(entries.map((entry) => writer.record(entry, never)));
    await turn();
    store.batches.shift()?.fail(new Error("gone"));
    const faults = entries.map(({ row: { decisionId } }) => ({ code: "STORE_UNAVAILABLE", decisionId }));
    expect(await results).toMatchObject(faults.map((reason) => ({ status: "rejected", reason })));
    expect(failures).toEqual([new Error("gone")]);
  });

  test("an entry that nobody waits for any more is not written", async () => {
    let now = 0;
    const { store, writer } = setUp(() => now);
    void writer.record(entryFor("a"), never);
    await turn();
    void writer.record(entryFor("b"), never);
    await turn();
    const late = writer.record(entryFor("late"), { at: 10 });
    now = 11;
    await Promise.all([expect(late).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" }), store.drain()]);
    expect(store.held).toEqual(new Set(["a", "b"]));
  });

  test("a batch ends with the payload that makes it large, and the rest follow", async () => {
    const { store, writer } = setUp();
    const sized = (key: string, size: number): Entry => {
      return { ...entryFor(key), payload: { salt: new Uint8Array(16), canonical: " ".repeat(size) } };
    };
    const sizes = [400, 400, 400, 400, 5000, 10];
    const results = Promise.all(sizes.map((size, index) => writer.record(sized(`k${index}`, size), never)));
    await turn();
    expect(store.batches.map(({ entries }) => entries.length)).toEqual([3, 2]);
    await store.drain();
    expect((await results).every((written) => written !== null)).toBe(true);
  });

  test("the queue is bounded, for all and for each agent", async () => {
    const { store, writer } = setUp();
    const flood = Array.from({ length: 80 }, (_, index) =>
      writer.record(entryFor(`f${index}`), never).catch((error: Fault) => error.code),
    );
    const polite = writer.record(entryFor("polite", { agentId: "other" }), never);
    await store.drain();
    const refused = (await Promise.all(flood)).filter((result) => result === "QUEUE_FULL");
    expect(refused).toHaveLength(30);
    expect(await polite).not.toBeNull();
  });
});

describe("the fair queue", () => {
  test("who comes late behind a flood is served next but one", () => {
    const queue = new FairQueue<string>(1000, 900);
    for (let index = 0; index < 500; index++) queue.push("loop", `loop${index}`);
    queue.push("polite", "polite");
    expect([queue.shift(), queue.shift()]).toContain("polite");
  });

  test("it keeps each owner's order, loses nothing, and no owner waits for more than one turn of the others", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("a", "b", "c")), (owners) => {
        const queue = new FairQueue<[string, number]>(1000, 1000);
        owners.forEach((owner, index) => queue.push(owner, [owner, index]));
        const served: [string, number][] = [];
        for (let item = queue.shift(); item !== undefined; item = queue.shift()) served.push(item);
        expect(served).toHaveLength(owners.length);
        for (const owner of new Set(owners)) {
          const own = served.filter(([name]) => name === owner).map(([, index]) => index);
          expect(own).toEqual(own.toSorted((a, b) => a - b));
          const turns = served.flatMap(([name], at) => (name === owner ? [at] : []));
          const distinct = new Set(owners).size;
          for (let turn = 1; turn < turns.length; turn++) {
            expect((turns[turn] as number) - (turns[turn - 1] as number)).toBeLessThanOrEqual(distinct);
          }
        }
      }),
    );
  });
});
