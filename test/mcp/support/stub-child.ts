/**
 * An MCP server over its standard streams, as little as tests need: answers every request with what it received, and writes each line that it
 * received to the file that its first argument names, before it does anything else. Its second argument is how it misbehaves.
 */
import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [, , file = "/dev/null", manner = ""] = process.argv;

function send(message: object): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
}

// Only \n ends a line here; readers that take more for one are the reason that a carriage return is refused.
createInterface({ input: process.stdin, crlfDelay: Infinity }).on("line", (line) => {
  appendFileSync(file, `${line}\n`);
  const { id, method, params } = JSON.parse(line) as { id?: number; method?: string; params?: Record<string, unknown> };
  if (method === undefined || id === undefined) return;
  if (manner === "silent" && method === "tools/call") return;
  if (method === "initialize")
    return send({
      id,
      result: {
        protocolVersion: params?.["protocolVersion"],
        capabilities: { tools: {} },
        serverInfo: { name: "stripe", version: "1" },
      },
    });
  if (manner === "asks" && method === "tools/call") {
    send({ id: "s1", method: "sampling/createMessage", params: { messages: [], maxTokens: 1 } });
    send({ method: "notifications/progress", params: { progressToken: "p", progress: 1 } });
  }
  if (method === "tools/list")
    return send({
      id,
      result: { tools: ["send_email", "exec", "refund"].map((name) => ({ name, inputSchema: { type: "object" } })) },
    });
  const isError = manner === "fails" && method === "tools/call";
  send({
    id,
    result: {
      ...(isError && { isError }),
      content: [{ type: "text", text: JSON.stringify(params) }],
      env: ownVariables(),
    },
  });
});

function ownVariables(): string[] {
  return Object.keys(process.env).filter((name) => name.startsWith("DATACRAWL_"));
}

if (manner === "stays") {
  // Neither its input's end nor a request to stop ends it.
  setInterval(() => {}, 1000);
  process.on("SIGTERM", () => {});
}
process.stderr.write(`pid ${process.pid}\n`);
