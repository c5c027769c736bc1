// A server of MCP's SDK for TypeScript. `server.mjs stdio FILE` or `server.mjs PORT FILE`: each refund is a line in the file.
import { randomUUID } from "node:crypto";
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } from "@modelcontextprotocol/node";
import { createMcpHandler, inputRequired, isLegacyRequest, McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { z } from "zod";

const [, , transport, file] = process.argv;
const text = (said) => ({ content: [{ type: "text", text: said }] });
/** Resolved when a call of `wait` was cancelled, and when the client has had enough of `count`. */
const [cancelled, enough] = [Promise.withResolvers(), Promise.withResolvers()];

async function progress({ mcpReq }, count) {
  const progressToken = mcpReq["_meta"]?.progressToken;
  const params = { progressToken, progress: count, total: 2, message: `step ${count}` };
  if (progressToken !== undefined) await mcpReq.notify({ method: "notifications/progress", params });
}

function open() {
  const server = new McpServer({ name: "shop", version: "1.0.0" });
  const inputSchema = z.object({ amount: z.number(), currency: z.string() });
  server.registerTool("refund", { description: "Refunds.", inputSchema }, async ({ amount, currency }) => {
    appendFileSync(file, `${amount} ${currency}\n`);
    return text(`refunded ${amount} ${currency}`);
  });
  // Before 2026-07-28 the SDK asks the client by requests of the server's.
  server.registerTool("ask", { description: "Asks back." }, async ({ mcpReq }) => {
    const { name, model, roots } = mcpReq.inputResponses ?? {};
    if (name === undefined)
      return inputRequired({
        inputRequests: {
          name: inputRequired.elicit({ message: "Who?", requestedSchema: z.object({ name: z.string() }) }),
          model: inputRequired.createMessage({
            messages: [{ role: "user", content: { type: "text", text: "What?" } }],
            maxTokens: 10,
          }),
          roots: inputRequired.listRoots(),
        },
        requestState: "asked",
      });
    return text(`${name.content.name} ${model.content.text} ${roots.roots[0].uri}`);
  });
  server.registerTool("count", { description: "Counts." }, async (ctx) => {
    for (const count of [1, 2]) await progress(ctx, count);
    // Some clients forget the progress that comes together with the result.
    await enough.promise;
    return text("counted");
  });
  server.registerTool("enough", { description: "Ends the counting." }, async () => {
    enough.resolve();
    return text("ended");
  });
  server.registerTool("wait", { description: "Waits." }, async (ctx) => {
    ctx.mcpReq.signal.addEventListener("abort", () => cancelled.resolve());
    await progress(ctx, 1);
    await cancelled.promise;
    return text("cancelled");
  });
  server.registerTool("ended", { description: "Whether that has ended." }, async () => {
    await cancelled.promise;
    return text("cancelled");
  });
  server.registerTool("drop", { description: "Drops its stream." }, async (ctx) => {
    ctx.http?.closeSSE?.();
    return text("resumed");
  });
  server.registerTool("hidden", { description: "No rule allows it." }, async () => text("ran"));
  server.registerResource("note", "note://one", { mimeType: "text/plain" }, async ({ href }) => ({
    contents: [{ uri: href, text: "a note" }],
  }));
  server.registerPrompt("greet", { argsSchema: z.object({ name: z.string() }) }, ({ name }) => ({
    messages: [{ role: "user", content: { type: "text", text: `Hello ${name}` } }],
  }));
  return server;
}

/** What was sent on streams, so that a client can resume them. */
class Events {
  #events = [];

  async storeEvent(streamId, message) {
    return String(this.#events.push({ streamId, message }));
  }

  async replayEventsAfter(lastEventId, { send }) {
    const after = Number(lastEventId);
    const { streamId } = this.#events[after - 1];
    for (const [at, event] of this.#events.entries())
      if (at >= after && event.streamId === streamId && Object.keys(event.message).length > 0)
        await send(String(at + 1), event.message);
    return streamId;
  }
}

const modern = toNodeHandler(createMcpHandler(open, { legacy: "reject" }));
const sessions = new Map();

/** Former versions have sessions, in which the server asks the client, and streams that can be resumed. */
async function legacy(request, response, body) {
  let session = sessions.get(request.headers["mcp-session-id"]);
  if (session === undefined) {
    session = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => sessions.set(id, session),
      eventStore: new Events(),
      retryInterval: 1,
    });
    await open().connect(session);
  }
  await session.handleRequest(request, response, body);
}

async function handle(request, response) {
  let body;
  if (request.method === "POST") body = JSON.parse(Buffer.concat(await request.toArray()).toString());
  const isLegacy = await isLegacyRequest(await toWebRequest(request, body), body);
  await (isLegacy ? legacy : modern)(request, response, body);
}

if (transport === "stdio") serveStdio(open);
else createServer((request, response) => void handle(request, response)).listen(Number(transport), "127.0.0.1");
