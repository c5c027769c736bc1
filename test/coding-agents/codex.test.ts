import { join } from "node:path";
import { expect, test } from "vitest";
import { startResponsesApi } from "../support/responses-api.ts";
import { type Agent, describeHooked, INSTALLED, runSession } from "./agent.ts";

const [PACKAGE, TARGET] =
  process.arch === "arm64"
    ? ["codex-linux-arm64", "aarch64-unknown-linux-musl"]
    : ["codex-linux-x64", "x86_64-unknown-linux-musl"];
const PROVIDER = (url: string): string =>
  `model_providers.scripted={name="scripted",base_url="${url}/v1",wire_api="responses",env_key="SCRIPTED_KEY"}`;
const TRUSTS_HOOKS = "--dangerously-bypass-hook-trust";

const AGENT: Agent = {
  name: "codex",
  shell: "codex.Bash",
  settings: ".codex/hooks.json",
  command: (text) => ({ name: "exec_command", input: { cmd: text } }),
  startModel: startResponsesApi,
  start: (url) => ({
    argv: [
      join(INSTALLED, `@openai/${PACKAGE}/vendor/${TARGET}/bin/codex`),
      "exec",
      "do it",
      "--skip-git-repo-check",
      "--sandbox",
      "danger-full-access",
      "--model",
      "scripted",
      "-c",
      'model_provider="scripted"',
      "-c",
      PROVIDER(url),
    ],
    // Its requests to other hosts, such as the one for its newest version, fail at once.
    env: { SCRIPTED_KEY: "scripted", HTTPS_PROXY: "http://127.0.0.1:1" },
  }),
};

describeHooked("Codex CLI", { ...AGENT, start: (url) => trusting(url) }, ({ install, write, session, edit }) => {
  test("a hook that its user has not trusted is not run", async () => {
    const user = await install();
    expect((await runSession(AGENT, user, [[write("denied")]])).ran).toEqual(["denied"]);
  });

  test.each([
    ["with another status than 2", "echo why >&2; exit 3"],
    ["with 2 and says nothing", "exit 2"],
    ["with 0 and says nothing", "true"],
  ])("a hook that ends %s lets the tool run", async (_, command) => {
    const user = await install();
    edit(user, /"command": ".*"/, `"command": "${command}"`);
    expect((await session(user, [[write("denied")]])).ran).toEqual(["denied"]);
  });

  test("a hook that outlives the host's time-out lets the tool run", async () => {
    const user = await install();
    edit(user, /"command": ".*"/, '"command": "sleep 100"');
    edit(user, /"timeout": \d+/, '"timeout": 1');
    expect((await session(user, [[write("denied")]])).ran).toEqual(["denied"]);
  });

  test("what is typed into a command that runs is not asked about", async () => {
    const user = await install(["--review-timeout", "0s"], "true || datacrawl");
    const { ran, results } = await session(user, [
      [{ name: "exec_command", input: { cmd: "sh", tty: true, yield_time_ms: 300 } }],
      [
        {
          name: "write_stdin",
          input: (given) => ({
            session_id: Number(/session ID (\d+)/.exec(JSON.stringify(given))?.[1]),
            chars: "echo typed >> ran\nexit\n",
            yield_time_ms: 30_000,
          }),
        },
      ],
    ]);
    expect([ran, results]).toEqual([["typed"], expect.any(Array)]);
  });
});

function trusting(url: string): ReturnType<Agent["start"]> {
  const { argv, env } = AGENT.start(url);
  return { argv: [...argv, TRUSTS_HOOKS], env };
}
