import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { noteKeys, noteSigner } from "../../../src/audit/log/keys.ts";
import { AUDIT_KEYS } from "../../../src/keys/key-uses.ts";
import { signNote } from "../../../src/audit/log/note.ts";
import {
  type AccessChange,
  type ChangeList,
  changeListIn,
  signChangeList,
} from "../../../src/audit/seal/change-list.ts";
import { canonicalJson } from "../../../src/core/canonical-json.ts";
import { openOrMakeSigningKeys } from "../../../src/keys/key-files.ts";
import { tempDir } from "../../support/service.ts";

const ORIGIN = "datacrawl/0123";
const keys = await openOrMakeSigningKeys(tempDir(), AUDIT_KEYS);
const trusted = noteKeys(ORIGIN, keys);

const count = (min: number) => fc.integer({ min, max: Number.MAX_SAFE_INTEGER });
const text = fc.string({ unit: "grapheme", maxLength: 30 });
const change: fc.Arbitrary<AccessChange> = fc.record({
  eventId: fc.uuid(),
  epoch: count(1),
  seq: count(0),
  recordedAt: count(1),
  kind: text,
  actor: text,
  subject: fc.option(text),
  detail: fc.dictionary(text, text, { maxKeys: 3 }).map((facts) => canonicalJson(facts, "detail", 4)),
});
const place = fc.record({ epoch: fc.nat(), size: fc.integer({ min: 0, max: 999_999_999_999_999 }) });
const list: fc.Arbitrary<ChangeList> = fc.record({
  number: fc.integer({ min: 1, max: 999_999_999_999_999 }),
  after: place,
  upTo: place,
  changes: fc.array(change, { maxLength: 5 }),
});

describe("a published list of changes", () => {
  test("is read as it was written, whatever is in it", () => {
    fc.assert(
      fc.property(list, (given) => {
        expect(changeListIn(signChangeList(ORIGIN, given, keys), trusted)).toEqual(given);
      }),
      {
        numRuns: 300,
        examples: [[{ number: 1, after: { epoch: 1, size: 0 }, upTo: { epoch: 1, size: 1 }, changes: [] }]],
      },
    );
  });

  test("is not believed if anything of it was changed, or if another key or log signed it", async () => {
    const [given] = fc.sample(
      list.filter(({ changes }) => changes.length > 1),
      { numRuns: 1, seed: 7 },
    ) as [ChangeList];
    const note = signChangeList(ORIGIN, given, keys);
    for (let at = 0; at < note.indexOf("\n\n"); at += 3) {
      const altered = `${note.slice(0, at)}${note[at] === "x" ? "y" : "x"}${note.slice(at + 1)}`;
      expect(() => changeListIn(altered, trusted)).toThrow(/note|signature|key/);
    }
    const stranger = await openOrMakeSigningKeys(tempDir(), AUDIT_KEYS);
    expect(() => changeListIn(signChangeList(ORIGIN, given, stranger), trusted)).toThrow(/no trusted key/);
    // The same key under another log's name.
    expect(() => changeListIn(signChangeList("datacrawl/4567", given, keys), trusted)).toThrow(/no trusted key/);
  });

  test("is nothing else that the same key signs", () => {
    const signed = (...lines: string[]): string => signNote(`${lines.join("\n")}\n`, [noteSigner(ORIGIN, keys)]);
    const head = [`${ORIGIN} changes`, "1", "after 1 0", "up to 1 5"];
    expect(changeListIn(signed(...head), trusted).changes).toEqual([]);
    for (const other of [
      signed(ORIGIN, "1234", "/Dp7lSZ+/gush21zmp7wWSeVVrxessXK9kYE8O0DTxI=", "epoch 1"),
      signed(`${ORIGIN} rollback`, "epoch 2", "kept 1 48", "lost 1 96 /Dp7lSZ+/gush21zmp7wWSeVVrxessXK9kYE8O0DTxI="),
      signed("datacrawl/4567 changes", ...head.slice(1)),
      signed(...head, "{}"),
      signed(...head, '{"actor":"a"'),
      signed(...head, "no JSON"),
    ])
      expect(() => changeListIn(other, trusted)).toThrow(/list of changes|not a change|JSON/);
  });
});
