import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startMessagesApi } from "../support/messages-api.ts";
import { type Agent, describeHooked, INSTALLED } from "./agent.ts";

const AGENT: Agent = {
  name: "copilot-cli",
  shell: "copilot-cli.bash",
  settings: ".copilot/hooks/datacrawl.json",
  command: (text) => ({ name: "bash", input: { command: text, description: "Write a line" } }),
  startModel: startMessagesApi,
  start: (url) => ({
    argv: [
      join(INSTALLED, `@github/copilot-linux-${process.arch === "arm64" ? "arm64" : "x64"}/copilot`),
      "--prompt",
      "do it",
      "--allow-all-tools",
    ],
    env: {
      COPILOT_OFFLINE: "true",
      COPILOT_AUTO_UPDATE: "false",
      COPILOT_PROVIDER_TYPE: "anthropic",
      COPILOT_PROVIDER_BASE_URL: url,
      COPILOT_PROVIDER_API_KEY: "scripted",
      COPILOT_MODEL: "scripted",
    },
  }),
};

describeHooked("Copilot CLI", AGENT, ({ install, write, session, edit }) => {
  test("a hook that ends with 0 and says nothing lets the tool run, and one that fails in any way does not", async () => {
    const user = await install();
    edit(user, /"bash": ".*"/, '"bash": "true"');
    expect((await session(user, [[write("denied")]])).ran).toEqual(["denied"]);
    edit(user, /"bash": ".*"/, '"bash": "exit 3"');
    expect((await session(user, [[write("other")]])).ran).toEqual(["denied"]);
  });

  test("a hook that outlives the host's time-out lets the tool run", async () => {
    const user = await install();
    edit(user, /"bash": ".*"/, '"bash": "sleep 100"');
    edit(user, /"timeoutSec": \d+/, '"timeoutSec": 1');
    expect((await session(user, [[write("denied")]])).ran).toEqual(["denied"]);
  });

  test("a hook of a project is not run until its user trusts the folder", async () => {
    const user = await install();
    edit(user, /"preToolUse"/, '"disableAllHooks": false, "postToolUse"');
    const hooks = join(user.work, ".github/hooks");
    mkdirSync(hooks, { recursive: true });
    const entry = { type: "command", bash: "exit 2" };
    writeFileSync(join(hooks, "datacrawl.json"), JSON.stringify({ version: 1, hooks: { preToolUse: [entry] } }));
    expect((await session(user, [[write("denied")]])).ran).toEqual(["denied"]);
    expect((await session(user, [[write("other")]], ["--trust-folder"])).ran).toEqual(["denied"]);
  });
});
