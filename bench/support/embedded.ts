import { readFileSync } from "node:fs";
import { join } from "node:path";
import { answersHttp, freePort, start } from "./child.ts";
import { installedCommand } from "./package.ts";

/** A service on the embedded store, from the package as it is installed. */
export interface EmbeddedService {
  readonly grpcUrl: string;
  readonly connectUrl: string;
  readonly adminUrl: string;
  readonly agentKey: string;
  /** The installed command, and the environment for commands that open the service's data. */
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
}

export async function startEmbedded(stack: AsyncDisposableStack, directory: string): Promise<EmbeddedService> {
  const command = await installedCommand(directory);
  const [grpcPort, connectPort, adminPort] = [await freePort(), await freePort(), await freePort()];
  const [connectUrl, dataDir] = [`http://127.0.0.1:${connectPort}`, join(directory, "data")];
  const env = {
    DATACRAWL_DATA_DIR: dataDir,
    DATACRAWL_POLICY_DIR: join(directory, "package", "policies"),
    DATACRAWL_GRPC_ADDR: `127.0.0.1:${grpcPort}`,
    DATACRAWL_CONNECT_ADDR: `127.0.0.1:${connectPort}`,
    DATACRAWL_ADMIN_ADDR: `127.0.0.1:${adminPort}`,
    DATACRAWL_AGENT_RATE: "0",
  };
  const server = start(
    stack,
    { name: "datacrawl serve", file: command, args: ["serve"], env },
    join(directory, "serve.log"),
  );
  await server.untilReady(() => answersHttp(`${connectUrl}/readyz`));
  const agentKey = readFileSync(join(dataDir, "demo-agent.key"), "utf8").trim();
  const adminUrl = `http://127.0.0.1:${adminPort}`;
  return { grpcUrl: `http://127.0.0.1:${grpcPort}`, connectUrl, adminUrl, agentKey, command, env };
}
