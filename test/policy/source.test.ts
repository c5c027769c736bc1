import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { UsageError } from "../../src/core/fault.ts";
import { openPolicySource, type PolicyEvent, type PolicySource } from "../../src/policy/source.ts";
import { policyDir } from "./support.ts";

const ALLOW = "rules: [{id: ok, tools: [t], effect: allow}]";
const DENY = "rules: [{id: no, tools: [t], effect: deny}]";
const BROKEN = "rules: [{id: no, tools: [t], effect: permit}]";
const PATIENCE = { timeout: 15_000, interval: 20 };

async function open(dir: string, watch = false): Promise<{ source: PolicySource; events: PolicyEvent[] }> {
  const events: PolicyEvent[] = [];
  const source = await openPolicySource(dir, { watch });
  source.onChange = (event) => events.push(event);
  onTestFinished(() => source.close());
  return { source, events };
}

/** A source whose reads hang while there is a file `pipe` in its directory. */
async function openStoppable(
  dir: string,
  watch: boolean,
  timeoutMs = 2_000,
): Promise<{ source: PolicySource; events: PolicyEvent[] }> {
  const events: PolicyEvent[] = [];
  const reader = { program: join(import.meta.dirname, "stuck-child.ts"), timeoutMs };
  const source = await openPolicySource(dir, { watch, reader });
  source.onChange = (event) => events.push(event);
  onTestFinished(() => source.close());
  return { source, events };
}

function hang(dir: string): void {
  expect(spawnSync("mkfifo", [join(dir, "pipe")]).status).toBe(0);
}

function decisionOf(source: PolicySource): string {
  return source.current.evaluate({ agentId: "a", tool: "t", payload: {} }).decision;
}

