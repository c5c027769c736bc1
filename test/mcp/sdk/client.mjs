// A client of MCP's SDK for TypeScript. `client.mjs VERSION URL` or `client.mjs VERSION COMMAND ARGS…`: prints what it gets, as JSON.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { getDefaultEnvironment, StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const [, , version, target, ...args] = process.argv;

const isModern = version >= "2026";
const client = new Client(
  { name: "client", version: "1.0.0" },
  {
    capabilities: { elicitation: {}, sampling: {}, roots: {} },
    ...(isModern
      ? { versionNegotiation: { mode: { pin: version } } }
      : { versionNegotiation: { mode: "legacy" }, supportedProtocolVersions: [version] }),
  },
);
client.setRequestHandler("elicitation/create", () => ({ action: "accept", content: { name: "ann" } }));
client.setRequestHandler("sampling/createMessage", () => ({
  role: "assistant",
  model: "m",
  content: { type: "text", text: "tea" },
}));
client.setRequestHandler("roots/list", () => ({ roots: [{ uri: "file:///home" }] }));
const env = Object.entries(process.env).filter(([name]) => name.startsWith("DATACRAWL_"));
const transport = target.startsWith("http:")
  ? new StreamableHTTPClientTransport(new URL(target))
  : new StdioClientTransport({
      command: target,
      args,
      env: { ...getDefaultEnvironment(), ...Object.fromEntries(env) },
    });
await client.connect(transport);

async function call(name, options) {
  const { isError = false, content } = await client.callTool({ name }, options);
  return `${isError ? "error: " : ""}${content[0].text}`;
}

const { tools } = await client.listTools();
const results = [];
for (const amount of [50, 250, 6000]) {
  const { isError = false, content } = await client.callTool({
    name: "refund",
    arguments: { amount, currency: "EUR" },
  });
  results.push({ isError, text: content[0].text });
}
const progress = [];
const counted = await call("count", {
  onprogress: ({ message }) => {
    progress.push(message);
    if (message === "step 2") void call("enough");
  },
});
const leave = new AbortController();
const left = await call("wait", { signal: leave.signal, onprogress: () => leave.abort("enough") }).catch(() => "left");
const { contents } = await client.readResource({ uri: "note://one" });
const { messages } = await client.getPrompt({ name: "greet", arguments: { name: "ann" } });
const said = {
  version: client.getNegotiatedProtocolVersion(),
  tools: tools.map(({ name }) => name),
  results,
  asked: await call("ask"),
  progress: [...progress, counted],
  cancelled: [left, await call("ended")],
  dropped: await call("drop"),
  read: [
    (await client.listResources()).resources[0].uri,
    contents[0].text,
    (await client.listPrompts()).prompts[0].name,
    messages[0].content.text,
  ],
};
process.stdout.write(`${JSON.stringify(said)}\n`);
await client.close();
process.exit();
