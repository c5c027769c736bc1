import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { COMMAND_GROUPS } from "../../../src/cli/commands.ts";
import { claudeCode } from "../../../src/cli/hook/claude-code.ts";
import { diffOf } from "../../../src/cli/hook/settings-file.ts";
import { run } from "../../../src/cli/program.ts";
import type { JsonObject } from "../../../src/core/json.ts";
import { NO_TERMINAL } from "../../support/io.ts";
import { tempDir } from "../../support/service.ts";

/** A home directory, with settings of Claude Code in it unless they are null. */
function makeHome(settings: string | null = null): { readonly home: string; readonly file: string } {
  const home = tempDir();
  const file = join(home, ".claude/settings.json");
  if (settings !== null) {
    mkdirSync(dirname(file));
    writeFileSync(file, settings);
  }
  return { home, file };
}

async function hook(home: string, ...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  let [stdout, stderr, status] = ["", "", 0];
  const io = {
    ...NO_TERMINAL,
    env: { HOME: home },
    cwd: home,
    out: (text: string) => void (stdout += text),
    err: (text: string) => void (stderr += text),
    exit: (code: number) => void (status = code),
  };
  await run(["hook", ...args], io, COMMAND_GROUPS);
  return { status, stdout, stderr };
}

const USERS = `${JSON.stringify(
  {
    model: "opus",
    hooks: {
      PreToolUse: [{ matcher: "Bash", hooks: [{ type: "command", command: "my-check" }] }],
      Stop: [{ hooks: [{ type: "command", command: "say done" }] }],
    },
    permissions: { allow: ["Bash(ls:*)"], deny: [] },
  },
  null,
  4,
)}\n`;

describe("hook install claude-code", () => {
  test("shows what changes, and writes nothing without --yes", async () => {
    const { home, file } = makeHome(USERS);
    const { status, stdout, stderr } = await hook(home, "install", "claude-code");
    expect([status, stderr]).toEqual([0, "Nothing is written. To write this: --yes\n"]);
    expect(stdout).toContain(`${file}\n`);
    expect(stdout).toMatch(/^\+ +"onFailure": "block"$/m);
    expect(readFileSync(file, "utf8")).toBe(USERS);
  });

  test("adds a hook before every tool that blocks when it fails, and keeps all else in its place and its format", async () => {
    const { home, file } = makeHome(USERS);
    await hook(home, "install", "claude-code", "--url", "http://127.0.0.1:7440", "--key-file", "my key", "--yes");
    const text = readFileSync(file, "utf8");
    const { hooks, ...rest } = JSON.parse(text);
    const { hooks: usersHooks, ...usersRest } = JSON.parse(USERS);
    expect([rest, Object.keys(JSON.parse(text))]).toEqual([usersRest, Object.keys(JSON.parse(USERS))]);
    expect(hooks.Stop).toEqual(usersHooks.Stop);
    expect(hooks.PreToolUse).toEqual([
      usersHooks.PreToolUse[0],
      { matcher: "*", hooks: [{ type: "command", command: expect.any(String), timeout: 80, onFailure: "block" }] },
    ]);
    expect(hooks.PreToolUse[1].hooks[0].command).toMatch(
      /\/bin\/datacrawl\.js hook claude-code --timeout 5000ms --review-timeout 60000ms --url http:\/\/127\.0\.0\.1:7440 --key-file '.*\/my key' \|\| exit 2$/,
    );
    expect(text).toBe(`${JSON.stringify(JSON.parse(text), null, 4)}\n`);
  });

  test("replaces its own entry when it is repeated, and changes nothing if that is the same", async () => {
    const { home, file } = makeHome(USERS);
    await hook(home, "install", "claude-code", "--yes");
    const first = readFileSync(file, "utf8");
    const again = await hook(home, "install", "claude-code", "--yes");
    expect([again.stdout, readFileSync(file, "utf8")]).toEqual([`${file} stays as it is.\n`, first]);
    await hook(home, "install", "claude-code", "--timeout", "3s", "--review-timeout", "0s", "--yes");
    const { hooks } = JSON.parse(readFileSync(file, "utf8"));
    expect(hooks.PreToolUse).toHaveLength(2);
    expect(hooks.PreToolUse[1].hooks[0]).toMatchObject({
      command: expect.stringContaining("--timeout 3000ms --review-timeout 0ms"),
      timeout: 18,
    });
  });

  test("makes the file if there is none, for its user alone", async () => {
    const { home, file } = makeHome();
    await hook(home, "install", "claude-code", "--yes");
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ hooks: { PreToolUse: [{ matcher: "*" }] } });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(dirname(file))).toEqual(["settings.json"]);
  });

  test("keeps the file's mode, and a link to it", async () => {
    const { home, file } = makeHome();
    const kept = join(home, "dotfiles.json");
    writeFileSync(kept, "{}");
    chmodSync(kept, 0o640);
    mkdirSync(dirname(file));
    symlinkSync(kept, file);
    await hook(home, "install", "claude-code", "--yes");
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
    expect(statSync(kept).mode & 0o777).toBe(0o640);
    expect(readFileSync(kept, "utf8")).toContain("hook claude-code");
  });

  test.each([
    ["project", ".claude/settings.json", "datacrawl hook"],
    ["local", ".claude/settings.local.json", "bin/datacrawl.js hook"],
  ])("writes the settings of the scope %s", async (scope, path, command) => {
    const home = tempDir();
    await hook(home, "install", "claude-code", "--scope", scope, "--yes");
    expect(readFileSync(join(home, path), "utf8")).toContain(command);
  });

  test.each<[string, string, string]>([
    ["is no JSON", "{ // mine\n}", "is not JSON that can be changed safely"],
    ["names a member twice", '{"model":"a","model":"b"}', "occurs twice"],
    ["is a list", "[]", "holds no JSON object"],
    ["has hooks of another form", '{"hooks":[]}', '"hooks" is not what claude-code reads'],
    ["has groups of another form", '{"hooks":{"PreToolUse":{}}}', '"hooks" is not what claude-code reads'],
    ["turns all hooks off", '{"disableAllHooks":true}', '"disableAllHooks" turns off every hook'],
    ["has a number that would change", '{"n":9007199254740993}', "is not JSON that can be changed safely"],
  ])("refuses a file that %s, and leaves it", async (_, text, why) => {
    const { home, file } = makeHome(text);
    const { status, stderr } = await hook(home, "install", "claude-code", "--yes");
    expect([status, stderr]).toEqual([1, expect.stringContaining(why)]);
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  test("refuses a scope and a host that it does not know", async () => {
    const { home } = makeHome();
    expect((await hook(home, "install", "claude-code", "--scope", "world")).stderr).toContain("user, project, local");
    expect((await hook(home, "install", "nonsense")).stderr).toContain("there is no host");
  });

  test("prints JSON", async () => {
    const { home, file } = makeHome();
    const { stdout } = await hook(home, "install", "claude-code", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ path: file, changed: true, written: false });
  });
});

