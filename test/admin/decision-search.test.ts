import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkFilter, matcher } from "../../src/admin/decision-filter.ts";
import { DecisionSearch } from "../../src/admin/decision-search.ts";
import { PageTokens } from "../../src/admin/page-tokens.ts";
import { systemClock } from "../../src/core/clock.ts";
import { SqlDecisionSearch } from "../../src/store/decision-search.ts";
import { SqlDecisionReader } from "../../src/store/decisions.ts";
import { SqlPolicyBundles } from "../../src/store/policy-bundles.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { filters, naively, newestFirst, record, variedRows } from "./decisions.ts";
import { query } from "../support/sql.ts";
import { amount } from "../support/amount.ts";
import { chanceOf } from "../support/chance.ts";
import { type DecisionFilter, type DecisionSummary, EVERY_DECISION } from "../../src/audit/row/decision-filter.ts";

const ROWS = 450;
const KEY = randomBytes(32);

describe.each(storeKinds())("searching decisions on $name", ({ open }) => {
  let store: TestStore;
  let start: number;
  let all: DecisionSummary[];

  beforeAll(async () => {
    store = await open();
    start = systemClock.now() - 60_000_000;
    all = await record(store, variedRows(ROWS, start, chanceOf("decision-search").unit));
  });
  afterAll(() => store.close());

  /** @param monotonic by default time stands still, so that no search is cut short */
  const searchWith = (rowsAtOnce: number, monotonic: () => number = () => 0): DecisionSearch =>
    new DecisionSearch({
      trail: new SqlDecisionSearch(store.database.kysely),
      monotonic,
      tokens: new PageTokens(KEY),
      rowsAtOnce,
    });

  const everyPage = async (
    search: DecisionSearch,
    filter: DecisionFilter,
    limit: number,
  ): Promise<DecisionSummary[]> => {
    const found: DecisionSummary[] = [];
    for (let pageToken = ""; ; ) {
      const page = await search.list({ filter, limit, pageToken });
      expect(page.decisions.length).toBeLessThanOrEqual(limit);
      found.push(...page.decisions);
      pageToken = page.nextPageToken;
      if (pageToken === "") return found;
    }
  };

  test("finds exactly what a plain filter finds, in order, however the pages and stretches fall", async () => {
    const property = fc.asyncProperty(
      filters(start, ROWS / 3),
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 60, max: 700 }),
      async (filter, limit, rowsAtOnce) => {
        const bounded = { ...filter, from: Math.max(start, filter.from ?? start) };
        const expected = newestFirst(all.filter((row) => naively(bounded, row)));
        expect(
          await everyPage(searchWith(rowsAtOnce), bounded, Math.max(limit, Math.ceil(expected.length / 4))),
        ).toEqual(expected);
        const matches = matcher(checkFilter(bounded));
        expect(newestFirst(all.filter(matches))).toEqual(expected);
      },
    );
    await fc.assert(property, { numRuns: amount(15, 200) });
  });

  test("misses and repeats nothing while others record", async () => {
    const filter = { ...EVERY_DECISION, agentId: "agent-a", to: start + ROWS };
    const before = newestFirst(all.filter((row) => naively(filter, row)));
    const search = searchWith(50);
    const found: DecisionSummary[] = [];
    let pageToken = "";
    do {
      const page = await search.list({ filter, limit: 7, pageToken });
      found.push(...page.decisions);
      pageToken = page.nextPageToken;
      // Newer, older and of the same microsecond as what has been seen.
      const at = page.decisions.at(-1)?.recordedAt ?? start;
      all.push(
        ...(await record(
          store,
          [at + 5, at, at - 5].map((recordedAt) => ({ recordedAt, agentId: "agent-a" })),
        )),
      );
    } while (pageToken !== "");
    const ids = found.map(({ decisionId }) => decisionId);
    expect(new Set(ids).size).toBe(ids.length);
    const old = new Set(before.map(({ decisionId }) => decisionId));
    expect(found.filter(({ decisionId }) => old.has(decisionId))).toEqual(before);
    expect(found).toEqual(newestFirst(found));
  });

  test("stops when its time is up, says so and how far it came, and goes on from there", async () => {
    let now = 0;
    const search = searchWith(100, () => (now += 600));
    const filter = { ...EVERY_DECISION, text: "occurs nowhere", to: start + ROWS };
    const first = await search.list({ filter, limit: 10, pageToken: "" });
    expect(first).toMatchObject({ decisions: [], timeWasUp: true, nextPageToken: expect.stringMatching(/./) });
    expect(first.searchedTo).toBeGreaterThan(start);
    let page = first;
    for (let count = 0; page.nextPageToken !== ""; count++) {
      const next = await search.list({ filter, limit: 10, pageToken: page.nextPageToken });
      if (next.searchedTo !== null) expect(next.searchedTo).toBeLessThan(page.searchedTo as number);
      page = next;
      expect(count).toBeLessThan(50);
    }
    expect(page).toMatchObject({ decisions: [], timeWasUp: false, searchedTo: null });
  });

  test("refuses tokens that are none of its own, or of another filter", async () => {
    const search = searchWith(100);
    const { nextPageToken } = await search.list({ filter: EVERY_DECISION, limit: 1, pageToken: "" });
    const flipped = Buffer.from(nextPageToken, "base64url");
    flipped[3] = (flipped[3] as number) ^ 1;
    const other = new PageTokens(randomBytes(32)).next({ at: start, id: all[0]?.decisionId as string }, "");
    const forged = [
      "1",
      "x".repeat(5000),
      "' OR 1=1 --",
      nextPageToken.slice(0, -1),
      `${nextPageToken}A`,
      `${nextPageToken}=`,
      flipped.toString("base64url"),
      other,
      Buffer.alloc(40).toString("base64url"),
    ];
    for (const pageToken of forged) {
      await expect(search.list({ filter: EVERY_DECISION, limit: 1, pageToken })).rejects.toMatchObject({
        code: "FIELD_INVALID",
        field: "page_token",
      });
    }
    const filter = { ...EVERY_DECISION, agentId: "agent-a" };
    await expect(search.list({ filter, limit: 1, pageToken: nextPageToken })).rejects.toMatchObject({
      field: "page_token",
    });
    await expect(search.list({ filter: EVERY_DECISION, limit: 5, pageToken: nextPageToken })).resolves.toMatchObject(
      {},
    );
  });

  test("refuses filters that mean nothing", async () => {
    const hostile: [Partial<DecisionFilter>, string][] = [
      [{ agentId: "a\0b" }, "filter.agent_id"],
      [{ agentId: "Billing" }, "filter.agent_id"],
      [{ agentId: "a".repeat(64) }, "filter.agent_id"],
      [{ tool: "g*" }, "filter.tool"],
      [{ tool: "*.send.*" }, "filter.tool"],
      [{ tool: "\ud800" }, "filter.tool"],
      [{ text: "x".repeat(201) }, "filter.text"],
      [{ text: "\0" }, "filter.text"],
      [{ grantId: "1 OR 1=1" }, "filter.grant_id"],
    ];
    for (const [change, field] of hostile) {
      const request = { filter: { ...EVERY_DECISION, ...change }, limit: 1, pageToken: "" };
      await expect(searchWith(100).list(request)).rejects.toMatchObject({ code: "FIELD_INVALID", field });
    }
  });

  test("the text of a policy version is kept once, and nobody changes it", async () => {
    const bundles = new SqlPolicyBundles(store.database.kysely);
    await bundles.keep("sha256:a", [{ name: "a.yaml", text: "first" }]);
    await bundles.keep("sha256:a", [{ name: "a.yaml", text: "second" }]);
    expect(await bundles.find("sha256:a")).toMatchObject({ files: [{ text: "first" }] });
    for (const statement of [
      "UPDATE policy_bundles SET files = '[]'",
      "DELETE FROM policy_bundles",
      "TRUNCATE policy_bundles",
    ]) {
      await expect(query(store.database, statement)).rejects.toThrow(/append-only|permission denied/);
      await expect(query(store.owner, statement)).rejects.toThrow(/append-only/);
    }
  });

  test("finds the rows that are linked with a decision, on either side", async () => {
    const [first] = await record(store, [{ recordedAt: start - 9 }]);
    const firstId = first?.decisionId as string;
    const later = await record(store, [
      { recordedAt: start - 8, linkedDecisionId: firstId },
      { recordedAt: start - 7, linkedDecisionId: firstId },
    ]);
    const reader = new SqlDecisionReader(store.database.kysely);
    expect(await reader.linked(firstId, null)).toEqual(later);
    expect(await reader.linked(later[0]?.decisionId as string, firstId)).toEqual([first]);
  });
});
