import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmdirSync } from "node:fs";
import { copyFile, mkdtemp, readdir, readFile, rename, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { systemClock } from "../../../../src/core/clock.ts";
import { type JournalEntry, readBody } from "../../../../src/core/journal-format.ts";
import { type Journal, openJournal } from "../../src/journal/journal.ts";
import { agentId, bypass, deny } from "../support/journal-samples.ts";
import { ownProcess, showErrors } from "../../../../test/support/owned.ts";

let dir: string;
const opened: Journal[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "datacrawl-journal-"));
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((journal) => journal.close()));
  await rm(dir, { recursive: true, force: true });
});

async function open(maxBytes?: number): Promise<Journal> {
  const journal = await openJournal({ dir, agentId, clock: systemClock, ...(maxBytes !== undefined && { maxBytes }) });
  opened.push(journal);
  return journal;
}

/** Names in the agent's directory, by what is behind the journal's id. */
async function files(): Promise<string[]> {
  return (await readdir(join(dir, agentId))).map((name) => name.replace(/^[0-9a-f-]{36}/, "")).toSorted();
}

async function pathOf(ending: string): Promise<string> {
  const name = (await readdir(join(dir, agentId))).find((found) => found.endsWith(ending));
  return join(dir, agentId, name ?? "none");
}

function decisionIds(entries: readonly JournalEntry[]): string[] {
  return entries.map(({ body }) => {
    const record = readBody(body);
    return "problem" in record ? record.problem : record.decisionId;
  });
}

/** Uploads all that is pending, as a service that records everything would have it. */
async function uploadAll(journal: Journal): Promise<JournalEntry[]> {
  const all: JournalEntry[] = [];
  for (;;) {
    const entries = await journal.pending(500);
    if (entries.length === 0) return all;
    all.push(...entries);
    await journal.acknowledge(entries.map(({ hash }) => hash));
  }
}

async function copyOf(path: string): Promise<string> {
  await copyFile(path, `${path}.copy`);
  return `${path}.copy`;
}

/** A journal in a process of its own, and the lines that it has printed. */
function startWriter(args: readonly string[], prefix: readonly string[] = [], env: Record<string, string> = {}) {
  const command = [...prefix, process.execPath, "clients/typescript/test/journal/journal-writer.ts", dir, ...args];
  const child = showErrors(
    ownProcess(
      spawn(command[0] ?? "", command.slice(1), {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, ...env },
      }),
    ),
  );
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => lines.push(line));
  return { child, lines, finished: once(reader, "close"), line: () => once(reader, "line") };
}

