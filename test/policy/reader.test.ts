import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { UsageError } from "../../src/core/fault.ts";
import { PolicyReader, type PolicyReaderOptions, ReadFailure } from "../../src/policy/reader.ts";
import { policyDir } from "./support.ts";

const PATIENCE = { timeout: 15_000, interval: 20 };
const STUCK = join(import.meta.dirname, "stuck-child.ts");

function open(dir: string, options: PolicyReaderOptions = {}): PolicyReader {
  const reader = new PolicyReader(dir, options);
  onTestFinished(() => reader.close());
  return reader;
}

/** The processes that read `dir`. */
function readersOf(dir: string): number[] {
  const isReader = (pid: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(dir);
    } catch {
      return false;
    }
  };
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && isReader(name))
    .map(Number);
}

async function stuckDir(): Promise<string> {
  const dir = await policyDir({});
  expect(spawnSync("mkfifo", [join(dir, "pipe")]).status).toBe(0);
  return dir;
}

describe("a reader of policies", () => {
  it("reads in one process of its own, again and again, and ends it with itself", async () => {
    const dir = await policyDir({ "a.yaml": "a", "a_test.yaml": "t" });
    const reader = open(dir);
    const { rules, tests, fingerprint } = await reader.read("rules and tests");
    expect([rules, tests]).toEqual([
      [{ path: join(dir, "a.yaml"), text: "a" }],
      [{ path: join(dir, "a_test.yaml"), text: "t" }],
    ]);
    const [pid] = readersOf(dir);
    expect((await reader.read("rules")).tests).toEqual([]);
    expect(await reader.fingerprint()).toBe(fingerprint);
    expect(readersOf(dir)).toEqual([pid]);
    reader.close();
    await vi.waitFor(() => expect(readersOf(dir)).toEqual([]), PATIENCE);
    await expect(reader.read("rules")).rejects.toThrow(ReadFailure);
  });

  it("gives up a read that hangs, with the process that hangs in it, and starts another for the next", async () => {
    const dir = await stuckDir();
    const reader = open(dir, { program: STUCK, timeoutMs: 300 });
    for (let reads = 0; reads < 5; reads++) {
      const failure = await reader.read("rules").catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(ReadFailure);
      expect(String(failure)).toContain(`${dir}: reading took longer than 0.3 s`);
      await vi.waitFor(() => expect(readersOf(dir)).toEqual([]), PATIENCE);
    }
  });

  it("says whether a directory is there, in the process that then reads it", async () => {
    const dir = await policyDir({ "a.yaml": "a" });
    const reader = open(dir);
    expect(await reader.exists()).toBe(true);
    const [pid] = readersOf(dir);
    expect(await reader.read("rules")).toMatchObject({ rules: [{ text: "a" }] });
    expect(readersOf(dir)).toEqual([pid]);
    expect(await open(join(dir, "nowhere")).exists()).toBe(false);
  });

  it("gives up asking whether a directory is there on a file system that hangs", async () => {
    const dir = await stuckDir();
    const asked = open(dir, { program: STUCK, timeoutMs: 300 }).exists();
    await expect(asked).rejects.toThrow(UsageError);
    await expect(asked).rejects.toThrow(`${dir}: reading took longer than 0.3 s`);
    await vi.waitFor(() => expect(readersOf(dir)).toEqual([]), PATIENCE);
  });

  it("leaves at most three processes behind that do not end, and reads again when one has ended", async () => {
    const dir = await stuckDir();
    const reader = open(dir, { program: STUCK, timeoutMs: 300 });
    // The kernel does not end a process in an uninterruptible call; here the signal is kept from it.
    const { ChildProcess } = await import("node:child_process");
    const spared = vi.spyOn(ChildProcess.prototype, "kill").mockReturnValue(true);
    onTestFinished(() => {
      spared.mockRestore();
      for (const pid of readersOf(dir)) process.kill(pid, "SIGKILL");
    });
    for (let reads = 0; reads < 3; reads++) await expect(reader.read("rules")).rejects.toThrow("took longer");
    expect(readersOf(dir)).toHaveLength(3);
    await expect(reader.read("rules")).rejects.toThrow("since 3 processes that tried hang in the system");
    expect(readersOf(dir)).toHaveLength(3);
    process.kill(readersOf(dir)[0] as number, "SIGKILL");
    await vi.waitFor(() => expect(reader.read("rules")).rejects.toThrow("took longer"), PATIENCE);
  });

  it("fails at once when the process ends in the middle, and when it is closed", async () => {
    const dir = await stuckDir();
    const reader = open(dir, { program: STUCK });
    const ended = reader.read("rules").catch((error: unknown) => String(error));
    await vi.waitFor(() => expect(readersOf(dir)).toHaveLength(1), PATIENCE);
    process.kill(readersOf(dir)[0] as number, "SIGKILL");
    expect(await ended).toContain("the process that reads it ended (SIGKILL)");
    const closed = reader.read("rules").catch((error: unknown) => String(error));
    reader.close();
    expect(await closed).toContain("the reading was ended");
  });

  it("says so when its process cannot be started", async () => {
    const dir = await policyDir({ "a.yaml": "a" });
    await expect(open(dir, { program: "/nonexistent.js" }).read("rules")).rejects.toThrow(/ended \(status 1\)/);
    const { execPath } = process;
    onTestFinished(() => {
      process.execPath = execPath;
    });
    process.execPath = "/nonexistent/node";
    await expect(open(dir).read("rules")).rejects.toThrow(/ENOENT/);
  });

  it("ends its process when the process that asks is killed", async () => {
    const dir = await policyDir({ "a.yaml": "a" });
    const module = JSON.stringify(join(import.meta.dirname, "../../src/policy/reader.ts"));
    const program = `import { PolicyReader } from ${module};
      await new PolicyReader(process.argv[1]).read("rules");
      process.kill(process.pid, "SIGKILL");`;
    expect(spawnSync(process.execPath, ["--input-type=module", "-e", program, dir]).signal).toBe("SIGKILL");
    await vi.waitFor(() => expect(readersOf(dir)).toEqual([]), PATIENCE);
  });

  it("does not keep the process that asks from ending", async () => {
    const dir = await policyDir({ "a.yaml": "a" });
    const module = JSON.stringify(join(import.meta.dirname, "../../src/policy/reader.ts"));
    const program = `import { PolicyReader } from ${module};
      await new PolicyReader(process.argv[1], { follow: true }).read("rules");`;
    const run = spawnSync(process.execPath, ["--input-type=module", "-e", program, dir], { timeout: 30_000 });
    expect([run.status, run.signal]).toEqual([0, null]);
  });

  it("says when something changes, and hands no secret of the environment to its process", async () => {
    const dir = await policyDir({ "a.yaml": "a" });
    vi.stubEnv("DATABASE_URL", "postgres://user:secret@host/db");
    vi.stubEnv("NODE_OPTIONS", "--title=loaded");
    onTestFinished(() => void vi.unstubAllEnvs());
    const changes = vi.fn<() => void>();
    const reader = open(dir, { follow: true });
    reader.onChange = changes;
    await reader.read("rules");
    const environment = readFileSync(`/proc/${readersOf(dir)[0]}/environ`, "utf8");
    expect(environment).not.toContain("secret");
    expect(environment).not.toContain("NODE_OPTIONS");
    writeFileSync(join(dir, "a.yaml"), "b");
    await vi.waitFor(() => expect(changes).toHaveBeenCalled(), PATIENCE);
  });
});
