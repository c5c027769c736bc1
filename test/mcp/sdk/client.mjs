// A client of MCP's SDK for TypeScript. `client.mjs VERSION URL` or `client.mjs VERSION COMMAND ARGS…`: prints what it gets, as JSON.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { getDefaultEnvironment, StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const [, , version, target, ...args] = process.argv;

const isModern = version >= "2026";
const client = new Client(
  { name: "client", version: "1.0.0" },
  isModern
    ? { versionNegotiation: { mode: { pin: version } } }
    : { versionNegotiation: { mode: "legacy" }, supportedProtocolVersions: [version] },
);
const env = Object.entries(process.env).filter(([name]) => name.startsWith("DATACRAWL_"));
const transport = target.startsWith("http:")
  ? new StreamableHTTPClientTransport(new URL(target))
  : new StdioClientTransport({
      command: target,
      args,
      env: { ...getDefaultEnvironment(), ...Object.fromEntries(env) },
    });
await client.connect(transport);

const { tools } = await client.listTools();
const results = [];
for (const amount of [50, 250, 6000]) {
  const { isError = false, content } = await client.callTool({
    name: "refund",
    arguments: { amount, currency: "EUR" },
  });
  results.push({ isError, text: content[0].text });
}
const said = { version: client.getNegotiatedProtocolVersion(), tools: tools.map(({ name }) => name), results };
process.stdout.write(`${JSON.stringify(said)}\n`);
await client.close();
process.exit();
