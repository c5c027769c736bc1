import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startGeminiApi } from "../support/gemini-api.ts";
import { type Agent, describeHooked, INSTALLED } from "./agent.ts";

const AGENT: Agent = {
  name: "gemini-cli",
  shell: "gemini-cli.run_shell_command",
  settings: ".gemini/settings.json",
  command: (text) => ({ name: "run_shell_command", input: { command: text } }),
  startModel: startGeminiApi,
  start: (url) => ({
    argv: [
      process.execPath,
      join(INSTALLED, "@google/gemini-cli/bundle/gemini.js"),
      // Without a model it asks one which to take.
      "--prompt",
      "do it",
      "--approval-mode",
      "yolo",
      "--model",
      "gemini-2.5-flash",
    ],
    env: { GEMINI_API_KEY: "scripted", GOOGLE_GEMINI_BASE_URL: url, GEMINI_CLI_TRUST_WORKSPACE: "true" },
  }),
  prepare({ home }) {
    mkdirSync(join(home, ".gemini"));
    const settings = {
      security: { auth: { selectedType: "gemini-api-key" } },
      general: { enableAutoUpdate: false },
      privacy: { usageStatisticsEnabled: false },
    };
    writeFileSync(join(home, ".gemini/settings.json"), JSON.stringify(settings));
  },
};

describeHooked("Gemini CLI", AGENT, ({ install, write, session, edit }) => {
  test.each([
    ["with 2 and says nothing", "exit 2"],
    ["with 0 and says nothing", "true"],
  ])("a hook that ends %s lets the tool run", async (_, command) => {
    const user = await install();
    edit(user, /"command": ?"[^"]*"/, `"command": "${command}"`);
    expect((await session(user, [[write("denied")]])).ran).toEqual(["denied"]);
  });

  test("a hook that outlives the host's time-out lets the tool run", async () => {
    const user = await install();
    edit(user, /"command": ?"[^"]*"/, '"command": "sleep 100"');
    edit(user, /"timeout": ?\d+/, '"timeout": 1000');
    expect((await session(user, [[write("denied")]])).ran).toEqual(["denied"]);
  });
});
