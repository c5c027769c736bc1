/** Stands in for a user's own modules. */
import { tool } from "langchain";
import { ARGS, inputSchema, sendEmail } from "./email.ts";
import { ScriptedChatModel } from "./scripted-chat-model.ts";

export const tools = [tool(sendEmail, { name: "send_email", description: "Sends an email.", schema: inputSchema })];
export const model = new ScriptedChatModel([
  [
    { name: "send_email", args: ARGS, id: "call-1" },
    { name: "send_email", args: { to: "eve@example.net" }, id: "call-2" },
  ],
]);