async function killed(child: ChildProcess): Promise<void> {
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

function idsAfter(word: string, lines: readonly string[]): string[] {
  return lines.flatMap((line) => (line.startsWith(`${word} `) ? [line.split(" ")[1] ?? ""] : []));
}

/** What a process leaves that ends with three bypasses not uploaded. */
async function leaveThree(): Promise<string[]> {
  const records = [bypass(), bypass(), bypass()];
  const journal = await open();
  for (const record of records) await journal.recordBypass(record);
  await journal.close();
  return records.map(({ decisionId }) => decisionId);
}

describe("a journal", () => {
  test("gives back what it was given, chained and numbered, until that is acknowledged; then it leaves no file", async () => {
    const journal = await open();
    expect(await files()).toEqual([]);
    const records = [deny(), bypass(), deny({ tool: "gmail.send" })] as const;
    journal.recordDeny(() => records[0]);
    await journal.recordBypass(records[1]);
    journal.recordDeny(() => records[2]);
    const entries = await journal.pending(500);
    expect(decisionIds(entries)).toEqual(records.map(({ decisionId }) => decisionId));
    expect(entries.map(({ sequence, journalId }) => [sequence, journalId])).toEqual(
      [1, 2, 3].map((n) => [n, journal.id]),
    );
    expect(entries[0]?.previousHash).toEqual(Buffer.alloc(32));
    expect(entries[1]?.previousHash).toEqual(entries[0]?.hash);
    expect(entries[2]?.previousHash).toEqual(entries[1]?.hash);
    expect(journal.counts).toEqual({ unsynced: 3, coalescedDenies: 0 });
    expect(await files()).toEqual([".000001.log", ".lock"]);

    await journal.acknowledge([entries[1]?.hash ?? Buffer.alloc(0), Buffer.alloc(32, 7)]);
    expect(decisionIds(await journal.pending(500))).toEqual([records[0].decisionId, records[2].decisionId]);
    expect(decisionIds(await journal.pending(1))).toEqual([records[0].decisionId]);
    expect(await uploadAll(journal)).toHaveLength(2);
    expect(journal.counts.unsynced).toBe(0);
    expect(await files()).toEqual([".lock"]);

    // The chain goes on in the next file.
    await journal.recordBypass(bypass());
    const [next] = await journal.pending(500);
    expect(next).toMatchObject({ sequence: 4, previousHash: entries[2]?.hash });
    await uploadAll(journal);
    await journal.close();
    expect(await files()).toEqual([]);
  });

  test("counts a record as unsynced until it is acknowledged, also while it is being written", async () => {
    const journal = await open();
    const counted = new Set<number>();
    journal.recordDeny(deny);
    let isOver = false;
    const pending = journal.pending(500).finally(() => (isOver = true));
    while (!isOver) {
      counted.add(journal.counts.unsynced);
      await new Promise(setImmediate);
    }
    expect([...counted]).toEqual([1]);
    await journal.acknowledge((await pending).map(({ hash }) => hash));
    expect(journal.counts.unsynced).toBe(0);
  });

  test("has the record of a bypass in its file when the promise resolves, also of many at once", async () => {
    const journal = await open();
    const records = Array.from({ length: 300 }, () => bypass());
    await Promise.all(
      records.map(async (record) => {
        await journal.recordBypass(record);
        const paths = (await readdir(join(dir, agentId))).filter((name) => name.endsWith(".log"));
        const contents = await Promise.all(paths.map((name) => readFile(join(dir, agentId, name), "utf8")));
        expect(contents.join("")).toContain(record.decisionId);
      }),
    );
    expect(decisionIds(await uploadAll(journal))).toEqual(records.map(({ decisionId }) => decisionId));
  });

  test("keeps its files from other users", async () => {
    const journal = await open();
    await journal.recordBypass(bypass());
    expect((await stat(join(dir, agentId))).mode & 0o777).toBe(0o700);
    expect((await stat(await pathOf(".log"))).mode & 0o777).toBe(0o600);
  });

  test("is a row of files, each removed when all its records are acknowledged", async () => {
    const journal = await open();
    const records = Array.from({ length: 1500 }, () => deny());
    for (const record of records) journal.recordDeny(() => record);
    await journal.recordBypass(bypass());
    const before = (await files()).length;
    expect(before).toBeGreaterThan(3);
    const first = await journal.pending(500);
    await journal.acknowledge(first.map(({ hash }) => hash));
    const all = [...first, ...(await uploadAll(journal))];
    expect(decisionIds(all).slice(0, 1500)).toEqual(records.map(({ decisionId }) => decisionId));
    expect(all.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 1501 }, (_, index) => index + 1));
    expect(await files()).toEqual([".lock"]);
  });

  test("that is full counts denies instead of keeping them, keeps every bypass, and tells the count when there is room", async () => {
    const journal = await open(20_000);
    for (let made = 0; made < 100; made++) journal.recordDeny(() => deny());
    await journal.recordBypass(bypass());
    const { coalescedDenies } = journal.counts;
    expect(coalescedDenies).toBeGreaterThan(30);
    for (let made = 0; made < 20; made++) await journal.recordBypass(bypass());
    // From now on they are only counted.
    journal.recordDeny(() => deny());
    expect(journal.counts).toEqual({ unsynced: 100 - coalescedDenies + 21, coalescedDenies: coalescedDenies + 1 });
    const kept = await uploadAll(journal);
    expect(kept).toHaveLength(100 - coalescedDenies + 21);
    const told = kept
      .map(({ body }) => readBody(body))
      .reduce((sum, record) => sum + ("coalesced" in record ? record.coalesced : 0), 0);
    expect(told).toBe(coalescedDenies);
    journal.recordDeny(() => deny());
    const [next] = await uploadAll(journal);
    expect(readBody(next?.body ?? Buffer.alloc(0))).toMatchObject({ coalesced: 1 });
    expect(journal.counts.coalescedDenies).toBe(coalescedDenies + 1);
  });

  test("writes denies that come one by one together, soon, and not behind a bypass", async () => {
    const journal = await open();
    const lines = async () => (await readFile(await pathOf(".log"), "utf8").catch(() => "")).split("\n").length - 1;
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    for (let made = 0; made < 20; made++) {
      journal.recordDeny(() => deny());
      expect(await files()).toEqual([]);
    }
    vi.advanceTimersByTime(50);
    vi.useRealTimers();
    await expect.poll(lines).toBe(20);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    journal.recordDeny(() => deny());
    await journal.recordBypass(bypass());
    expect(await lines()).toBe(22);
  });

  test("has its denies written when the process ends by itself, without close", async () => {
    const writer = startWriter(["0", "0", "deny and end"]);
    await writer.finished;
    expect(decisionIds(await uploadAll(await open()))).toEqual(idsAfter("denied", writer.lines));
  });

  test("does not hold an endless burst of denies in memory", async () => {
    const journal = await open();
    for (let made = 0; made < 100_000; made++) journal.recordDeny(() => deny());
    const { unsynced, coalescedDenies } = journal.counts;
    expect(unsynced).toBeLessThan(10_000);
    expect(unsynced + coalescedDenies).toBe(100_000);
  });

  test("rejects a bypass that it could not keep exactly, and counts a deny that is no record, and goes on", async () => {
    const journal = await open();
    await expect(journal.recordBypass(bypass({ tool: "x".repeat(257) }))).rejects.toThrow(/exactly/);
    journal.recordDeny(() => deny({ decisionId: "none" }));
    await journal.recordBypass(bypass());
    expect(journal.counts).toEqual({ unsynced: 1, coalescedDenies: 1 });
  });

  test("that is closed rejects bypasses, keeps what it was given before, and counts denies", async () => {
    const journal = await open();
    for (let made = 0; made < 1000; made++) journal.recordDeny(() => deny());
    await journal.close();
    await expect(journal.recordBypass(bypass())).rejects.toThrow("closed");
    journal.recordDeny(() => deny());
    expect(journal.counts.coalescedDenies).toBe(1);
    expect(await journal.pending(500)).toEqual([]);
    await journal.acknowledge([Buffer.alloc(32)]);
    expect(await uploadAll(await open())).toHaveLength(1000);
  });

  test("of one agent leaves another's alone", async () => {
    const journal = await open();
    await journal.recordBypass(bypass());
    await journal.close();
    const other = await openJournal({ dir, agentId: "billing-2", clock: systemClock });
    opened.push(other);
    expect(await other.pending(500)).toEqual([]);
    await expect(openJournal({ dir, agentId: "../x", clock: systemClock })).rejects.toThrow("not an agent id");
  });

  test("needs a directory that it can make", async () => {
    await writeFile(join(dir, "file"), "");
    await expect(openJournal({ dir: join(dir, "file"), agentId, clock: systemClock })).rejects.toThrow(
      /ENOTDIR|EEXIST/,
    );
  });
});

