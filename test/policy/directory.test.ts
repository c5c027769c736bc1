import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { basename, join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import {
  type EntryKind,
  fingerprintOf,
  POLICY_LIMITS,
  type PolicyDirectory,
  readPolicyDirectory,
  useOf,
} from "../../src/policy/directory.ts";
import { policyDir } from "./support.ts";
import { ownProcess } from "../support/owned.ts";

const RULES = "rules: [{id: ok, tools: [t], effect: allow}]";

function said({ problems, testProblems, warnings }: PolicyDirectory): Record<string, string> {
  const lines = (kind: string, list: PolicyDirectory["problems"]): [string, string][] =>
    list.map(({ file, message }) => [basename(file), `${kind}: ${message}`]);
  return Object.fromEntries([
    ...lines("problem", problems),
    ...lines("test problem", testProblems),
    ...lines("warning", warnings),
  ]);
}

function mkfifo(path: string): void {
  expect(spawnSync("mkfifo", [path]).status).toBe(0);
}

describe("a directory of policies", () => {
  it("is read in the order of names, tests apart from rules, links followed", async () => {
    const other = await policyDir({ "linked.yaml": "linked" });
    const dir = await policyDir({ "b.yaml": "b", "a.yaml": "a", "a_test.yaml": "tests", "README.md": "" });
    symlinkSync(join(other, "linked.yaml"), join(dir, "c.yaml"));
    const read = readPolicyDirectory(dir);
    expect(read.rules).toEqual([
      { path: join(dir, "a.yaml"), text: "a" },
      { path: join(dir, "b.yaml"), text: "b" },
      { path: join(dir, "c.yaml"), text: "linked" },
    ]);
    expect(read.tests).toEqual([{ path: join(dir, "a_test.yaml"), text: "tests" }]);
    expect([said(read), read.unchanged]).toEqual([{}, true]);
    expect(readPolicyDirectory(dir, false).tests).toEqual([]);
  });

  it("has a problem for everything that is named as rules are and is not a regular file, and waits for none of it", async () => {
    const dir = await policyDir({ "a.yaml": RULES });
    mkfifo(join(dir, "pipe.yaml"));
    symlinkSync(join(dir, "pipe.yaml"), join(dir, "to-pipe.yaml"));
    mkfifo(join(dir, "pipe_test.yaml"));
    mkdirSync(join(dir, "directory.yaml"));
    symlinkSync("/nonexistent", join(dir, "dangling.yaml"));
    symlinkSync(join(dir, "loop.yaml"), join(dir, "loop.yaml"));
    symlinkSync("/dev/zero", join(dir, "zero.yaml"));
    const server = createServer().listen(join(dir, "socket.yaml"));
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once("listening", resolve));
    const read = readPolicyDirectory(dir);
    const nowhere = expect.stringMatching(/^problem: this is a link that leads nowhere, or cannot be looked at; put /);
    expect(said(read)).toEqual({
      "pipe.yaml": "problem: this is a named pipe; put a regular file here, or remove it",
      "to-pipe.yaml": expect.stringMatching(/^problem: this is a named pipe/),
      "pipe_test.yaml": expect.stringMatching(/^test problem: this is a named pipe/),
      "directory.yaml": expect.stringMatching(/^problem: this is a directory/),
      "dangling.yaml": nowhere,
      "loop.yaml": nowhere,
      "zero.yaml": expect.stringMatching(/^problem: this is a device/),
      "socket.yaml": expect.stringMatching(/^problem: this is a socket/),
    });
    expect(read.rules.map(({ path }) => basename(path))).toEqual(["a.yaml"]);
  });

  it("does not wait for a pipe that takes a file's place after it was looked at", async () => {
    const dir = await policyDir({ "a.yaml": RULES });
    const [file, pipe, link] = [join(dir, "a.yaml"), join(dir, "pipe"), join(dir, "b.yaml")];
    mkfifo(pipe);
    symlinkSync(file, link);
    // Swaps what the link leads to for as long as the reads take: sooner or later it does so between a look and an opening.
    const swap = `for (;;) for (const to of [process.argv[1], process.argv[2]]) {
      fs.symlinkSync(to, process.argv[3] + ".new"); fs.renameSync(process.argv[3] + ".new", process.argv[3]); }`;
    const swapper = ownProcess(spawn(process.execPath, ["-e", swap, pipe, file, link], { stdio: "ignore" }));
    onTestFinished(() => void swapper.kill("SIGKILL"));
    const outcomes = new Set<string>();
    const wanted = [
      "the file is not readable as UTF-8: it is a named pipe",
      "this is a named pipe; put a regular file here, or remove it",
    ];
    for (let reads = 0; reads < 200_000 && outcomes.size < 3; reads++) {
      const { problems, rules } = readPolicyDirectory(dir);
      const problem = problems.find((one) => one.file === link)?.message;
      if (problem !== undefined) outcomes.add(problem);
      else if (rules.length === 2) outcomes.add("read");
    }
    expect([...outcomes]).toEqual(expect.arrayContaining([...wanted, "read"]));
  });

  it("has a problem for a file that is too large, in bytes or in truth, that is no UTF-8, or that others may not read", async () => {
    const dir = await policyDir({
      "sparse.yaml": "",
      "large.yaml": "#".repeat(POLICY_LIMITS.fileBytes),
      "ok.yaml": RULES,
    });
    truncateSync(join(dir, "sparse.yaml"), 1e12);
    writeFileSync(join(dir, "binary.yaml"), Buffer.from([0x72, 0xff, 0xfe]));
    // Regular by its kind, of size 0, and not to be read.
    symlinkSync("/proc/self/mem", join(dir, "mem.yaml"));
    const read = readPolicyDirectory(dir);
    expect(said(read)).toEqual({
      "sparse.yaml": "problem: the file is not readable as UTF-8: it has 1000000000000 bytes, at most 1048576 are read",
      "binary.yaml": expect.stringMatching(/^problem: the file is not readable as UTF-8/),
      "mem.yaml": expect.stringMatching(/^problem: the file is not readable as UTF-8/),
    });
    expect(read.rules.map(({ path }) => basename(path))).toEqual(["large.yaml", "ok.yaml"]);
    writeFileSync(join(dir, "large.yaml"), "#".repeat(POLICY_LIMITS.fileBytes + 1));
    expect(said(readPolicyDirectory(dir))["large.yaml"]).toContain("it has 1048577 bytes, at most 1048576 are read");
  });

  it("has a problem for a file that its reader may not read", async () => {
    const dir = await policyDir({ "a.yaml": RULES, "secret.yaml": RULES });
    chmodSync(dir, 0o755);
    chmodSync(join(dir, "secret.yaml"), 0);
    const program = `import { readPolicyDirectory } from ${JSON.stringify(join(import.meta.dirname, "../../src/policy/directory.ts"))};
      if (process.getuid() === 0) process.setuid(65534);
      console.log(JSON.stringify(readPolicyDirectory(process.argv[1])));`;
    const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", program, dir], { encoding: "utf8" });
    expect(said(JSON.parse(stdout) as PolicyDirectory)).toEqual({
      "secret.yaml": expect.stringMatching(/^problem: the file is not readable as UTF-8: EACCES/),
    });
  });

  it("has a problem for the file with which a bundle is too large, and for a directory of too many entries", async () => {
    const quarter = "#".repeat(POLICY_LIMITS.totalBytes / 4);
    const dir = await policyDir(
      Object.fromEntries(["a", "b", "c", "d", "e", "f"].map((name) => [`${name}.yaml`, quarter])),
    );
    expect(said(readPolicyDirectory(dir))).toEqual({
      "e.yaml": "problem: with the files before it, it has more than 4194304 bytes, the most of one bundle",
    });
    const full = await policyDir({});
    for (let n = 0; n <= POLICY_LIMITS.entries; n++) writeFileSync(join(full, `${n}.md`), "");
    expect(said(readPolicyDirectory(full))).toEqual({
      [basename(full)]: "problem: the directory of policies is not readable: it has more than 10000 entries",
    });
    rmSync(full, { recursive: true });
    expect(said(readPolicyDirectory(full))[basename(full)]).toContain(
      "the directory of policies is not readable: ENOENT",
    );
  });

  it("has another fingerprint when what would be read differs, and the same when only the rest does", async () => {
    const dir = await policyDir({ "a.yaml": "1" });
    const first = fingerprintOf(dir);
    writeFileSync(join(dir, "a_test.yaml"), "");
    writeFileSync(join(dir, ".a.yaml.swp"), "");
    writeFileSync(join(dir, "notes"), "");
    expect(fingerprintOf(dir)).toBe(first);
    const prints = [first];
    for (const change of [
      () => writeFileSync(join(dir, "b.yaml"), ""),
      () => writeFileSync(join(dir, "b.yaml"), "1"),
      () => chmodSync(join(dir, "b.yaml"), 0o600),
      () => rmSync(join(dir, "b.yaml")),
      () => mkfifo(join(dir, "b.yaml")),
      () => writeFileSync(join(dir, "DENY.YAML"), ""),
      () => rmSync(dir, { recursive: true }),
    ]) {
      change();
      prints.push(fingerprintOf(dir));
    }
    expect(new Set(prints).size).toBe(prints.length - 1);
    expect(prints[4]).toBe(first);
  });

  it("says if something changed while it was read", async () => {
    const dir = await policyDir({ "a.yaml": RULES });
    expect(readPolicyDirectory(dir).unchanged).toBe(true);
    const write = `for (let n = 0; ; n++) fs.writeFileSync(process.argv[1], "#".repeat(n % 100))`;
    const writer = ownProcess(spawn(process.execPath, ["-e", write, join(dir, "b.yaml")], { stdio: "ignore" }));
    onTestFinished(() => void writer.kill("SIGKILL"));
    let changed = false;
    for (let reads = 0; reads < 200_000 && !changed; reads++) changed = !readPolicyDirectory(dir).unchanged;
    expect(changed).toBe(true);
  });
});

