import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { acknowledgementIn, coversLossOf, signAcknowledgement } from "../../../src/audit/seal/acknowledgement.ts";
import { epochLine, formatCheckpoint } from "../../../src/audit/log/checkpoint.ts";
import { noteKeys, noteSigner } from "../../../src/audit/log/keys.ts";
import { AUDIT_KEYS } from "../../../src/keys/key-uses.ts";
import { signNote } from "../../../src/audit/log/note.ts";
import { checkCheckpoint } from "../../../src/audit/proof/proof.ts";
import { openOrMakeSigningKeys, type SigningKeys } from "../../../src/keys/key-files.ts";

const ORIGIN = "datacrawl/log";
const LOST = { epoch: 3, size: 20, root: Buffer.alloc(32, 7) };
const GIVEN = { epoch: 4, kept: { epoch: 1, size: 48 }, lost: LOST };

describe("a signed acknowledgement of a rollback", () => {
  let keys: SigningKeys;
  beforeAll(async () => {
    keys = await openOrMakeSigningKeys(mkdtempSync(join(tmpdir(), "datacrawl-keys-")), AUDIT_KEYS);
  });

  test("is read as it was given", () => {
    const note = signAcknowledgement(ORIGIN, GIVEN, keys);
    expect(acknowledgementIn(note, noteKeys(ORIGIN, keys))).toEqual(GIVEN);
  });

  test("is none if it was changed, is another log's, or is a checkpoint; nor is it a checkpoint", () => {
    const trusted = noteKeys(ORIGIN, keys);
    const note = signAcknowledgement(ORIGIN, GIVEN, keys);
    expect(acknowledgementIn(note.replace("kept 1 48", "kept 1 47"), trusted)).toBeNull();
    expect(acknowledgementIn(signAcknowledgement("datacrawl/other", GIVEN, keys), trusted)).toBeNull();
    const signedText = note.slice(0, note.indexOf("\n\n") + 1);
    const asOther = signNote(signedText.replace(ORIGIN, "datacrawl/other"), [noteSigner(ORIGIN, keys)]);
    expect(acknowledgementIn(asOther, trusted)).toBeNull();
    const text = formatCheckpoint({ origin: ORIGIN, size: 1, root: LOST.root, extensions: [epochLine(4)] });
    expect(acknowledgementIn(signNote(text, [noteSigner(ORIGIN, keys)]), trusted)).toBeNull();
    expect(() => checkCheckpoint(note, trusted)).toThrow("second line is a count of leaves");
  });

  test.each([
    [1, 48, false],
    [1, 49, true],
    // A restore from before an earlier acknowledgement loses whole epochs.
    [2, 1, true],
    [2, 1_000_000, true],
    [3, 20, true],
    [3, 21, false],
    [4, 1, false],
  ])(
    "covers what was published after what was kept, up to what was lost: epoch %i, size %i: %s",
    (epoch, size, covered) => {
      expect(coversLossOf(GIVEN, { epoch, size })).toBe(covered);
    },
  );
});
