import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Batch, DecisionFeed } from "../../src/admin/decision-feed.ts";
import { systemClock } from "../../src/core/clock.ts";
import { SqlDecisionSearch } from "../../src/store/decision-search.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { record } from "./decisions.ts";

describe.each(storeKinds())("following decisions on $name", ({ open }) => {
  let store: TestStore;
  const subscribed: { feed: DecisionFeed; subscriber: (batch: Batch) => void }[] = [];

  beforeAll(async () => {
    store = await open();
  });
  afterAll(() => store.close());
  afterEach(() => {
    for (const { feed, subscriber } of subscribed.splice(0)) feed.unsubscribe(subscriber);
  });

  /** A feed of its own, as another replica has, and what it tells. */
  const follow = async (): Promise<{ ids: string[]; gaps: () => number; errors: unknown[] }> => {
    const errors: unknown[] = [];
    const feed = new DecisionFeed({
      trail: new SqlDecisionSearch(store.database.kysely),
      now: () => systemClock.now(),
      onError: (error) => errors.push(error),
    });
    const ids: string[] = [];
    let gaps = 0;
    const subscriber = ({ decisions, gap }: Batch): void => {
      ids.push(...decisions.map(({ decisionId }) => decisionId));
      if (gap) gaps++;
    };
    await feed.subscribe(subscriber);
    subscribed.push({ feed, subscriber });
    return { ids, gaps: () => gaps, errors };
  };

  test("each follower is told of each decision once, whoever wrote it, and of none from before", async () => {
    await record(store, [{}, {}]);
    await sleep(200);
    const followers = [await follow(), await follow()];
    const expected: string[] = [];
    for (let round = 0; round < 8; round++) {
      expected.push(...(await record(store, [{}, {}, {}])).map(({ decisionId }) => decisionId));
      await sleep(130);
    }
    for (const { ids, gaps, errors } of followers) {
      await expect.poll(() => ids.length).toBe(expected.length);
      expect(new Set(ids)).toEqual(new Set(expected));
      expect([gaps(), errors]).toEqual([0, []]);
    }
  });

  test("a decision that is committed long after its time is told all the same", {
    tags: ["full"],
    timeout: 30_000,
  }, async () => {
    const follower = await follow();
    const [recent] = await record(store, [{ recordedAt: systemClock.now() - 2_000_000 }]);
    await expect.poll(() => follower.ids).toEqual([recent?.decisionId]);
    const [late] = await record(store, [{ recordedAt: systemClock.now() - 30_000_000 }]);
    await expect.poll(() => follower.ids).toEqual([recent?.decisionId, late?.decisionId]);
  });

  test("more than can be followed is a gap, and what comes then is told again", {
    tags: ["full"],
    timeout: 30_000,
  }, async () => {
    const follower = await follow();
    const at = systemClock.now() + 1_000_000;
    await record(
      store,
      Array.from({ length: 2500 }, (_, index) => ({ recordedAt: at + index })),
    );
    await expect.poll(follower.gaps).toBeGreaterThan(0);
    await sleep(1500);
    const before = follower.ids.length;
    const [next] = await record(store, [{}]);
    await expect.poll(() => follower.ids.slice(before)).toEqual([next?.decisionId]);
  });
});
