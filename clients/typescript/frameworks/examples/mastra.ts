import { DataCrawl } from "@datacrawl/client";
import { guardTools, selfTest } from "@datacrawl/client/mastra";
import { Agent } from "@mastra/core/agent";
import { instructions, model, send_email } from "./app/mastra.ts";

const dc = new DataCrawl(); // DATACRAWL_URL and DATACRAWL_API_KEY
const tools = guardTools(dc, { send_email });
const agent = new Agent({ id: "assistant", name: "Assistant", instructions, model, tools });
await selfTest(dc, await agent.listTools());

await agent.generate("Invite Ann.", { runId: "run-17" });
