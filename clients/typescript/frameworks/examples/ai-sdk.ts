import { DataCrawl } from "@datacrawl/client";
import { guardTools, selfTest } from "@datacrawl/client/ai-sdk";
import { generateText, isStepCount, tool } from "ai";
import { inputSchema, model, sendEmail } from "./app/ai-sdk.ts";

const dc = new DataCrawl(); // DATACRAWL_URL and DATACRAWL_API_KEY
const tools = guardTools(dc, { send_email: tool({ inputSchema, execute: sendEmail }) }, { run: "chat-17" });
await selfTest(dc, tools);

await generateText({ model, tools, prompt: "Invite Ann.", stopWhen: isStepCount(5) });
