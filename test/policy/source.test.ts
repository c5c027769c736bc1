import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { UsageError } from "../../src/fault.ts";
import { openPolicySource, type PolicyEvent, type PolicySource } from "../../src/policy/source.ts";
import { policyDir } from "./support.ts";

const ALLOW = "rules: [{id: ok, tools: [t], effect: allow}]";
const DENY = "rules: [{id: no, tools: [t], effect: deny}]";
const BROKEN = "rules: [{id: no, tools: [t], effect: permit}]";
const PATIENCE = { timeout: 15_000, interval: 20 };

async function open(dir: string, watch = false): Promise<{ source: PolicySource; events: PolicyEvent[] }> {
  const events: PolicyEvent[] = [];
  const source = await openPolicySource(dir, { watch, onChange: (event) => events.push(event) });
  onTestFinished(() => source.close());
  return { source, events };
}

function decisionOf(source: PolicySource): string {
  return source.current.evaluate({ agentId: "a", tool: "t", payload: {} }).decision;
}

describe("a policy source", () => {
  it("does not open on a broken bundle", async () => {
    const dir = await policyDir({ "a.yaml": BROKEN });
    await expect(openPolicySource(dir, { watch: false })).rejects.toBeInstanceOf(UsageError);
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

  it("follows files swapped behind links, of which no watch tells", async () => {
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
    await writeFile(join(dir, "deny.yaml"), DENY.replace("no,", "nope,"));
    await reloaded;
    clearInterval(watching);
    expect([...seen]).toEqual(["deny"]);
    expect(source.current.rules.map(({ id }) => id)).toEqual(["ok", "nope"]);
  });

  it("goes on after a listener that throws, and does nothing more once closed", async () => {
    const dir = await policyDir({ "a.yaml": ALLOW });
    const source = await openPolicySource(dir, {
      watch: false,
      onChange: () => {
        throw new Error("listener");
      },
    });
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
});
