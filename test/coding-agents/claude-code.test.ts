import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startMessagesApi, type ToolResult } from "../support/messages-api.ts";
import { ownProcess } from "../support/owned.ts";
import { runBin } from "../support/process.ts";
import type { ScriptedCall } from "../support/scripted-model.ts";
import { demoKey, discard, type Env, type ServiceProcess, startService, tempDir } from "../support/service.ts";
import { startSilent } from "./hostile.ts";

/** The program itself: the package's own start script only finds it. */
const CLAUDE = join(
  import.meta.dirname,
  `node_modules/@anthropic-ai/claude-code-linux-${process.arch === "arm64" ? "arm64" : "x64"}/claude`,
);
const COMMAND = `${process.execPath} ${join(import.meta.dirname, "../../bin/datacrawl.js")}`;
const RULES = `
rules:
  - id: append
    tools: [claude-code.Bash]
    effect: allow
    when: payload.command == "echo allowed >> ran"
  - id: ask
    tools: [claude-code.Bash]
    effect: needs_review
    when: has(payload.command) && payload.command == "echo reviewed >> ran"
`;

const bash = (what: string): ScriptedCall => ({
  name: "Bash",
  input: { command: `echo ${what} >> ran`, description: "Write a line" },
});

/** A user of Claude Code on this machine: a home directory with settings, and a directory to work in. */
interface User {
  readonly home: string;
  readonly work: string;
}

function makeUser(): User {
  const [home, work] = [tempDir(), tempDir()];
  mkdirSync(join(home, ".claude"));
  return { home, work };
}

const settingsOf = ({ home }: User): string => join(home, ".claude/settings.json");

interface Session {
  /** The lines that the tools have written. */
  readonly ran: readonly string[];
  readonly results: readonly ToolResult[];
}

