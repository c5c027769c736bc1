/** Stands in for a user's own modules. */
import { tool } from "@openai/agents";
import { ARGS, inputSchema, sendEmail } from "./email.ts";
import { ScriptedModel } from "./scripted-model.ts";

export const tools = [
  tool({ name: "send_email", description: "Sends an email.", parameters: inputSchema, execute: sendEmail }),
];
export const model = new ScriptedModel([
  { name: "send_email", args: ARGS, id: "call-1" },
  { name: "send_email", args: { to: "eve@example.net" }, id: "call-2" },
]);