describe("a policy source", () => {
  it("does not open on a broken bundle", async () => {
    const dir = await policyDir({ "a.yaml": BROKEN });
    await expect(openPolicySource(dir, { watch: false })).rejects.toBeInstanceOf(UsageError);
  });

  it("does not take a deny that can never match, and takes one that is switched off, with a warning", async () => {
    const dead = "rules: [{id: dead, tools: [t], effect: deny, when: 'payload.n > 5 && payload.n < 3'}]";
    await expect(openPolicySource(await policyDir({ "a.yaml": dead }), { watch: false })).rejects.toThrow(
      "can never match",
    );

    const off = "rules: [{id: off, tools: [t], effect: deny, when: false}, {id: ok, tools: [t], effect: allow}]";
    const dir = await policyDir({ "a.yaml": off });
    const { source } = await open(dir);
    expect(source.warnings).toEqual([
      expect.stringContaining("rule off (deny) can never match: its condition is false"),
    ]);
    await writeFile(join(dir, "a.yaml"), dead);
    await source.reload();
    expect(source.problem).toContain("rule dead (deny) can never match");
    expect(decisionOf(source)).toBe("allow");
  });

  it("puts a new bundle in force on reload, and tells of it once", async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const { source, events } = await open(dir);
    const before = source.current;
    await source.reload();
    expect(events).toEqual([]);
    await writeFile(join(dir, "a.yaml"), DENY);
    await source.reload();
    expect(decisionOf(source)).toBe("deny");
    expect(events).toEqual([{ kind: "activated", version: source.current.version }]);
    // Who holds the old bundle for a decision under way keeps it whole.
    expect(before.evaluate({ agentId: "a", tool: "t", payload: {} }).decision).toBe("allow");
  });

  it.each([
    ["a rule that is wrong", { "a.yaml": BROKEN }],
    ["a file that is empty", { "a.yaml": "" }],
    ["a file of the wrong ending", { "b.yml": DENY }],
    ["an id that stands twice", { "b.yaml": ALLOW }],
  ])("keeps the last good bundle in force over %s, and says so until it is mended", async (_what, files) => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const { source, events } = await open(dir);
    const { version } = source.current;
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
    await source.reload();
    expect(source.current.version).toBe(version);
    expect(decisionOf(source)).toBe("allow");
    expect(source.problem).toContain(dir);
    expect(events).toEqual([{ kind: "refused", problems: [expect.stringContaining(dir)] }]);
    for (const name of Object.keys(files)) await rm(join(dir, name));
    await writeFile(join(dir, "a.yaml"), ALLOW);
    await source.reload();
    expect(source.problem).toBe(null);
    expect(events.at(-1)).toEqual({ kind: "activated", version });
  });

  it("keeps the last good bundle in force when the directory goes away", async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const { source } = await open(dir);
    await rm(dir, { recursive: true });
    await source.reload();
    expect([decisionOf(source), source.problem]).toEqual(["allow", expect.stringContaining("not readable")]);
  });

  it("follows changes of the files by itself, and is not led astray by a broken one", async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const { source } = await open(dir, true);
    await writeFile(join(dir, "a.yaml"), DENY);
    await vi.waitFor(() => expect(decisionOf(source)).toBe("deny"), PATIENCE);
    await writeFile(join(dir, "a.yaml"), BROKEN);
    await vi.waitFor(() => expect(source.problem).toContain("unknown effect"), PATIENCE);
    expect(decisionOf(source)).toBe("deny");
    await writeFile(join(dir, "a.yaml"), ALLOW);
    await vi.waitFor(() => expect([decisionOf(source), source.problem]).toEqual(["allow", null]), PATIENCE);
  });

  it("follows files swapped behind links, of which no watch tells", { tags: ["full"] }, async () => {
    const dir = await policyDir({ "placeholder.txt": "" });
    await mkdir(join(dir, "one"));
    await mkdir(join(dir, "two"));
    await writeFile(join(dir, "one", "a.yaml"), ALLOW);
    await writeFile(join(dir, "two", "a.yaml"), DENY);
    const [policies, data] = [join(dir, "policies"), join(dir, "data")];
    await mkdir(policies);
    await symlink(join(dir, "one"), data);
    await symlink(join(data, "a.yaml"), join(policies, "a.yaml"));
    const { source } = await open(policies, true);
    expect(decisionOf(source)).toBe("allow");
    await symlink(join(dir, "two"), `${data}.new`);
    await rename(`${data}.new`, data);
    await vi.waitFor(() => expect(decisionOf(source)).toBe("deny"), PATIENCE);
  });

  it("never puts half of a copy in force, though it would be a valid bundle", async () => {
    const dir = await policyDir({ "a.yaml": ALLOW, "deny.yaml": DENY });
    const { source } = await open(dir);
    expect(decisionOf(source)).toBe("deny");
    const seen = new Set<string>();
    const watching = setInterval(() => seen.add(decisionOf(source)), 1);
    // A copy that takes the rule that denies away before it writes it again.
    await rm(join(dir, "deny.yaml"));
    const reloaded = source.reload();
    await new Promise((resolve) => setTimeout(resolve, 50));
    // At once, before any timer of the source that is due as well.
    writeFileSync(join(dir, "deny.yaml"), DENY.replace("no,", "nope,"));
    await reloaded;
    clearInterval(watching);
    expect([...seen]).toEqual(["deny"]);
    expect(source.current.rules.map(({ id }) => id)).toEqual(["ok", "nope"]);
  });

  it("goes on after a listener that throws, and does nothing more once closed", async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const source = await openPolicySource(dir, { watch: false });
    source.onChange = () => {
      throw new Error("listener");
    };
    await writeFile(join(dir, "a.yaml"), DENY);
    await source.reload();
    await writeFile(join(dir, "a.yaml"), ALLOW);
    await source.reload();
    expect(decisionOf(source)).toBe("allow");
    await source.close();
    await writeFile(join(dir, "a.yaml"), DENY);
    await source.reload();
    expect(decisionOf(source)).toBe("allow");
  });

  it("opens on a whole copy, not on the half that was there when it began", async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const reader = { program: join(import.meta.dirname, "copying-child.ts") };
    const source = await openPolicySource(dir, { watch: false, reader });
    onTestFinished(() => source.close());
    expect(decisionOf(source)).toBe("deny");
  });

  it("opens on old files only if none was replaced while they were read", async () => {
    const dir = await policyDir({ "a.yaml": ALLOW, "deny.yaml": DENY });
    const clock = { ...systemClock, now: () => systemClock.now() + 3600_000_000 };
    const reader = { program: join(import.meta.dirname, "torn-child.ts") };
    const source = await openPolicySource(dir, { watch: false, reader, clock });
    onTestFinished(() => source.close());
    expect(decisionOf(source)).toBe("deny");
  });

  it("refuses files that never stop changing, and takes them when they do", { tags: ["full"] }, async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const { source, events } = await open(dir);
    let n = 0;
    const changing = setInterval(() => void writeFile(join(dir, "a.yaml"), `${ALLOW} # ${n++}`), 10);
    await source.reload();
    clearInterval(changing);
    expect([decisionOf(source), source.problem]).toEqual(["allow", expect.stringContaining("keep changing")]);
    await source.reload();
    expect(source.problem).toBe(null);
    expect(events.map(({ kind }) => kind)).toEqual(["refused", "activated"]);
  });

  it("keeps few of the problems of a file that has thousands", async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const { source } = await open(dir);
    await writeFile(join(dir, "a.yaml"), `rules:\n${"  - {}\n".repeat(2_000)}`);
    await source.reload();
    expect(source.problem?.split("\n")).toHaveLength(21);
    expect(source.problem).toMatch(/\nand \d+ more problems$/);
  });

  it("warns of what it does not read, and looks again when it is reloaded", async () => {
    const dir = await policyDir({ "a.yaml": ALLOW, "b.yaml.bak": DENY });
    const { source, events } = await open(dir);
    expect(source.warnings).toEqual([expect.stringContaining("b.yaml.bak:1:1: this is not read")]);
    await rm(join(dir, "b.yaml.bak"));
    await source.reload();
    expect([source.warnings, events.length]).toEqual([[], 1]);
  });

  it("refuses a bundle with a pipe in the place of a file, and recovers when it is gone", async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const { source } = await open(dir, true);
    expect(spawnSync("mkfifo", [join(dir, "z.yaml")]).status).toBe(0);
    await writeFile(join(dir, "b.yaml"), DENY);
    await vi.waitFor(() => expect(source.problem).toContain("z.yaml:1:1: this is a named pipe"), PATIENCE);
    expect(decisionOf(source)).toBe("allow");
    await rm(join(dir, "z.yaml"));
    await vi.waitFor(() => expect([decisionOf(source), source.problem]).toEqual(["deny", null]), PATIENCE);
  });

  it("does not open on a directory that hangs", { tags: ["full"] }, async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    hang(dir);
    await expect(openStoppable(dir, false)).rejects.toThrow(UsageError);
    await expect(openStoppable(dir, false)).rejects.toThrow("reading took longer than 2 s");
  });

  it("keeps the last good bundle in force while reads hang, says so once, and recovers by itself", {
    tags: ["full"],
  }, async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const { source, events } = await openStoppable(dir, true);
    const { version } = source.current;
    hang(dir);
    await writeFile(join(dir, "a.yaml"), DENY);
    await vi.waitFor(() => expect(source.problem).toContain("reading took longer than 2 s"), PATIENCE);
    const { age } = source;
    expect(age).toBeGreaterThan(2_000);
    // One more read that hangs tells nothing new.
    await source.reload();
    expect(events.filter(({ kind }) => kind === "unread")).toHaveLength(1);
    expect(source.age).toBeGreaterThan(age);
    expect([decisionOf(source), source.current.version]).toEqual(["allow", version]);
    await rm(join(dir, "pipe"));
    await vi.waitFor(() => expect([decisionOf(source), source.problem]).toEqual(["deny", null]), PATIENCE);
    expect(events.at(-1)).toEqual({ kind: "activated", version: source.current.version });
    expect(source.age).toBeLessThan(age);
  });

  it("tells that the policies are in force again though they did not change while reads hung", {
    tags: ["full"],
  }, async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const { source, events } = await openStoppable(dir, false);
    hang(dir);
    await source.reload();
    await rm(join(dir, "pipe"));
    await source.reload();
    expect(events.map(({ kind }) => kind)).toEqual(["unread", "activated"]);
    expect(source.problem).toBe(null);
  });

  it("reads once for all reloads that are asked for while a read hangs", { tags: ["full"] }, async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const { source } = await openStoppable(dir, false);
    hang(dir);
    const first = source.reload();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const others = Array.from({ length: 100 }, () => source.reload());
    expect(new Set(others).size).toBe(1);
    await rm(join(dir, "pipe"));
    await writeFile(join(dir, "a.yaml"), DENY);
    await Promise.all([first, ...others]);
    expect(decisionOf(source)).toBe("deny");
  });

  it("closes at once in the middle of a read that hangs", async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const { source, events } = await openStoppable(dir, false, 600_000);
    hang(dir);
    const reloaded = source.reload();
    // It has begun then.
    await new Promise((resolve) => setImmediate(resolve));
    await source.close();
    await reloaded;
    expect(events).toEqual([]);
  });
});