describe("without a directory, a journal", () => {
  test("keeps denies in memory and no bypass at all", async () => {
    const journal = await openJournal({ dir: null, agentId, clock: systemClock, maxBytes: 20_000 });
    opened.push(journal);
    await expect(journal.recordBypass(bypass())).rejects.toThrow("no journal directory");
    for (let made = 0; made < 100; made++) journal.recordDeny(() => deny());
    const entries = await uploadAll(journal);
    expect(entries.length + journal.counts.coalescedDenies).toBe(100);
    expect(entries[1]?.previousHash).toEqual(entries[0]?.hash);
    expect(journal.counts.unsynced).toBe(0);
  });
});

describe("what a dead process left", () => {
  test("has every bypass that was acknowledged before a kill -9, once", async () => {
    for (const denies of ["0", "3", "40"]) {
      const writer = startWriter(["100000", denies]);
      while (idsAfter("kept", writer.lines).length < 30) await writer.line();
      await killed(writer.child);
      await writer.finished;
      const kept = idsAfter("kept", writer.lines);
      const journal = await open();
      const uploaded = decisionIds(await uploadAll(journal));
      expect(uploaded).toEqual(expect.arrayContaining(kept));
      expect(new Set(uploaded).size).toBe(uploaded.length);
      expect(journal.problems).toEqual([]);
      expect(await files()).toEqual([]);
    }
  });

  test("is taken over by one of those alive, and by nobody while it lives", async () => {
    const writer = startWriter(["5", "0"]);
    while (!writer.lines.some((line) => line.startsWith("counts"))) await writer.line();
    const [one, two] = [await open(), await open()];
    expect(await Promise.all([one.pending(500), two.pending(500)])).toEqual([[], []]);

    await one.recordBypass(bypass());
    await killed(writer.child);
    const taken = await Promise.all([one.pending(500), two.pending(500)]);
    const others = taken.flat().filter(({ journalId }) => journalId !== one.id);
    expect(decisionIds(others)).toEqual(idsAfter("kept", writer.lines));
    // Leftovers go first, in a batch of their own.
    for (const batch of taken) expect(new Set(batch.map(({ journalId }) => journalId)).size).toBeLessThanOrEqual(1);
    expect((await uploadAll(one)).length + (await uploadAll(two)).length).toBe(6);
    expect(await files()).toEqual([".lock"]);
  });

  test("changes hands again when its new owner dies with it", async () => {
    const first = startWriter(["3", "0"]);
    while (!first.lines.some((line) => line.startsWith("counts"))) await first.line();
    await killed(first.child);
    const second = startWriter(["2", "0"]);
    while (!second.lines.some((line) => line.startsWith("counts"))) await second.line();
    const journal = await open();
    expect(await journal.pending(500)).toEqual([]);
    await killed(second.child);
    expect(decisionIds(await uploadAll(journal)).toSorted()).toEqual(
      [...idsAfter("kept", first.lines), ...idsAfter("kept", second.lines)].toSorted(),
    );
  });

  test("with a torn end gives all but that, and is gone", async () => {
    const ids = await leaveThree();
    const path = await pathOf(".log");
    await truncate(path, (await stat(path)).size - 10);
    const journal = await open();
    expect(decisionIds(await uploadAll(journal))).toEqual(ids.slice(0, 2));
    expect(journal.problems).toEqual([]);
    expect(await files()).toEqual([]);
  });

  test("torn at any byte of its last record gives all before that, and goes on", async () => {
    const ids = await leaveThree();
    const path = await pathOf(".log");
    const content = await readFile(path);
    const last = content.lastIndexOf("\n", -2) + 1;
    for (let length = last; length <= content.length; length++) {
      await writeFile(path, content.subarray(0, length));
      const journal = await openJournal({ dir, agentId, clock: systemClock });
      const isWhole = length >= content.length - 1;
      expect(decisionIds(await uploadAll(journal)), `${length} bytes`).toEqual(isWhole ? ids : ids.slice(0, 2));
      const next = bypass();
      await journal.recordBypass(next);
      expect(decisionIds(await uploadAll(journal))).toEqual([next.decisionId]);
      expect(journal.problems).toEqual([]);
      await journal.close();
    }
    expect(await files()).toEqual([]);
  });

  test("damaged in the middle gives what is before, is kept for people, and is told of", async () => {
    const ids = await leaveThree();
    const path = await pathOf(".log");
    const content = await readFile(path);
    content.writeUInt8(content.readUInt8(content.length / 2) ^ 1, content.length / 2);
    await writeFile(path, content);
    const journal = await open();
    expect(journal.problems).toEqual([expect.stringContaining("is damaged")]);
    expect(decisionIds(await uploadAll(journal))).toEqual(ids.slice(0, 1));
    expect(await files()).toEqual([".000001.log.damaged"]);
    expect(await readFile(`${path}.damaged`)).toEqual(content);
    expect((await open()).problems).toEqual([]);
  });

  test("damaged from its first byte is kept for people", async () => {
    await leaveThree();
    await writeFile(await pathOf(".log"), "not a journal\n");
    const journal = await open();
    expect(await uploadAll(journal)).toEqual([]);
    expect(journal.problems).toHaveLength(1);
    expect(await files()).toEqual([".000001.log.damaged"]);
  });

  test("of a lock that nobody holds is removed after an hour", async () => {
    const writer = startWriter(["1", "0"]);
    while (!writer.lines.some((line) => line.startsWith("counts"))) await writer.line();
    await rm(await pathOf(".log"));
    await killed(writer.child);
    await open();
    expect(await files()).toEqual([".lock"]);
    await utimes(await pathOf(".lock"), 1, 1);
    await open();
    expect(await files()).toEqual([]);
  });
});