describe("what becomes of an entry", () => {
  const use = (name: string, kind: EntryKind = "file"): string => useOf(name, () => kind).as;

  it.each([
    ["rules", ["a.yaml", "a_b.yaml", "_test.json.yaml", "a b.yaml", "test.yaml", "a_TEST.yaml"]],
    ["tests", ["a_test.yaml", "_test.yaml"]],
    [
      "problem",
      ["deny.YAML", "deny.Yaml", "deny.yml", "deny.YML", "deny.json", "deny.JSON", "deny.yaml ", "deny.yaml."],
    ],
    ["problem", ["a_test.yml", "a_test.YAML"]],
    [
      "warning",
      [
        "deny.yaml.bak",
        "deny.yaml~",
        "deny.yml.orig",
        "#deny.yaml#",
        "deny.yaml.txt",
        "deny.yaml.md",
        "deny",
        "deny.rules",
        "4913",
      ],
    ],
    ["warning", [".deny.yaml", ".deny.yaml.swp", ".#deny.yaml", "._deny.yaml", "..deny.yml"]],
    ["nothing", ["README", "README.md", "readme.txt", "LICENSE", "LICENCE.txt", "CODEOWNERS", "notes.txt", "Makefile"]],
    ["nothing", [".git", ".gitignore", ".gitkeep", ".DS_Store", "..data", "..2026_11_20_10_00_00.123"]],
  ] as const)("is %s for %j", (wanted, names) => {
    expect(names.map((name) => use(name))).toEqual(names.map(() => wanted));
  });

  it("is a warning for a directory, and a problem for one that is named as rules are", () => {
    expect(use("more", "directory")).toBe("warning");
    expect(["more.yaml", "more.yml", "more.json"].map((name) => use(name, "directory"))).toEqual([
      "problem",
      "problem",
      "problem",
    ]);
  });

  it("is never nothing where the name has an ending of rules, and only an exact ending is read", () => {
    const ending = fc.constantFrom(".yaml", ".yml", ".json").chain((text) => fc.mixedCase(fc.constant(text)));
    const part = fc.string({ unit: "grapheme-ascii", maxLength: 12 }).filter((text) => !text.includes("/"));
    const kinds = fc.constantFrom<EntryKind>("file", "directory", "fifo", "socket", "device", "nothing");
    fc.assert(
      fc.property(part, ending, part, kinds, (before, end, after, kind) => {
        const name = before + end + after;
        const { as } = useOf(name, () => kind);
        expect(as).not.toBe("nothing");
        const isRead = as === "rules" || as === "tests";
        expect(isRead).toBe(name.endsWith(".yaml") && !name.startsWith(".") && kind === "file");
      }),
    );
  });
});
