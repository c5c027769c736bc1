/** Stands in for a user's own modules. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSdkMcpServer, type Options, tool } from "@anthropic-ai/claude-agent-sdk";
import { ARGS, inputSchema, sendEmail } from "./email.ts";
import { serveMessages } from "./messages-api.ts";

export const SEND_EMAIL = "mcp__mail__send_email";

/** Claude Code alone in an empty directory, with the Messages API at `url`. */
export function isolated(url: string): Options {
  const home = mkdtempSync(join(tmpdir(), "datacrawl-claude-"));
  const env = { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: "sk-ant-stand-in", CLAUDE_CONFIG_DIR: home, HOME: home };
  return {
    cwd: home,
    env: { PATH: process.env["PATH"], ...env, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1" },
    model: "claude-sonnet-4-5",
    strictMcpConfig: true,
    tools: [],
  };
}

const mail = createSdkMcpServer({
  name: "mail",
  tools: [
    tool("send_email", "Sends an email.", inputSchema.shape, async (args) => {
      return { content: [{ type: "text", text: await sendEmail(args) }] };
    }),
  ],
});
const api = await serveMessages([
  { name: SEND_EMAIL, args: ARGS, id: "toolu_1" },
  { name: SEND_EMAIL, args: { to: "eve@example.net" }, id: "toolu_2" },
]);
api.server.unref();

export const yours: Options = { ...isolated(api.url), mcpServers: { mail }, allowedTools: [SEND_EMAIL] };
export const show = (_message: unknown): void => {};
