// A server of MCP's SDK for TypeScript. `server.mjs stdio FILE` or `server.mjs PORT FILE`: each call of its tool is a line in the file.
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { z } from "zod";

const [, , transport, file] = process.argv;

function open() {
  const server = new McpServer({ name: "shop", version: "1.0.0" });
  const inputSchema = z.object({ amount: z.number(), currency: z.string() });
  server.registerTool("refund", { description: "Refunds.", inputSchema }, async ({ amount, currency }) => {
    appendFileSync(file, `${amount} ${currency}\n`);
    return { content: [{ type: "text", text: `refunded ${amount} ${currency}` }] };
  });
  return server;
}

if (transport === "stdio") serveStdio(open);
else createServer(toNodeHandler(createMcpHandler(open))).listen(Number(transport), "127.0.0.1");
