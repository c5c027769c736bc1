import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, run, start } from "../support/child.ts";
import type { Peer } from "./peer.ts";
import { untilAnswering } from "./probe.ts";
import { cerbosPolicies, checkResourcesRequest } from "./question.ts";

/** Cerbos' own package on npm, at the version that package.json beside this file names. */
const PACKAGES = fileURLToPath(new URL(".", import.meta.url));
const BINARY = join(PACKAGES, "node_modules/@cerbos/cerbos-linux-x64/cerbos-linux-x64");

/**
 * Starts Cerbos with its decision log on, kept in its local store as it comes: written asynchronously, after the answer.
 * Installs it first if need be.
 */
export async function startCerbos(stack: AsyncDisposableStack, directory: string, rules: number): Promise<Peer> {
  if (!existsSync(BINARY)) await run({ name: "npm", file: "npm", args: ["ci", "--prefix", PACKAGES] });
  const port = await freePort();
  const configuration = writeConfiguration(join(directory, "cerbos"), port, await freePort(), rules);
  const args = ["server", "--config", configuration, "--log-level", "warn"];
  const server = start(stack, { name: "Cerbos", file: BINARY, args }, join(directory, "cerbos.log"));
  const peer: Peer = {
    name: "cerbos",
    port,
    path: "/cerbos.svc.v1.CerbosService/CheckResources",
    metadata: {},
    request: checkResourcesRequest(),
    expected: "cerbos",
    processes: { service: server.pid },
  };
  await untilAnswering(server, peer);
  return peer;
}

function writeConfiguration(home: string, grpcPort: number, httpPort: number, rules: number): string {
  const policies = join(home, "policies");
  mkdirSync(policies, { recursive: true });
  for (const [name, text] of Object.entries(cerbosPolicies(rules))) writeFileSync(join(policies, name), text);
  const configuration = {
    server: { grpcListenAddr: `127.0.0.1:${grpcPort}`, httpListenAddr: `127.0.0.1:${httpPort}` },
    storage: { driver: "disk", disk: { directory: policies, watchForChanges: false } },
    audit: {
      enabled: true,
      accessLogsEnabled: false,
      decisionLogsEnabled: true,
      backend: "local",
      local: { storagePath: join(home, "audit") },
    },
    telemetry: { disabled: true },
  };
  const file = join(home, "cerbos.json");
  writeFileSync(file, JSON.stringify(configuration));
  return file;
}