/** Claude Code, asked to do something, with a model that makes these calls. */
async function session(
  user: User,
  turns: readonly (readonly ScriptedCall[])[],
  flags = ["--allowedTools", "Bash"],
): Promise<Session> {
  const api = await startMessagesApi(turns);
  try {
    const child = ownProcess(
      spawn(CLAUDE, ["-p", "do it", ...flags], {
        cwd: user.work,
        env: {
          PATH: process.env["PATH"] ?? "",
          HOME: user.home,
          ANTHROPIC_BASE_URL: api.url,
          ANTHROPIC_API_KEY: "sk-ant-scripted",
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
          DISABLE_AUTOUPDATER: "1",
          DISABLE_TELEMETRY: "1",
          DISABLE_ERROR_REPORTING: "1",
        },
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (output += part.toString()));
    const [status] = (await once(child, "close")) as [number | null];
    // A session that broke off shows nothing about hooks.
    if (status !== 0 || api.results.length !== turns.flat().length)
      throw new Error(`claude ended with ${status} after ${api.results.length} results: ${output}`);
    const file = join(user.work, "ran");
    const ran = existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
    return { ran, results: api.results };
  } finally {
    api.close();
  }
}

describe("Claude Code with the installed hook", () => {
  let service: ServiceProcess;
  let url: string;
  let keyFile: string;

  beforeAll(async () => {
    const policies = tempDir();
    writeFileSync(join(policies, "rules.yaml"), RULES);
    service = await startService({ DATACRAWL_POLICY_DIR: policies });
    url = `http://127.0.0.1:${service.grpcPort}`;
    keyFile = join(tempDir(), "agent.key");
    writeFileSync(keyFile, demoKey(service.dataDir));
  });
  afterAll(() => discard(service));

  async function install(user: User, flags: readonly string[] = [], command = COMMAND): Promise<void> {
    const given = [
      "--url",
      url,
      "--key-file",
      keyFile,
      "--timeout",
      "30s",
      "--review-timeout",
      "0s",
      "--command",
      command,
    ];
    const args = ["hook", "install", "claude-code", "--yes", ...given, ...flags];
    const { status, stderr } = await runBin(args, { env: { HOME: user.home } });
    if (status !== 0) throw new Error(stderr);
  }

  /** Changes the entry of the hook, to what people write who do not install it. What is undefined is left out. */
  function edit(user: User, changes: Readonly<Record<string, unknown>>): void {
    const settings = JSON.parse(readFileSync(settingsOf(user), "utf8"));
    Object.assign(settings.hooks.PreToolUse[0].hooks[0], changes);
    writeFileSync(settingsOf(user), JSON.stringify(settings));
  }

  test("runs an allowed tool once", async () => {
    const user = makeUser();
    await install(user);
    expect((await session(user, [[bash("allowed")]])).ran).toEqual(["allowed"]);
  });

  test("does not run a denied tool, and gives the model the reason and the decision", async () => {
    const user = makeUser();
    await install(user);
    const { ran, results } = await session(user, [[bash("denied")]]);
    expect(ran).toEqual([]);
    expect(results).toMatchObject([
      {
        is_error: true,
        content: expect.stringMatching(
          /DataCrawl: claude-code\.Bash is denied: NO_MATCHING_RULE.*decision [0-9a-f-]{36}/,
        ),
      },
    ]);
  });

  test("runs what is allowed of calls side by side, and nothing else", async () => {
    const user = makeUser();
    await install(user);
    const { ran, results } = await session(user, [
      [bash("denied"), bash("allowed"), bash("reviewed")],
      [bash("denied")],
    ]);
    expect(ran).toEqual(["allowed"]);
    expect(results.filter(({ is_error }) => is_error === true)).toHaveLength(3);
  });

  test("does not run what nobody reviews in time", async () => {
    const user = makeUser();
    await install(user);
    const { ran, results } = await session(user, [[bash("reviewed")]]);
    expect([ran, results]).toMatchObject([[], [{ content: expect.stringContaining("needs a review") }]]);
  });

  test("still asks its user after an allow, unless the hook grants the permission", async () => {
    const asked = makeUser();
    await install(asked);
    expect((await session(asked, [[bash("allowed")]], [])).ran).toEqual([]);
    const granted = makeUser();
    await install(granted, ["--grant-permission"]);
    expect((await session(granted, [[bash("allowed")]], [])).ran).toEqual(["allowed"]);
  });

  test("runs the input that was judged, though a hook that ends earlier has changed it", async () => {
    const user = makeUser();
    // Hooks run at the same time: ours begins when the other one is done.
    await install(user, [], `until [ -e first ]; do sleep 0.1; done; sleep 1; ${COMMAND}`);
    const changed = { hookSpecificOutput: { hookEventName: "PreToolUse", updatedInput: bash("changed").input } };
    const other = { type: "command", command: `echo '${JSON.stringify(changed)}'; touch first` };
    const settings = JSON.parse(readFileSync(settingsOf(user), "utf8"));
    settings.hooks.PreToolUse.unshift({ hooks: [other] });
    writeFileSync(settingsOf(user), JSON.stringify(settings));
    expect((await session(user, [[bash("allowed")]])).ran).toEqual(["allowed"]);
    expect(existsSync(join(user.work, "first"))).toBe(true);
  });

  test.each<[string, readonly string[], string]>([
    ["no service", ["--url", "http://127.0.0.1:1"], COMMAND],
    ["no key", ["--key-file", "/nonexistent"], COMMAND],
    ["a command that is missing", [], "/nonexistent/datacrawl"],
    ["a command that is killed", [], "sh -c 'kill -9 $$' datacrawl"],
  ])("runs nothing with %s", async (_, flags, command) => {
    const user = makeUser();
    await install(user, flags, command);
    expect((await session(user, [[bash("allowed")]])).ran).toEqual([]);
  });

  test("runs nothing while the service says nothing", async () => {
    const silent = await startSilent();
    try {
      const user = makeUser();
      await install(user, ["--url", silent.url, "--timeout", "2s"]);
      expect((await session(user, [[bash("allowed")]])).ran).toEqual([]);
    } finally {
      silent.close();
    }
  });

  describe("has traps, which the installed settings avoid", () => {
    const hang = "sleep 100";

    test("a hook that outlives the host's time-out blocks by onFailure, and would not without", async () => {
      const user = makeUser();
      await install(user);
      edit(user, { command: hang, timeout: 1 });
      expect((await session(user, [[bash("allowed")]])).ran).toEqual([]);
      edit(user, { onFailure: undefined });
      expect((await session(user, [[bash("denied")]])).ran).toEqual(["denied"]);
    });

    test.each([
      ["with another status than 2", "exit 3"],
      ["because it is missing", "/nonexistent/datacrawl hook claude-code"],
    ])("a hook that fails %s lets the tool run without onFailure and || exit 2", async (_, command) => {
      const user = makeUser();
      await install(user);
      edit(user, { onFailure: undefined, command });
      expect((await session(user, [[bash("denied")]])).ran).toEqual(["denied"]);
    });

    test("a hook that ends with 0 and says nothing lets the tool run, also with onFailure", async () => {
      const user = makeUser();
      await install(user);
      edit(user, { command: "true" });
      expect((await session(user, [[bash("denied")]])).ran).toEqual(["denied"]);
    });

    test("a setting turns all hooks off, and hook test says so", async () => {
      const user = makeUser();
      await install(user);
      const settings = JSON.parse(readFileSync(settingsOf(user), "utf8"));
      writeFileSync(settingsOf(user), JSON.stringify({ ...settings, disableAllHooks: true }));
      expect((await session(user, [[bash("denied")]])).ran).toEqual(["denied"]);
      const env: Env = { HOME: user.home };
      expect(await runBin(["hook", "test", "claude-code"], { env })).toMatchObject({ status: 1 });
    });
  });
});
