import { DataCrawl } from "@datacrawl/client";
import { guardTools, selfTest } from "@datacrawl/client/openai-agents";
import { Agent, run } from "@openai/agents";
import { model, tools } from "./app/openai-agents.ts";

const dc = new DataCrawl(); // DATACRAWL_URL and DATACRAWL_API_KEY
const agent = new Agent({ name: "Assistant", model, tools: guardTools(dc, tools, { run: "conversation-17" }) });
await selfTest(dc, agent);

await run(agent, "Invite Ann.");
