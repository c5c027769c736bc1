import { DataCrawl } from "@datacrawl/client";
import { guardHooks, selfTest } from "@datacrawl/client/claude-agent-sdk";
import { query } from "@anthropic-ai/claude-agent-sdk";
import { show, yours } from "./app/claude-agent-sdk.ts";

const dc = new DataCrawl(); // DATACRAWL_URL and DATACRAWL_API_KEY
const tool = ({ toolName }: { toolName: string }) => toolName.replace(/^mcp__mail__/, ""); // its name in your policy
const options = { ...yours, hooks: guardHooks(dc, { tool }), settingSources: [] };
await selfTest(options);

for await (const message of query({ prompt: "Invite Ann.", options })) show(message);
