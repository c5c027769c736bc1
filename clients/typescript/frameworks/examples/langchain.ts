import { DataCrawl } from "@datacrawl/client";
import { guardToolCalls, selfTest } from "@datacrawl/client/langchain";
import { createAgent, createMiddleware, ToolMessage } from "langchain";
import { model, tools } from "./app/langchain.ts";

const dc = new DataCrawl(); // DATACRAWL_URL and DATACRAWL_API_KEY
const middleware = [createMiddleware(guardToolCalls(dc, { ToolMessage }))]; // the guard is the last one
await selfTest(middleware);

const agent = createAgent({ model, tools, middleware });
await agent.invoke({ messages: "Invite Ann." });