describe("a journal whose own file is damaged while it is in use", () => {
  test.each([
    [
      "by a changed byte",
      async (path: string) => writeFile(path, (await readFile(path, "utf8")).replace("second", "Second")),
    ],
    ["by being cut", async (path: string) => truncate(path, (await stat(path)).size - 50)],
    ["by being removed", async (path: string) => rm(path)],
  ])("%s goes on in a new one, behind no damage", async (_, damage) => {
    const journal = await open();
    await journal.recordBypass(bypass());
    await journal.recordBypass(bypass({ message: "second" }));
    await damage(await pathOf(".log"));
    await journal.pending(500);
    expect(journal.problems.join()).toContain("is damaged");
    const record = bypass();
    await journal.recordBypass(record);
    expect(decisionIds(await uploadAll(journal))).toContain(record.decisionId);
  });
});

describe("a journal whose own file was tampered with while it is in use", () => {
  test.each([
    ["removed", (path: string) => rm(path), ["c"]],
    ["replaced", async (path: string) => rename(await copyOf(path), path), ["a", "c"]],
    ["cut", (path: string) => truncate(path, 100), ["c"]],
  ])("%s, rejects the bypass, and keeps the next one in a file of its own", async (_, spoil, left) => {
    const journal = await open();
    const [a, b, c] = [bypass(), bypass(), bypass()];
    await journal.recordBypass(a);
    await spoil(await pathOf(".000001.log"));
    await expect(journal.recordBypass(b)).rejects.toThrow(".000001.log");
    await journal.recordBypass(c);
    const ids = { a: a.decisionId, c: c.decisionId };
    expect(decisionIds(await uploadAll(journal))).toEqual(left.map((name) => ids[name as "a" | "c"]));
  });
});

