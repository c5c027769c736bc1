import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { AUDIT_KEYS } from "../../../src/keys/key-uses.ts";
import type { Place } from "../../../src/audit/seal/acknowledgement.ts";
import { isAfter } from "../../../src/audit/seal/acknowledgement.ts";
import { ChangeDirectory } from "../../../src/audit/seal/change-directory.ts";
import type { AccessChange } from "../../../src/audit/seal/change-list.ts";
import { ChangePublisher } from "../../../src/audit/seal/change-publisher.ts";
import { openOrMakeSigningKeys } from "../../../src/keys/key-files.ts";
import { uuidV7 } from "../../../src/core/ids.ts";
import { random } from "../../support/entries.ts";
import { tempDir } from "../../support/service.ts";

const keys = await openOrMakeSigningKeys(tempDir(), AUDIT_KEYS);
const NOWHERE = { epoch: 0, size: 0 };
const at = (size: number, epoch = 1): Place => ({ epoch, size });

function change(seq: number, epoch = 1, detail = "{}"): AccessChange {
  const eventId = uuidV7(seq + 1, random);
  return {
    eventId,
    epoch,
    seq,
    recordedAt: seq + 1,
    kind: "agent.revoked",
    actor: "socket",
    subject: `a${seq}`,
    detail,
  };
}

describe("publishing what changes who may do what", () => {
  let path: string;
  let tree: AccessChange[];
  let searches: [Place, Place][];
  let publisher: ChangePublisher;

  beforeEach(() => {
    [path, tree, searches] = [tempDir(), [], []];
    publisher = open();
  });

  const open = (): ChangePublisher =>
    new ChangePublisher({
      directory: new ChangeDirectory(path),
      store: {
        between: async (after, upTo, limit) => {
          searches.push([after, upTo]);
          const place = ({ epoch, seq }: AccessChange): Place => ({ epoch, size: seq + 1 });
          return tree.filter((one) => isAfter(place(one), after) && !isAfter(place(one), upTo)).slice(0, limit);
        },
      },
      origin: "datacrawl/0123",
      keys: async () => keys,
    });
  const files = (): string[] =>
    readdirSync(join(path, "changes"), { recursive: true, encoding: "utf8" }).filter((name) =>
      /(\d{3}\/){4}/.test(name),
    );
  const fileOf = (number: number): string => join(path, "changes/000/000/000/000", String(number).padStart(3, "0"));
  const seqsAfter = async (kept: Place, lost = at(1e9)): Promise<number[]> =>
    (await publisher.changesAfter(kept, lost)).changes.map(({ seq }) => seq);

  test("the first list says from where on changes are published, also without any", async () => {
    await publisher.publish(at(40), at(50));
    expect(files()).toHaveLength(1);
    expect(await publisher.changesAfter(at(40), at(50))).toEqual({ changes: [], incomplete: null });
    expect((await publisher.changesAfter(at(39), at(50))).incomplete).toMatch(/not published \(by an older version/);
  });

  test("each change is listed once, in order, by whichever process publishes; where there is none there is no list", async () => {
    tree = [change(3), change(7), change(12), change(1, 2)];
    for (const upTo of [at(5), at(10), at(11), at(20), at(5, 2), at(9, 2)]) await open().publish(NOWHERE, upTo);
    expect(files()).toHaveLength(4);
    expect(await publisher.changesAfter(NOWHERE, at(9, 2))).toEqual({ changes: tree, incomplete: null });
    expect(await seqsAfter(at(4))).toEqual([7, 12]);
    expect(await seqsAfter(at(7))).toEqual([7, 12]);
    expect(await seqsAfter(at(8))).toEqual([12]);
    expect(await seqsAfter(at(4), at(9))).toEqual([7]);
    expect(await seqsAfter(at(1, 2), at(9, 2))).toEqual([1]);
  });

  test("what is published already is not read again, and nothing is read twice without need", async () => {
    tree = [change(3)];
    await publisher.publish(NOWHERE, at(5));
    await publisher.publish(NOWHERE, at(5));
    await publisher.publish(NOWHERE, at(10));
    await publisher.publish(NOWHERE, at(20));
    expect(searches).toEqual([
      [NOWHERE, at(5)],
      [at(5), at(10)],
      [at(10), at(20)],
    ]);
    // A process that begins does not search further back than a list is written for.
    await publisher.publish(NOWHERE, at(5 + 65_536));
    searches = [];
    await open().publish(NOWHERE, at(80_000));
    expect(searches).toEqual([[at(5 + 65_536), at(80_000)]]);
  });

  test("more changes than a note holds go into several lists", async () => {
    const long = JSON.stringify({ tools: "x".repeat(20_000) });
    tree = Array.from({ length: 1100 }, (_, seq) => change(seq, 1, seq < 100 ? long : "{}"));
    await publisher.publish(NOWHERE, at(2000));
    expect(files().length).toBeGreaterThan(4);
    expect(await publisher.changesAfter(NOWHERE, at(2000))).toEqual({ changes: tree, incomplete: null });
  });

  test("replicas that publish at once leave one chain of lists", async () => {
    for (let round = 0; round < 10; round++) {
      tree.push(change(round * 10), change(round * 10 + 5));
      await Promise.all(Array.from({ length: 4 }, () => open().publish(NOWHERE, at(round * 10 + 10))));
    }
    expect(await publisher.changesAfter(NOWHERE, at(100))).toEqual({ changes: tree, incomplete: null });
  });

  test("where a list is gone, is another's or was changed, it says that there may be more", async () => {
    tree = [change(1), change(11), change(21)];
    for (const size of [10, 20, 30]) await publisher.publish(NOWHERE, at(size));
    const second = await Array.fromAsync(new ChangeDirectory(path).newestFirst());
    rmSync(fileOf(2));
    const gap = await publisher.changesAfter(NOWHERE, at(30));
    expect(gap.incomplete).toMatch(/list of changes 1 is not the one/);
    expect(gap.changes.map(({ seq }) => seq)).toEqual([21]);
    writeFileSync(fileOf(2), second[2]?.note ?? "");
    expect((await publisher.changesAfter(NOWHERE, at(30))).incomplete).toMatch(/list of changes 2 is not the one/);
    writeFileSync(fileOf(3), "nothing");
    expect((await publisher.changesAfter(NOWHERE, at(30))).incomplete).toMatch(/note/);
    await expect(publisher.publish(NOWHERE, at(40))).rejects.toThrow(/note/);
    rmSync(join(path, "changes"), { recursive: true });
    expect((await publisher.changesAfter(NOWHERE, at(30))).incomplete).toMatch(/no list of changes is published/);
  });
});
