import { join } from "node:path";
import type { Peer } from "../peers/peer.ts";
import { AUTHORIZE_PATH, authorizeRequest, QUESTION } from "../peers/question.ts";
import { answersHttp, freePort, start } from "../support/child.ts";
import { installedCommand } from "../support/package.ts";
import { API_KEY, NO_PROBE_MS } from "./parts.ts";

/** A sidecar, as it is installed, whose service is dead and whose circuit is open, with its journal on disk. */
export async function startOpenSidecar(stack: AsyncDisposableStack, directory: string, deadUrl: string): Promise<Peer> {
  const [grpcPort, connectPort] = [await freePort(), await freePort()];
  const origin = `http://127.0.0.1:${connectPort}`;
  const env = {
    DATACRAWL_URL: deadUrl,
    DATACRAWL_API_KEY: API_KEY,
    DATACRAWL_DATA_DIR: join(directory, "sidecar"),
    DATACRAWL_SIDECAR_GRPC_ADDR: `127.0.0.1:${grpcPort}`,
    DATACRAWL_SIDECAR_CONNECT_ADDR: `127.0.0.1:${connectPort}`,
    DATACRAWL_SIDECAR_CIRCUIT_PROBE_AFTER_MS: String(NO_PROBE_MS),
    DATACRAWL_LOG_LEVEL: "error",
  };
  const command = { name: "sidecar", file: await installedCommand(directory), args: ["sidecar"], env };
  const server = start(stack, command, join(directory, "sidecar.log"));
  await server.untilReady(() => answersHttp(`${origin}/readyz`));
  for (let n = 0; (await reasonOf(origin, `opening-${n}`)) !== "REASON_CIRCUIT_OPEN"; n++) {
    if (n === 20) throw new Error("the sidecar's circuit did not open");
  }
  return {
    name: "sidecar",
    port: grpcPort,
    path: AUTHORIZE_PATH,
    // None is needed; the echo is asked with as many bytes.
    metadata: { authorization: `Bearer dc_agent_billing-7_0123456789abcdef_${"s".repeat(43)}` },
    request: authorizeRequest(),
    expected: "open",
    processes: { service: server.pid },
  };
}

async function reasonOf(origin: string, idempotencyKey: string): Promise<string> {
  const response = await fetch(`${origin}${AUTHORIZE_PATH}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...QUESTION, idempotencyKey }),
  });
  const { reason }: { reason: string } = JSON.parse(await response.text());
  return reason;
}