describe("a record that the service will never accept", () => {
  test("is kept aside and not sent again, by this process or another", async () => {
    const journal = await open();
    const [good, bad, left] = [bypass(), bypass(), bypass()];
    for (const record of [good, bad, left]) await journal.recordBypass(record);
    const entries = await journal.pending(500);
    await journal.acknowledge(
      entries.slice(0, 1).map(({ hash }) => hash),
      [{ hash: entries[1]?.hash ?? Buffer.alloc(0), problem: 'not "mine"\nat all' }],
    );
    expect(decisionIds(await journal.pending(500))).toEqual([left.decisionId]);
    const aside = await readFile(join(dir, agentId, "refused.log"), "utf8");
    expect(aside).toContain(bad.decisionId);
    expect(aside).toContain(String.raw`"not \"mine\"\nat all"`);
    await journal.close();
    // What was acknowledged may be sent again after a restart: the service knows it by its hash.
    expect(decisionIds(await uploadAll(await open()))).not.toContain(bad.decisionId);
    expect(await files()).toEqual(["refused.log"]);
  });

  test("does not fill the disk if it is a deny, and is always kept if it is a bypass", async () => {
    const journal = await open(3000);
    const refuseAll = async () => {
      const entries = await journal.pending(500);
      await journal.acknowledge(
        [],
        entries.map(({ hash }) => ({ hash, problem: "no" })),
      );
    };
    for (let round = 0; round < 20; round++) {
      journal.recordDeny(() => deny());
      await refuseAll();
    }
    const path = join(dir, agentId, "refused.log");
    expect((await stat(path)).size).toBeLessThan(4000);
    const record = bypass();
    await journal.recordBypass(record);
    await refuseAll();
    expect(await readFile(path, "utf8")).toContain(record.decisionId);
    expect(journal.counts.unsynced).toBe(0);
  });
});

