/** Stands in for a user's own modules. */
import type { MastraModelConfig } from "@mastra/core/llm";
import { createTool } from "@mastra/core/tools";
import { ARGS, inputSchema, sendEmail } from "./email.ts";
import { scripted } from "./language-model.ts";

export const instructions = "You send emails.";
export const send_email = createTool({
  id: "send_email",
  description: "Sends an email.",
  inputSchema,
  execute: sendEmail,
});
// Mastra's copy of the AI SDK's types is another one.
export const model: MastraModelConfig = scripted([
  { name: "send_email", args: ARGS, id: "call-1" },
  { name: "send_email", args: { to: "eve@example.net" }, id: "call-2" },
]) as never;