describe("hook uninstall claude-code", () => {
  test.each<[string, string]>([
    ["with hooks of the user", USERS],
    ["without hooks", '{\n  "model": "opus"\n}\n'],
    ["without a line's end", '{\n  "model": "opus"\n}'],
  ])("leaves the bytes of before: settings %s", async (_, before) => {
    const { home, file } = makeHome(before);
    await hook(home, "install", "claude-code", "--yes");
    expect(readFileSync(file, "utf8")).not.toBe(before);
    await hook(home, "uninstall", "claude-code", "--yes");
    expect(readFileSync(file, "utf8")).toBe(before);
  });

  test("removes a file that install has made", async () => {
    const { home, file } = makeHome();
    await hook(home, "install", "claude-code", "--yes");
    await hook(home, "uninstall", "claude-code", "--yes");
    expect(existsSync(file)).toBe(false);
  });

  test("writes nothing without --yes, and changes nothing where there is no hook", async () => {
    const { home, file } = makeHome();
    await hook(home, "install", "claude-code", "--yes");
    const installed = readFileSync(file, "utf8");
    await hook(home, "uninstall", "claude-code");
    expect(readFileSync(file, "utf8")).toBe(installed);
    const other = makeHome(USERS);
    expect((await hook(other.home, "uninstall", "claude-code", "--yes")).stdout).toContain("stays as it is");
    expect(readFileSync(other.file, "utf8")).toBe(USERS);
  });

  test("takes back what install did, whatever else the settings hold", () => {
    const entry = fc.oneof(
      fc.record({ type: fc.constant("command"), command: fc.string() }),
      fc.jsonValue() as fc.Arbitrary<never>,
    );
    const group = fc.record({ matcher: fc.string(), hooks: fc.array(entry, { minLength: 1, maxLength: 3 }) });
    const groups = fc.array(group, { minLength: 1, maxLength: 3 });
    const settings = fc.record(
      { model: fc.string(), hooks: fc.record({ PreToolUse: groups, Stop: groups }, { requiredKeys: ["Stop"] }) },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(settings, (of) => {
        const before = structuredClone(of) as JsonObject;
        const added = claudeCode.settings.add(before, "datacrawl hook claude-code || exit 2", 1000);
        expect(claudeCode.settings.commands(added)).toHaveLength(1);
        expect(JSON.stringify(claudeCode.settings.remove(added))).toBe(JSON.stringify(of));
        expect(JSON.stringify(before)).toBe(JSON.stringify(of));
      }),
    );
  });
});

describe("the lines that change", () => {
  test("are shown between those that stay", () => {
    expect(diffOf("a\nb\nc\nd\ne\n", "a\nb\nc\nX\nY\ne\n")).toBe(" a\n b\n c\n-d\n+X\n+Y\n e");
    expect(diffOf(null, "a\n")).toBe("+a");
    expect(diffOf("a\n", null)).toBe("-a");
    expect(diffOf("a\n", "a\n")).toBe("");
    expect(diffOf("a\na\n", "a\na\na\n")).toBe(" a\n a\n+a");
  });
});