describe("on a disk that fails, a journal", () => {
  test("under a limit on file sizes says which records were kept, and those are there", async () => {
    // 8 blocks of 1024 bytes. The signal is ignored, so that the write fails instead.
    const writer = startWriter(["40", "0", "close"], ["bash", "-c", 'trap "" XFSZ; ulimit -f 8; exec "$@"', "bash"]);
    await writer.finished;
    const [kept, failed] = [idsAfter("kept", writer.lines), idsAfter("failed", writer.lines)];
    expect(kept.length + failed.length).toBe(40);
    expect(failed.length).toBeGreaterThan(0);
    const journal = await open();
    expect(decisionIds(await uploadAll(journal))).toEqual(kept);
    expect(journal.problems).toEqual([]);
  });

  test.skipIf(lacks("a tmpfs", canMount))(
    "that is full rejects bypasses, counts denies, and goes on when there is room",
    async () => {
      const disk = dir;
      spawnSync("mount", [...TMPFS, disk]);
      onTestFinished(() => {
        spawnSync("umount", ["-l", disk]);
        rmdirSync(disk);
      });
      dir = join(disk, "agents");
      const journal = await open();
      const kept: string[] = [];
      while (journal.counts.coalescedDenies < 5) {
        const record = bypass();
        const isKept = await journal.recordBypass(record).then(
          () => true,
          () => false,
        );
        if (isKept) kept.push(record.decisionId);
        journal.recordDeny(() => deny());
      }
      expect(kept.length).toBeGreaterThan(10);
      await expect(journal.recordBypass(bypass())).rejects.toThrow("ENOSPC");
      expect(journal.problems.join()).toContain("ENOSPC");
      const uploaded = decisionIds(await uploadAll(journal));
      expect(uploaded.filter((id) => kept.includes(id))).toEqual(kept);
      expect(journal.problems.join()).not.toContain("damaged");
      // Uploading has made room.
      const record = bypass();
      await journal.recordBypass(record);
      expect(decisionIds(await uploadAll(journal))).toContain(record.decisionId);
      await journal.close();
      expect(await files()).toEqual([]);
    },
  );

  test.skipIf(lacks("a C compiler", hasCompiler))(
    "whose fsync fails rejects bypasses and keeps nothing of them",
    async () => {
      const library = buildFailingFsync();
      // Those that work are of the directory's name, the file's name and the first record.
      const writer = startWriter(["4", "0", "close"], [], { LD_PRELOAD: library, FSYNCS_THAT_FAIL: "4-99" });
      await writer.finished;
      expect(idsAfter("kept", writer.lines)).toHaveLength(1);
      expect(idsAfter("failed", writer.lines)).toHaveLength(3);
      expect(writer.lines.find((line) => line.startsWith("failed"))).toContain("EIO");
      expect(decisionIds(await uploadAll(await open()))).toEqual(idsAfter("kept", writer.lines));
    },
  );

  test.skipIf(lacks("a C compiler", hasCompiler))("whose fsync fails once goes on in another file", async () => {
    // What the failed fsync left unwritten of this file, a later one would not write either: a hole in front of a bypass.
    const writer = startWriter(["3", "2", "close"], [], { LD_PRELOAD: buildFailingFsync(), FSYNCS_THAT_FAIL: "4-4" });
    await writer.finished;
    expect(idsAfter("kept", writer.lines)).toHaveLength(2);
    expect(await files()).toEqual([".000001.log", ".000002.log", ".lock"]);
    expect(decisionIds(await uploadAll(await open()))).toEqual(expect.arrayContaining(idsAfter("kept", writer.lines)));
  });
});

const TMPFS = ["-t", "tmpfs", "-o", "size=64k,nr_inodes=64", "tmpfs"];

function canMount(): boolean {
  const place = mkdtempSync(join(tmpdir(), "datacrawl-mount-"));
  const isMounted = spawnSync("mount", [...TMPFS, place]).status === 0;
  if (isMounted) spawnSync("umount", [place]);
  rmdirSync(place);
  return isMounted;
}

function hasCompiler(): boolean {
  return spawnSync("cc", ["--version"]).status === 0;
}

/** Under CI a skipped test is a failure. */
function lacks(what: string, isThere: () => boolean): boolean {
  if (isThere()) return false;
  if (process.env["CI"] === "true") throw new Error(`this needs ${what}`);
  return true;
}

/** A library that, loaded before libc, lets the fsyncs of a range (`first-last`, from 1) fail. */
function buildFailingFsync(): string {
  const source = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
static atomic_int calls;
int fsync(int fd) {
  int first = 0, last = -1, call = atomic_fetch_add(&calls, 1) + 1;
  sscanf(getenv("FSYNCS_THAT_FAIL"), "%d-%d", &first, &last);
  if (call >= first && call <= last) { errno = EIO; return -1; }
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}`;
  const library = join(dir, "fsync.so");
  execFileSync("cc", ["-shared", "-fPIC", "-o", library, "-x", "c", "-", "-ldl"], { input: source });
  return library;
}
