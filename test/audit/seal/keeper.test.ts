import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeEvent } from "../../../src/audit/row/event.ts";
import type { TrailKeeper } from "../../../src/audit/seal/keeper.ts";
import { CheckpointDirectory, ForkError } from "../../../src/audit/seal/published.ts";
import { systemClock } from "../../../src/core/clock.ts";
import { random } from "../../support/entries.ts";
import { storeKinds, type TestStore } from "../../support/stores.ts";
import { openTestTrail, recordDecisions, type TestTrail } from "../../support/trail.ts";
import { script } from "../../support/sql.ts";

// The embedded store is enough: what is compared is what the database says with what the directory says.
const embedded = storeKinds()[0] as ReturnType<typeof storeKinds>[number];

describe("keeping checkpoints outside the database", () => {
  let store: TestStore;
  let trail: TestTrail;
  let keeper: TrailKeeper;
  let round = 0;

  beforeAll(async () => {
    store = await embedded.open();
    trail = await openTestTrail(store.database);
  });
  afterAll(() => store.close());
  beforeEach(async () => {
    keeper = trail.newKeeper();
    await seal();
  });

  const seal = async (): Promise<void> => {
    await recordDecisions(store.database, `round-${round++}`, 3);
    await keeper.turn();
  };
  const published = async () => {
    const all = await Array.fromAsync(trail.directory.all());
    return all.map((one) => ("note" in one ? one : expect.fail(one.unreadable)));
  };

  test("each committed checkpoint is a file, and latest is the newest", async () => {
    await seal();
    const inside = await trail.seals.checkpointsAfter({ epoch: 0, size: 0 }, 100);
    expect((await published()).map(({ note }) => note)).toEqual(inside.map(({ note }) => note));
    expect((await trail.directory.latest())?.note).toBe(inside.at(-1)?.note);
    expect(await readFile(join(trail.directory.path, "latest"), "utf8")).toBe(inside.at(-1)?.note);
    expect(keeper.problems).toEqual([]);
  });

  test("what a killed process had committed and not published is published by the next", async () => {
    await recordDecisions(store.database, "killed", 3);
    // As a process that is killed between the two steps: it seals, and publishes nothing.
    await trail.newSealer().sealAll();
    const before = (await published()).length;
    await trail.newKeeper().turn();
    expect(await published()).toHaveLength(before + 1);
  });

  test("a directory that cannot be written is a problem that stops no sealing, and is made up for", async () => {
    const path = trail.directory.path;
    await cp(path, `${path}.kept`, { recursive: true });
    await rm(path, { recursive: true });
    await writeFile(path, "a file in its place");
    await seal();
    expect(keeper.problems.join()).toContain("is not usable");
    await rm(path);
    await cp(`${path}.kept`, path, { recursive: true });
    await keeper.turn();
    expect(keeper.problems).toEqual([]);
    const inside = await trail.seals.checkpointsAfter({ epoch: 0, size: 0 }, 100);
    expect((await trail.directory.latest())?.note).toBe(inside.at(-1)?.note);
  });

  test("a directory left empty by a crash, or half a file, does not hide the newest", async () => {
    const newest = await trail.directory.latest();
    await mkdir(join(trail.directory.path, "1/000/000/900/000"), { recursive: true });
    await writeFile(join(trail.directory.path, "1/000/000/900/000/001.4f1c"), "half");
    expect((await trail.directory.latest())?.note).toBe(newest?.note);
  });

  test("another checkpoint of the same size is never written over", async () => {
    const newest = await trail.directory.latest();
    if (newest === null) throw new Error("nothing is published");
    const { note } = newest;
    await trail.directory.publish(newest);
    await expect(trail.directory.publish({ ...newest, root: Buffer.alloc(32) })).rejects.toThrow(ForkError);
    expect((await trail.directory.latest())?.note).toBe(note);
  });

  test("another log's directory is not used", async () => {
    const other = new CheckpointDirectory(`${trail.directory.path}.other`);
    const theirs = (await trail.directory.latest())?.note.replaceAll(trail.origin, "datacrawl/other") ?? "";
    await mkdir(join(other.path, "1/000/000/000/000"), { recursive: true });
    await writeFile(join(other.path, "1/000/000/000/000/001"), theirs.replace(/\n\d+\n/, "\n1\n"));
    const stranger = (await openTestTrail(store.database, other.path)).newKeeper();
    await recordDecisions(store.database, "stranger", 1);
    await stranger.turn();
    expect(stranger.problems.join()).toContain("checkpoints of another log, datacrawl/other");
    expect(await readdir(join(other.path, "1/000/000/000/000"))).toEqual(["001"]);
  });

  test("a database that lacks what is published is not sealed, is told of once, and goes on in a recorded epoch", async () => {
    // A second life of the database: a copy of its directory as a backup would have it.
    const restored = await embedded.open();
    try {
      await script(
        restored.owner,
        "ALTER TABLE audit_log DISABLE TRIGGER refuse_change; " +
          `UPDATE audit_log SET log_id = '${trail.origin.slice("datacrawl/".length)}'; ` +
          "ALTER TABLE audit_log ENABLE ALWAYS TRIGGER refuse_change;",
      );
      const lagging = await openTestTrail(restored.database, trail.directory.path);
      const survivor = lagging.newKeeper();
      const lost = await trail.directory.latest();
      await recordDecisions(restored.database, "after", 2);
      for (let turn = 0; turn < 3; turn++) expect(await survivor.turn()).toBe(0);
      expect(lagging.rollbacks).toEqual([{ kind: "rolled_back", outside: lost, inside: { epoch: 1, size: 0 } }]);
      expect(survivor.problems.join()).toMatch(/it was rolled back .*acknowledge-rollback/);
      expect((await lagging.seals.state()).size).toBe(0);
      expect((await trail.directory.latest())?.note).toBe(lost?.note);

      const event = makeEvent({ kind: "audit.rollback_acknowledged", actor: "socket" }, systemClock.now(), random);
      const epoch = { number: 2, by: "socket", reason: "restored", lostNote: lost?.note ?? "" };
      // As who can write to the database may do, but cannot sign.
      const feigned = makeEvent({ kind: "audit.rollback_acknowledged", actor: "socket" }, systemClock.now(), random);
      await lagging.seals.openEpoch({ ...epoch, acknowledgement: epoch.lostNote }, feigned);
      expect(await survivor.turn()).toBe(0);
      expect(survivor.rollback).not.toBeNull();

      const given = await survivor.acknowledgement();
      expect(given?.of).toEqual({ epoch: 3, kept: { epoch: 0, size: 0 }, lost });
      epoch.number = 3;
      const acknowledgement = given?.note ?? "";
      expect(await lagging.seals.openEpoch({ ...epoch, acknowledgement }, event)).toBe(true);
      expect(await lagging.seals.openEpoch({ ...epoch, acknowledgement }, event)).toBe(false);
      expect(await survivor.turn()).toBe(4);
      expect(survivor.problems).toEqual([]);
      expect(await trail.directory.latest()).toMatchObject({ epoch: 3, size: 4 });
      // What was lost stays on record outside.
      expect((await published()).map(({ note }) => note)).toContain(lost?.note);

      // The database that went on without knowing: it has epochs less.
      await recordDecisions(store.database, "fork", 1);
      expect(await keeper.turn()).toBe(0);
      expect(keeper.rollback?.kind).toBe("rolled_back");
    } finally {
      await restored.close();
    }
  });

  test("a database that went on from an older state has forked", async () => {
    const path = `${trail.directory.path}.fork`;
    const newest = (await trail.seals.checkpointsAfter({ epoch: 0, size: 0 }, 1000)).at(-1);
    if (newest === undefined) throw new Error("nothing is sealed");
    // Another history of our own: signed by our key, of a size that this database passed without a checkpoint.
    const { formatCheckpoint, epochLine } = await import("../../../src/audit/log/checkpoint.ts");
    const { signNote } = await import("../../../src/audit/log/note.ts");
    const { noteSigner } = await import("../../../src/audit/log/keys.ts");
    const extensions = [epochLine(newest.epoch)];
    const text = formatCheckpoint({ origin: trail.origin, size: newest.size - 1, root: Buffer.alloc(32), extensions });
    const note = signNote(text, [noteSigner(trail.origin, await trail.keys())]);
    const forked = await openTestTrail(store.database, path);
    await forked.directory.publish({ epoch: newest.epoch, size: newest.size - 1, root: Buffer.alloc(32), note });
    const one = forked.newKeeper();
    await one.check();
    expect(one.rollback?.kind).toBe("forked");
  });
});
